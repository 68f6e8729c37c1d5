import { isResurgoError } from '../../domain/errors.ts';
import type { MemberState, Silence } from '../../domain/cluster.ts';
import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';

interface StateRow {
  system_id: string;
  in_recovery: boolean;
  timeline: number;
  flushed: string | null;
  received: string | null;
  replayed: string | null;
  replay_age_ms: number | null;
  sync_names: string;
  version: string;
  receiver: string | null;
  sender_host: string | null;
  sender_port: number | null;
  slot: string | null;
  silent_ms: number | null;
}

// The control file of a standby tells the timeline of its last restartpoint only, and the receiver is gone with the primary: the WAL files know.
const newestWal = `, (select ('x' || max(substr(name, 1, 8)))::bit(32)::int from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$')`;

// One round trip. The LSN functions of the wrong role are errors, hence the CASEs. The receiver's position falls back to the start of a segment
// when it reconnects, so the further of received and replayed counts.
const stateSql = (waldir: boolean): string => `
select (select system_identifier::text from pg_control_system()) as system_id, r.is as in_recovery,
  case when r.is then greatest((select timeline_id from pg_control_checkpoint()), (select min_recovery_end_timeline from pg_control_recovery()), w.received_tli${waldir ? newestWal : ''})
    else ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int end as timeline,
  case when not r.is then pg_current_wal_flush_lsn() end::text as flushed,
  case when r.is then pg_last_wal_receive_lsn() end::text as received,
  case when r.is then pg_last_wal_replay_lsn() end::text as replayed,
  case when r.is then extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 end::float8 as replay_age_ms,
  current_setting('synchronous_standby_names') as sync_names,
  split_part(current_setting('server_version'), ' ', 1) as version,
  w.status as receiver, w.sender_host, w.sender_port, nullif(w.slot_name, '') as slot,
  (extract(epoch from clock_timestamp() - w.last_msg_receipt_time) * 1000)::float8 as silent_ms
from (select pg_is_in_recovery() as is) r left join pg_stat_wal_receiver w on true`;

export interface ProbeOptions {
  /** A server that has not answered by then is silent. Milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks one member who it is and how far; never throws for a server that does not answer, only when `signal` aborts. */
export async function probeMember(name: string, connection: PostgresConnection, options: ProbeOptions): Promise<MemberState> {
  const where = { host: connection.host, port: connection.port };
  const late = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? late : AbortSignal.any([late, options.signal]);
  try {
    const row = await withClient(connection, async (client) => {
      try {
        return (await client.query<StateRow>(stateSql(true)).catch(async (error: unknown) => {
          if ((error as { code?: string }).code !== '42501') throw error;
          return client.query<StateRow>(stateSql(false));
        })).rows[0];
      } catch (error) {
        throw mapPostgresError(error, 'asking for its state', connection, 'sourceUnreachable');
      }
    }, { signal });
    if (row === undefined) return { name, role: null, silence: 'error', problem: 'it answered nothing', ...where };
    return { name, ...stateOf(row), ...where };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (late.aborted) return { name, role: null, silence: 'timeout', problem: `no answer within ${String(options.timeoutMs)} ms`, ...where };
    if (!isResurgoError(error)) throw error;
    return { name, role: null, silence: silenceOf(typeof error.details['sqlState'] === 'string' ? error.details['sqlState'] : '', error.message, error.code), problem: error.message, ...where };
  }
}

function stateOf(row: StateRow): Omit<MemberState, 'name'> {
  const common = { systemId: row.system_id, timeline: row.timeline, synchronousNames: row.sync_names, version: row.version };
  if (!row.in_recovery) return { role: 'primary', ...common, ...(row.flushed === null ? {} : { lsn: row.flushed }) };
  const furthest = further(row.received, row.replayed);
  return {
    role: 'standby', ...common,
    ...(furthest === null ? {} : { lsn: furthest }),
    ...(row.replayed === null ? {} : { replayedLsn: row.replayed }),
    ...(row.replay_age_ms === null ? {} : { replayAgeMs: Math.max(0, Math.round(row.replay_age_ms)) }),
    ...(row.receiver === null ? {} : { receiver: { status: row.receiver, senderHost: row.sender_host, senderPort: row.sender_port, slot: row.slot, silentMs: row.silent_ms === null ? null : Math.max(0, Math.round(row.silent_ms)) } }),
  };
}

function further(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  const [left, right] = [a, b].map((lsn) => lsn.split('/').map((part) => part.padStart(8, '0')).join('')) as [string, string];
  return left > right ? a : b;
}

function silenceOf(code: string, message: string, known: string): Silence {
  if (code === '57P03' || code === '57P01' || code === '57P02') return 'starting';
  if (/^(ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|EHOSTDOWN)$/.test(code) || /Connection terminated/i.test(message)) return 'refused';
  if (/^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/.test(code) || /timeout expired/i.test(message)) return 'timeout';
  if (known === 'sourceDenied' || code === '53300') return 'denied';
  return 'error';
}
