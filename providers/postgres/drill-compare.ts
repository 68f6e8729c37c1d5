import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';

export interface Comparison {
  /** Collations whose version of the system's library is another one than the data was sorted with. */
  readonly collations: readonly string[];
  /** Extensions of a database whose files this server lacks. */
  readonly extensions: readonly string[];
  readonly databases: readonly string[];
}

const collationsSql = `
select format('database %s: %s → %s', datname, datcollversion, pg_database_collation_actual_version(oid)) as what
from pg_database where datname = current_database() and datcollversion is not null
  and datcollversion is distinct from pg_database_collation_actual_version(oid)
union all
select format('collation %I.%I: %s → %s', n.nspname, c.collname, c.collversion, pg_collation_actual_version(c.oid))
from pg_collation c join pg_namespace n on n.oid = c.collnamespace
where c.collversion is not null and pg_collation_actual_version(c.oid) is not null and c.collversion is distinct from pg_collation_actual_version(c.oid)
  and exists (select from pg_depend d where d.refclassid = 'pg_collation'::regclass and d.refobjid = c.oid)`;

const extensionsSql = `select format('%s %s', extname, extversion) as what from pg_extension e
where not exists (select from pg_available_extension_versions a where a.name = e.extname)`;

/** What of the restored databases this machine cannot serve as their own did: looked at before anything else is. */
export async function compareWithHere(connection: PostgresConnection, signal?: AbortSignal): Promise<Comparison> {
  const names = await withClient(connection, async (client) => (await client.query<{ name: string }>('select datname::text as name from pg_database where datallowconn and not datistemplate order by 1')).rows.map(({ name }) => name), { signal });
  const collations: string[] = [];
  const extensions: string[] = [];
  for (const database of names) {
    await withClient(
      connection,
      async (client) => {
        for (const { what } of (await client.query<{ what: string }>(collationsSql)).rows) collations.push(what);
        for (const { what } of (await client.query<{ what: string }>(extensionsSql)).rows) extensions.push(`${what} in ${database}`);
      },
      { database, signal },
    );
  }
  return { collations: [...new Set(collations)], extensions, databases: names };
}

/** Tables with rows that have no statistics at all. */
export async function tablesWithoutStatistics(connection: PostgresConnection, database: string, signal?: AbortSignal): Promise<number> {
  return withClient(
    connection,
    async (client) => {
      const { rows } = await client.query<{ n: number }>(
        `select count(*)::int as n from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
           and pg_relation_size(c.oid) > 0 and not exists (select from pg_statistic s where s.starelid = c.oid)`,
      );
      return rows[0]?.n ?? 0;
    },
    { database, signal },
  );
}
