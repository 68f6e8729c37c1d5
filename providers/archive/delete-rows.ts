import { toRanges, type ArchiveTable, type DeletingMark } from '../../domain/archive.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { OnProgress } from '../../domain/ports.ts';
import { mapPostgresError, quoteIdent, type PostgresConnection } from '../postgres/connection.ts';
import { asTheirs, withClient, type PgClient } from '../postgres/postgres-client.ts';
import { referencesTo } from '../dataset/references.ts';
import { plainSession, readTable, withTriggers } from '../dataset/table-facts.ts';
import { digestSql, type RowKey } from './row-keys.ts';
import { fromTable, unreferencedSql } from './select-rows.ts';

export interface DeleteRowsOptions {
  readonly connection: PostgresConnection;
  /** Id of the set: at most one transaction deletes its rows at a time. */
  readonly set: string;
  readonly table: ArchiveTable;
  readonly keys: readonly RowKey[];
  /** Called when this transaction is the only one: throws when another has got here before. */
  readonly undecided: () => Promise<void>;
  /** Called when everything but the commit is done; the commit follows when it resolves, else nothing is deleted. */
  readonly beforeCommit: (mark: DeletingMark) => Promise<void>;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** Rows looked at and deleted in one statement. */
const chunkRows = 2000;

/**
 * Deletes exactly the rows that were archived, in one transaction: one that has changed since, is locked by somebody, is referred to, or that a
 * trigger holds back, stays. Rows are locked before they are compared, so nothing changes between comparison and deletion; what
 * refers to a row is looked at after that, so nothing new can refer to it.
 * @returns what the mark said, once the server has committed
 * @throws outcomeUnknown when the connection was lost at the commit; what the server said otherwise
 */
export async function deleteRows({ connection, set, table, keys, undecided, beforeCommit, signal, onProgress }: DeleteRowsOptions): Promise<DeletingMark> {
  const what = `${table.schema}.${table.name}`;
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      await client.query('begin isolation level read committed');
      await client.query(`select set_config('lock_timeout', '30s', true)`);
      await withTriggers(client);
      await client.query(`select pg_advisory_xact_lock(hashtextextended('resurgo archive ' || $1, 0))`, [set]);
      await undecided();
      const found = await readTable(client, table);
      if (found === undefined) throw new ResurgoError('configInvalid', `there is no table ${what}`);
      const references = unreferencedSql(await referencesTo(client, [found.oid]));
      const size = await sizeSql(client, found.oid);
      const kept: number[] = [];
      let freedBytes = 0;
      for (let start = 0; start < keys.length; start += chunkRows) {
        signal?.throwIfAborted();
        const chunk = keys.slice(start, start + chunkRows);
        const locked = await lockSame(client, table, chunk);
        // Its triggers expect the path of the database.
        const { rows } = await asTheirs(client, () => client.query<{ ctid: string; bytes: number }>(`delete ${fromTable(table)} where t.ctid operator(pg_catalog.=) any($1::pg_catalog.tid[])${references} returning t.ctid::pg_catalog.text as ctid, (${size})::pg_catalog.float8 as bytes`, [[...locked]]));
        const gone = new Set(rows.map((row) => row.ctid));
        for (const [i, key] of chunk.entries()) if (!gone.has(key.ctid)) kept.push(start + i);
        freedBytes += rows.reduce((sum, row) => sum + row.bytes, 0);
        onProgress?.({ phase: `delete archived rows of ${what}`, note: `${String(start + chunk.length - kept.length)} of ${String(keys.length)} rows` });
      }
      const { rows } = await client.query<{ xid: string; system: string }>('select pg_current_xact_id()::text as xid, system_identifier::text as system from pg_control_system()');
      const mark: DeletingMark = { at: new Date().toISOString(), systemId: rows[0]?.system ?? '', xid: rows[0]?.xid ?? '', deleted: keys.length - kept.length, freedBytes, kept: toRanges(kept) };
      await beforeCommit(mark);
      await client.query('commit');
      return mark;
    } catch (error) {
      throw mapPostgresError(error, `deleting archived rows of ${what}`, connection);
    }
  }, { signal, theirs: true });
}

