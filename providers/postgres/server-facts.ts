import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';
import type { PgClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';

export interface DatabaseSize {
  readonly name: string;
  /** Undefined when the role may not look. */
  readonly bytes: number | undefined;
}

export interface ServerFacts {
  /** Decimal; undefined never: every supported version tells it to every role. */
  readonly systemId: string;
  /** For example 180004. */
  readonly versionNum: number;
  readonly major: number;
  /** `18.4` */
  readonly version: string;
  readonly inRecovery: boolean;
  readonly timeline: number;
  /** Flushed on a primary; replayed on a standby. */
  readonly flushLsn: string;
  readonly dataChecksums: boolean;
  readonly blockSize: number;
  readonly walSegmentBytes: number;
  readonly walLevel: string;
  /** Always false before PostgreSQL 17. */
  readonly summarizeWal: boolean;
  /** As the server shows it, `10d`; undefined before 17. */
  readonly walSummaryKeepTime: string | undefined;
  /** Only for roles that may read it. */
  readonly dataDirectory: string | undefined;
  readonly databases: readonly DatabaseSize[];
  readonly tablespaces: readonly { readonly oid: string; readonly name: string; readonly path: string }[];
  readonly role: string;
  readonly canReplicate: boolean;
  readonly isSuperuser: boolean;
  /** Sum of the databases whose size may be read. */
  readonly sourceBytes: number;
}

interface FactsRow {
  system_id: string;
  version_num: string;
  version: string;
  in_recovery: boolean;
  timeline: number;
  lsn: string | null;
  checksums: string;
  block_size: string;
  wal_segment_bytes: string;
  wal_level: string;
  summarize_wal: string | null;
  keep_time: string | null;
  data_directory: string | null;
  role: string;
  can_replicate: boolean;
  superuser: boolean;
}

// Settings are read from pg_settings: it leaves out what the role may not see, where SHOW would fail.
const factsSql = `
select (select system_identifier::text from pg_control_system()) as system_id,
  current_setting('server_version_num') as version_num,
  split_part(current_setting('server_version'), ' ', 1) as version,
  pg_is_in_recovery() as in_recovery,
  case when pg_is_in_recovery()
    then (select greatest(c.timeline_id, r.min_recovery_end_timeline) from pg_control_checkpoint() c, pg_control_recovery() r)
    else ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int end as timeline,
  case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()) else pg_current_wal_flush_lsn() end::text as lsn,
  current_setting('data_checksums') as checksums,
  current_setting('block_size') as block_size,
  (select bytes_per_wal_segment::text from pg_control_init()) as wal_segment_bytes,
  current_setting('wal_level') as wal_level,
  current_setting('summarize_wal', true) as summarize_wal,
  current_setting('wal_summary_keep_time', true) as keep_time,
  (select setting from pg_settings where name = 'data_directory') as data_directory,
  current_user::text as role,
  (select rolreplication or rolsuper from pg_roles where rolname = current_user) as can_replicate,
  (select rolsuper from pg_roles where rolname = current_user) as superuser`;

const databasesSql = `
select datname::text as name,
  case when has_database_privilege(oid, 'CONNECT') or pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER')
    then pg_database_size(oid)::text end as bytes
from pg_database order by datname`;

const tablespacesSql = `
select oid::text as oid, spcname::text as name, pg_tablespace_location(oid) as path
from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by oid`;

async function readFacts(client: PgClient): Promise<ServerFacts> {
  const {
    rows: [row],
  } = await client.query<FactsRow>(factsSql);
  if (!row) throw new Error('The server answered no facts');
  const { rows: databases } = await client.query<{ name: string; bytes: string | null }>(databasesSql);
  const { rows: tablespaces } = await client.query<{ oid: string; name: string; path: string }>(tablespacesSql);
  const versionNum = Number(row.version_num);
  const sizes = databases.map(({ name, bytes }) => ({ name, bytes: bytes === null ? undefined : Number(bytes) }));
  return {
    systemId: row.system_id,
    versionNum,
    major: Math.floor(versionNum / 10_000),
    version: row.version,
    inRecovery: row.in_recovery,
    timeline: row.timeline,
    flushLsn: row.lsn ?? '0/0',
    dataChecksums: row.checksums === 'on',
    blockSize: Number(row.block_size),
    walSegmentBytes: Number(row.wal_segment_bytes),
    walLevel: row.wal_level,
    summarizeWal: row.summarize_wal === 'on',
    walSummaryKeepTime: row.keep_time ?? undefined,
    dataDirectory: row.data_directory ?? undefined,
    databases: sizes,
    tablespaces,
    role: row.role,
    canReplicate: row.can_replicate,
    isSuperuser: row.superuser,
    sourceBytes: sizes.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
  };
}

/**
 * What the engines need to know of a server before they touch anything. Works for any role that may connect.
 * @throws sourceUnreachable, sourceDenied, cancelled
 */
export async function serverFacts(connection: PostgresConnection, signal?: AbortSignal): Promise<ServerFacts> {
  return withClient(
    connection,
    async (client) => {
      try {
        return await readFacts(client);
      } catch (error) {
        throw mapPostgresError(error, 'reading the facts of the server', connection, 'sourceUnreachable');
      }
    },
    { signal },
  );
}
