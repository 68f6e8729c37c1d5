import type { ArchiveTable } from '../../domain/archive.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { mapPostgresError, type PostgresConnection } from '../postgres/connection.ts';
import { asTheirs, withClient, type PgClient } from '../postgres/postgres-client.ts';
import { childrenFirst, referencesTo } from '../dataset/references.ts';
import { columnList, parseTableName, plainSession, qualified, readTable } from '../dataset/table-facts.ts';
import { dueSql, fromTable, unreferencedSql } from './select-rows.ts';

export interface ArchiveDefinition {
  readonly table: string;
  readonly column?: string;
  readonly where?: string;
}

export interface PlannedTables {
  /** In the order they are to be archived: what refers to others first. Partitions are named one by one. */
  readonly tables: readonly ArchiveTable[];
  readonly errors: readonly { readonly table: string; readonly code: string; readonly message: string }[];
}

/** Looks at every table of the configuration; one that cannot be archived is an error of its own. @throws sourceUnreachable, sourceDenied (login) */
export async function planTables(connection: PostgresConnection, definitions: readonly ArchiveDefinition[], cutoff: string, signal?: AbortSignal): Promise<PlannedTables> {
  return withClient(connection, async (client) => {
    await plainSession(client);
    const planned: (ArchiveTable & { readonly oid: number })[] = [];
    const errors: { table: string; code: string; message: string }[] = [];
    for (const definition of definitions) {
      try {
        planned.push(...(await planTable(client, definition, cutoff)));
      } catch (error) {
        const known = isResurgoError(error) ? error : mapPostgresError(error, `looking at ${definition.table}`, connection);
        if (known.definition.retryable) throw known;
        errors.push({ table: definition.table, code: known.code, message: known.message });
      }
    }
    const ordered = childrenFirst(planned, await referencesTo(client, planned.map(({ oid }) => oid)));
    return { tables: ordered.map(({ oid: _, ...table }) => table), errors };
  }, { signal, theirs: true });
}

const timeTypes = /^(date|timestamp(\(\d\))? with(out)? time zone)$/;

async function planTable(client: PgClient, { table, column, where }: ArchiveDefinition, cutoff: string): Promise<(ArchiveTable & { readonly oid: number })[]> {
  const name = parseTableName(table);
  const shown = `${name.schema}.${name.name}`;
  const found = await readTable(client, name);
  if (found === undefined) throw new ResurgoError('configInvalid', `there is no table ${shown}`);
  if (found.kind !== 'table' && found.kind !== 'partitioned') throw new ResurgoError('unsupported', `${shown} is no table: only rows of tables can be archived`);
  if (found.columns.length === 0) throw new ResurgoError('unsupported', `${shown} has no columns`);
  if (column !== undefined) {
    const time = found.columns.find((one) => one.name === column);
    if (time === undefined) throw new ResurgoError('configInvalid', `${shown} has no column ${column}; it has ${columnList(found.columns)}`);
    if (!timeTypes.test(time.type)) throw new ResurgoError('configInvalid', `column ${column} of ${shown} is ${time.type}, not a date or timestamp; use where with {cutoff}`);
  }
  const leaves = await client.query<{ oid: number; schema: string; name: string; allowed: boolean; rules: boolean }>(
    `select c.oid::bigint::float8 as oid, n.nspname as schema, c.relname as name, has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'DELETE') and has_any_column_privilege(c.oid, 'UPDATE') as allowed,
       exists (select 1 from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.ev_type = '4') as rules
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and (c.oid = $1::oid or c.oid in (select relid from pg_catalog.pg_partition_tree($1::oid) where isleaf)) order by 2, 3`,
    [String(found.oid)],
  );
  const denied = leaves.rows.find((leaf) => !leaf.allowed);
  if (denied !== undefined) throw new ResurgoError('sourceDenied', `the role needs SELECT, UPDATE (for row locks) and DELETE on ${denied.schema}.${denied.name}`);
  const ruled = leaves.rows.find((leaf) => leaf.rules);
  if (ruled !== undefined) throw new ResurgoError('unsupported', `${ruled.schema}.${ruled.name} has a rule for DELETE, so what a deletion does is not known`);
  const tables = leaves.rows.map((leaf) => ({ oid: leaf.oid, table, schema: leaf.schema, name: leaf.name, column: column ?? null, where: where ?? null }));
  // A condition that does not parse is told now. PREPARE parses and plans, and runs nothing.
  for (const one of tables.slice(0, 1)) await asTheirs(client, () => client.query(`explain select 1 ${fromTable(one)} where ${dueSql(one, cutoff)}`));
  return tables;
}

/** Rows that are due and that nothing refers to: what a run would move now. */
export async function countDue(connection: PostgresConnection, table: ArchiveTable, cutoff: string, signal?: AbortSignal): Promise<number> {
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      const found = await readTable(client, table);
      if (found === undefined) return 0;
      const references = await referencesTo(client, [found.oid]);
      const { rows } = await asTheirs(client, () => client.query<{ n: number }>(`select pg_catalog.count(*)::pg_catalog.float8 as n ${fromTable(table)} where ${dueSql(table, cutoff)}${unreferencedSql(references)}`));
      return rows[0]?.n ?? 0;
    } catch (error) {
      throw mapPostgresError(error, `counting the due rows of ${qualified(table)}`, connection);
    }
  }, { signal, theirs: true });
}