/** Locks the rows that are there and are what was archived; returns where they lie. A row that somebody else holds is passed over. */
async function lockSame(client: PgClient, table: ArchiveTable, keys: readonly RowKey[]): Promise<Set<string>> {
  const wanted = new Map(keys.map((key) => [key.ctid, key]));
  const { rows } = await client.query<RowKey>(`select t.ctid::text as ctid, t.xmin::text as xmin, ${digestSql('t')} as digest ${fromTable(table)} where t.ctid = any($1::tid[]) for update of t skip locked`, [[...wanted.keys()]]);
  // A row that was updated while we waited comes back as its new version: it is somewhere else, or says something else.
  return new Set(rows.flatMap((row) => {
    const key = wanted.get(row.ctid);
    return key !== undefined && key.xmin === row.xmin && key.digest === row.digest ? [row.ctid] : [];
  }));
}

/** Bytes of a row in the table: header and line pointer, and every value as it is stored, also out of line. */
async function sizeSql(client: PgClient, oid: number): Promise<string> {
  const { rows } = await client.query<{ name: string }>(`select attname as name from pg_catalog.pg_attribute where attrelid = $1::oid and attnum > 0 and not attisdropped`, [String(oid)]);
  return ['28', ...rows.map(({ name }) => `coalesce(pg_catalog.pg_column_size(t.${quoteIdent(name)}), 0)`)].join(' operator(pg_catalog.+) ');
}

export type DeletionOutcome = 'committed' | 'aborted' | 'uncertain';

/**
 * How a deletion ended whose worker did not live to tell: by the transaction's own status, or where the server has forgotten it (or is another one)
 * by looking for the rows: it was one transaction, so one row that still stands means that none went.
 */
export async function deletionOutcome(connection: PostgresConnection, table: ArchiveTable, mark: DeletingMark, keys: readonly RowKey[], signal?: AbortSignal): Promise<DeletionOutcome> {
  return withClient(connection, async (client) => {
    await plainSession(client);
    const { rows } = await client.query<{ system: string }>('select system_identifier::text as system from pg_control_system()');
    const sameSystem = rows[0]?.system === mark.systemId;
    if (sameSystem) {
      for (let tries = 0; tries < 100; tries++) {
        const status = await transactionStatus(client, mark.xid);
        if (status === 'committed' || status === 'aborted') return status;
        if (status === undefined) break;
        // Its session has been told to end; the server takes a moment.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    const found = await readTable(client, table);
    if (found === undefined) return 'uncertain';
    for (let start = 0; start < keys.length; start += chunkRows) {
      const chunk = keys.slice(start, start + chunkRows).filter((_, i) => !inKept(mark, start + i));
      const wanted = new Map(chunk.map((key) => [key.ctid, key]));
      const same = await client.query<RowKey>(`select t.ctid::text as ctid, t.xmin::text as xmin, ${digestSql('t')} as digest ${fromTable(table)} where t.ctid = any($1::tid[])`, [[...wanted.keys()]]);
      if (same.rows.some((row) => wanted.get(row.ctid)?.digest === row.digest && wanted.get(row.ctid)?.xmin === row.xmin)) return 'aborted';
    }
    return 'uncertain';
  }, { signal });
}

const inKept = (mark: DeletingMark, n: number): boolean => mark.kept.some(([first, last]) => n >= first && n <= last);

/** Undefined when the server no longer knows, or never did. */
async function transactionStatus(client: PgClient, xid: string): Promise<string | undefined> {
  try {
    const { rows } = await client.query<{ status: string | null }>('select pg_xact_status($1::xid8) as status', [xid]);
    return rows[0]?.status ?? undefined;
  } catch (error) {
    // "transaction ID is in the future": another server, or one that went back in time.
    if ((error as { code?: string }).code === '22023') return undefined;
    throw error;
  }
}
