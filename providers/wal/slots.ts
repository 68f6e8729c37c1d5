/** The replication slot that holds on the server what is not stored yet. Nobody streams through it: it is moved by hand to what is stored. */
import { createHash } from 'node:crypto';
import { formatLsn, parseLsn } from '../../domain/lsn.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { PgClient } from '../postgres/postgres-client.ts';
import type { PostgresConnection } from '../postgres/connection.ts';
import { mapPostgresError } from '../postgres/postgres-error.ts';

/** Slots take lower-case letters, digits and `_`, at most 63. */
export function slotName(target: string): string {
  const plain = target.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  const name = `resurgo_${plain}`;
  return plain === target && name.length <= 63 ? name : `${name.slice(0, 54)}_${createHash('sha256').update(target).digest('hex').slice(0, 8)}`;
}

export interface SlotState {
  readonly exists: boolean;
  /** `reserved`, `extended`, `unreserved` (about to be lost) or `lost`. */
  readonly walStatus: string | undefined;
  readonly restartLsn: bigint | undefined;
  /** Bytes that may still be written before the slot is lost; undefined: without limit. */
  readonly safeBytes: number | undefined;
}

export async function readSlot(client: PgClient, name: string): Promise<SlotState> {
  const { rows: [row] } = await client.query<{ restart: string | null; status: string | null; safe: string | null }>(
    'select restart_lsn::text as restart, wal_status as status, safe_wal_size::text as safe from pg_replication_slots where slot_name = $1', [name]);
  if (row === undefined) return { exists: false, walStatus: undefined, restartLsn: undefined, safeBytes: undefined };
  return { exists: true, walStatus: row.status ?? undefined, restartLsn: row.restart === null ? undefined : parseLsn(row.restart), safeBytes: row.safe === null ? undefined : Number(row.safe) };
}

/**
 * Makes the slot where it is missing, and anew where the server gave it up.
 * @returns what was found before
 * @throws sourceDenied when the server has no free slot or the role may not
 */
export async function ensureSlot(client: PgClient, name: string, connection: PostgresConnection): Promise<SlotState> {
  const before = await readSlot(client, name);
  if (before.exists && before.walStatus !== 'lost') return before;
  try {
    if (before.exists) await client.query('select pg_drop_replication_slot($1)', [name]);
    await client.query('select pg_create_physical_replication_slot($1, true)', [name]);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    // Somebody was quicker: another attempt of ours.
    if (code === '42710') return before;
    if (code === '53400') throw new ResurgoError('sourceDenied', `The server at ${connection.redacted} has no free replication slot for ${name}.`, { cause: error, details: { hint: 'Raise max_replication_slots and restart the server.' } });
    throw mapPostgresError(error, `creating the replication slot ${name}`, connection, 'sourceDenied');
  }
  return before;
}

/** Moves it to what is stored; never back. */
export async function advanceSlot(client: PgClient, name: string, to: bigint): Promise<void> {
  try {
    await client.query('select pg_replication_slot_advance($1, $2::pg_lsn)', [name, formatLsn(to)]);
  } catch (error) {
    // It is further already, or has no position yet.
    if (!['55000', '22023'].includes(String((error as { code?: unknown }).code))) throw error;
  }
}

export async function dropSlot(client: PgClient, name: string): Promise<boolean> {
  const { rowCount } = await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1', [name]);
  return (rowCount ?? 0) > 0;
}
