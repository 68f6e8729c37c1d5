import { withClient, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { mapPostgresError } from '../../providers/postgres/postgres-error.ts';

/** What a physical backup asks of the server beyond its facts. */
export interface ReplicationFacts {
  readonly maxWalSenders: number;
  readonly walSendersUsed: number;
  readonly walSummaryKeepMs: number | undefined;
  readonly freeSlots: number;
  /** MB; -1: without limit. */
  readonly slotKeepMb: number;
}

export async function replicationFacts(connection: PostgresConnection, signal: AbortSignal): Promise<ReplicationFacts> {
  return query(connection, signal, async (run) => {
    const [row] = await run(`select current_setting('max_wal_senders')::int as max,
      (select count(*)::int from pg_stat_activity where backend_type = 'walsender') as used,
      (extract(epoch from current_setting('wal_summary_keep_time', true)::interval) * 1000)::float8 as keep,
      current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as slots,
      (select setting::int from pg_settings where name = 'max_slot_wal_keep_size') as slot_keep`);
    const keep = row?.['keep'];
    return {
      maxWalSenders: Number(row?.['max'] ?? 0),
      walSendersUsed: Number(row?.['used'] ?? 0),
      freeSlots: Number(row?.['slots'] ?? 0),
      slotKeepMb: Number(row?.['slot_keep'] ?? -1),
      walSummaryKeepMs: typeof keep === 'number' ? keep : undefined,
    };
  });
}

/** Opens a replication session, which pg_hba.conf treats apart. @throws sourceDenied, sourceUnreachable */
export async function tryReplication(connection: PostgresConnection, signal: AbortSignal): Promise<void> {
  await withClient(
    connection,
    async (client) => {
      try {
        await client.query('IDENTIFY_SYSTEM');
      } catch (error) {
        throw mapPostgresError(error, 'opening a replication session', connection, 'sourceDenied');
      }
    },
    { replication: 'true', signal },
  );
}

/** What pg_dump could not read as this role. */
export interface DumpRights {
  readonly unreadable: number;
  readonly example: string | undefined;
  /** Tables whose row security hides rows of this role: pg_dump refuses them. */
  readonly hidden: number;
  readonly hiddenExample: string | undefined;
  readonly isSuperuser: boolean;
}

export async function dumpRights(connection: PostgresConnection, signal: AbortSignal): Promise<DumpRights> {
  return query(connection, signal, async (run) => {
    const [row] = await run(`
      with tables as (
        select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relrowsecurity,
          case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'SELECT') else has_table_privilege(c.oid, 'SELECT') end
            and has_schema_privilege(n.oid, 'USAGE') as readable,
          pg_has_role(c.relowner, 'USAGE') and not c.relforcerowsecurity as exempt
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      ), me as (select rolsuper, rolsuper or rolbypassrls as bypass from pg_roles where rolname = current_user)
      select count(*) filter (where not readable)::int as unreadable, min(name) filter (where not readable) as example,
        count(*) filter (where relrowsecurity and not exempt and not me.bypass)::int as hidden,
        min(name) filter (where relrowsecurity and not exempt and not me.bypass) as hidden_example, bool_and(me.rolsuper) as super
      from me left join tables on true`);
    const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
    return {
      unreadable: Number(row?.['unreadable'] ?? 0),
      example: text(row?.['example']),
      hidden: Number(row?.['hidden'] ?? 0),
      hiddenExample: text(row?.['hidden_example']),
      isSuperuser: row?.['super'] === true,
    };
  });
}

type Run = (sql: string) => Promise<Record<string, unknown>[]>;

async function query<T>(
  connection: PostgresConnection,
  signal: AbortSignal,
  work: (run: Run) => Promise<T>,
): Promise<T> {
  return withClient(
    connection,
    async (client) => {
      try {
        return await work(async (sql) => (await client.query<Record<string, unknown>>(sql)).rows);
      } catch (error) {
        throw mapPostgresError(error, 'reading the rights of the role', connection, 'sourceDenied');
      }
    },
    { signal },
  );
}
