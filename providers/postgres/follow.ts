import { setTimeout as sleep } from 'node:timers/promises';
import { formatConninfo, parseConninfo } from '../../domain/conninfo.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteLiteral } from './quote.ts';

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** How a standby logs in at its primary. @param login connection whose user, password and TLS settings are taken */
export function primaryConninfo(login: PostgresConnection, upstream: Upstream, applicationName: string): string {
  const env = login.toolEnv();
  const values = new Map<string, string>([['user', login.user]]);
  if (env['PGPASSWORD'] !== undefined) values.set('password', env['PGPASSWORD']);
  values.set('host', upstream.host).set('port', String(upstream.port)).set('application_name', applicationName);
  if (!upstream.host.startsWith('/')) values.set('sslmode', login.sslmode === 'allow' ? 'prefer' : login.sslmode);
  for (const [name, key] of [['PGSSLROOTCERT', 'sslrootcert'], ['PGSSLCERT', 'sslcert'], ['PGSSLKEY', 'sslkey']] as const) {
    const value = env[name];
    if (value !== undefined) values.set(key, value);
  }
  return formatConninfo(values);
}

/** Effect: the slot is there, reserving WAL from now on. Idempotent. */
export async function ensureSlot(primary: PostgresConnection, slot: string, signal?: AbortSignal): Promise<void> {
  await withClient(primary, async (client) => {
    try {
      await client.query(`select pg_create_physical_replication_slot(${quoteLiteral(slot)}, true) where not exists (select from pg_replication_slots where slot_name = ${quoteLiteral(slot)})`);
    } catch (error) {
      if ((error as { code?: string }).code !== '42710') throw mapPostgresError(error, `creating the slot ${slot}`, primary, 'replicationFailed');
    }
  }, { signal });
}

export interface StandbySettings {
  readonly conninfo: string;
  readonly slot: string;
}

/** @throws sourceDenied when the role may not see them */
export async function standbySettings(standby: PostgresConnection, signal?: AbortSignal): Promise<StandbySettings> {
  return withClient(standby, async (client) => {
    const { rows } = await client.query<{ name: string; setting: string }>(`select name, setting from pg_settings where name in ('primary_conninfo', 'primary_slot_name')`);
    const of = (name: string): string | undefined => rows.find((row) => row.name === name)?.setting;
    const conninfo = of('primary_conninfo');
    if (conninfo === undefined) throw new ResurgoError('sourceDenied', `${standby.redacted} does not show its primary_conninfo to this role`, { details: { hint: 'grant pg_read_all_settings, or use a superuser for the members of a cluster.' } });
    return { conninfo, slot: of('primary_slot_name') ?? '' };
  }, { signal });
}

const nudgeMs = 400;

/**
 * Makes a running standby follow another primary, by ALTER SYSTEM and a reload; only host and port change. Waits until it streams from there.
 * Idempotent. @throws replicationFailed, sourceDenied, sourceUnreachable
 */
export async function follow(standby: PostgresConnection, upstream: Upstream, timeline: number, options: { readonly waitMs: number; readonly signal?: AbortSignal | undefined }): Promise<string> {
  const { conninfo } = await standbySettings(standby, options.signal);
  const values = parseConninfo(conninfo);
  values.delete('hostaddr');
  values.set('host', upstream.host).set('port', String(upstream.port));
  return withClient(standby, async (client) => {
    try {
      await client.query(`alter system set primary_conninfo = ${quoteLiteral(formatConninfo(values))}`);
      await client.query('select pg_reload_conf()');
    } catch (error) {
      throw mapPostgresError(error, 'pointing it to its new primary', standby, 'replicationFailed');
    }
    let nudgedAt = performance.now();
    for (const until = performance.now() + options.waitMs; ; ) {
      options.signal?.throwIfAborted();
      // Between two tries it sleeps for wal_retrieve_retry_interval (5 s), while commits may wait for it: a reload wakes it.
      if (performance.now() - nudgedAt > nudgeMs) {
        nudgedAt = performance.now();
        await client.query('select pg_reload_conf()');
      }
      const { rows: [row] } = await client.query<{ status: string; tli: number; port: number }>('select status, received_tli as tli, sender_port as port from pg_stat_wal_receiver');
      if (row?.status === 'streaming' && row.tli >= timeline && row.port === upstream.port) return `streams from ${upstream.host}:${upstream.port} on timeline ${row.tli}`;
      if (performance.now() > until) throw new ResurgoError('replicationFailed', `${standby.redacted} does not stream from ${upstream.host}:${upstream.port} ${options.waitMs} ms after it was told to (${row === undefined ? 'no receiver' : `${row.status}, timeline ${row.tli}`}).`, { details: { hint: 'Its log says why; a diverged standby is rebuilt by `resurgo standby rebuild`.' } });
      await sleep(50);
    }
  }, { signal: options.signal });
}

/** Makes a running standby follow a primary as it would have been built, and reads what it is replaying again. Does not wait. @throws replicationFailed, sourceUnreachable */
export async function repoint(standby: PostgresConnection, conninfo: string, slot: string, signal?: AbortSignal): Promise<void> {
  await withClient(standby, async (client) => {
    try {
      await client.query(`alter system set primary_conninfo = ${quoteLiteral(conninfo)}`);
      await client.query(`alter system set primary_slot_name = ${quoteLiteral(slot)}`);
      await client.query('select pg_reload_conf()');
      // A replay that somebody paused holds up what is received as well as what is not.
      await client.query('select pg_wal_replay_resume() where pg_is_in_recovery() and pg_get_wal_replay_pause_state() <> $1', ['not paused']);
    } catch (error) {
      throw mapPostgresError(error, 'pointing it to its primary', standby, 'replicationFailed');
    }
  }, { signal });
}
