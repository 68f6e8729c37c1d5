import type { ColumnFacts } from '../../domain/dataset.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { quoteIdent } from '../postgres/connection.ts';
import { asTheirs, type PgClient } from '../postgres/postgres-client.ts';

export interface TableColumns {
  readonly schema: string;
  readonly name: string;
  readonly oid: number;
  readonly kind: 'table' | 'partitioned' | 'view' | 'other';
  /** Stored columns; generated ones are computed again. */
  readonly columns: readonly ColumnFacts[];
  /** Columns of the primary key, in order; empty without one. */
  readonly primaryKey: readonly string[];
}

export const qualified = (table: { readonly schema: string; readonly name: string }): string => `${quoteIdent(table.schema)}.${quoteIdent(table.name)}`;
export const columnList = (columns: readonly Pick<ColumnFacts, 'name'>[]): string => columns.map(({ name }) => quoteIdent(name)).join(', ');

/** `table`, `schema.table`, either part quoted as in SQL; `public` when not said. @throws configInvalid */
export function parseTableName(text: string): { readonly schema: string; readonly name: string } {
  const part = `(?:"(?:[^"]|"")+"|[^".]+)`;
  const match = new RegExp(`^(?:(${part})\\.)?(${part})$`, 's').exec(text);
  if (match?.[2] === undefined) throw new ResurgoError('configInvalid', `${JSON.stringify(text)} is not the name of a table; write schema.table, quoted as in SQL where a name holds a dot`);
  const bare = (word: string): string => (word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word);
  return { schema: match[1] === undefined ? 'public' : bare(match[1]), name: bare(match[2]) };
}

const kinds: Readonly<Record<string, TableColumns['kind']>> = { r: 'table', p: 'partitioned', v: 'view', m: 'view' };

/** What the catalogue says of a table; undefined when there is none. The session's path is bare, so types of the database's own are named with their schema. */
export async function readTable(client: PgClient, table: { readonly schema: string; readonly name: string }): Promise<TableColumns | undefined> {
  const found = await client.query<{ oid: number; kind: string }>(
    `select c.oid::bigint::float8 as oid, c.relkind as kind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r','p','v','m','f')`,
    [table.schema, table.name],
  );
  const [one] = found.rows;
  if (one === undefined) return undefined;
  const columns = await client.query<ColumnFacts>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "notNull"
       from pg_catalog.pg_attribute a where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum`,
    [String(one.oid)],
  );
  const key = await client.query<{ name: string }>(
    `select a.attname as name from pg_catalog.pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, n)
       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where i.indrelid = $1::oid and i.indisprimary order by k.n`,
    [String(one.oid)],
  );
  return { ...table, oid: one.oid, kind: kinds[one.kind] ?? 'other', columns: columns.rows, primaryKey: key.rows.map(({ name }) => name) };
}

/** Columns of what a query gives, named apart; the session is one for queries of the configuration (`theirs`). @throws configInvalid when two have one name */
export async function readQueryColumns(client: PgClient, name: string, sql: string): Promise<ColumnFacts[]> {
  const { fields } = await asTheirs(client, () => client.query(`select * from (${sql}\n) as q limit 0`));
  const double = fields.find((field, i) => fields.findIndex((other) => other.name === field.name) !== i);
  if (double !== undefined) throw new ResurgoError('configInvalid', `query ${name} gives two columns called ${double.name}; give them names of their own (as …)`);
  const types = await client.query<{ type: string }>(
    `select pg_catalog.format_type(t.oid, nullif(t.mod, -1)) as type from unnest($1::oid[], $2::int4[]) with ordinality as t(oid, mod, n) order by t.n`,
    [fields.map((field) => field.dataTypeID), fields.map((field) => field.dataTypeModifier)],
  );
  return fields.map((field, i) => ({ name: field.name, type: types.rows[i]?.type ?? 'text', notNull: false }));
}

/** What every session of ours sets: names mean what they say, values have one form, and no row is hidden in silence. */
export async function plainSession(client: PgClient): Promise<void> {
  const { rows } = await client.query<{ encoding: string }>(`select current_setting('server_encoding') as encoding`);
  const encoding = rows[0]?.encoding === 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';
  for (const [name, value] of [
    ['client_encoding', encoding], ['DateStyle', 'ISO, YMD'], ['IntervalStyle', 'postgres'], ['TimeZone', 'UTC'],
    ['extra_float_digits', '3'], ['row_security', 'off'], ['bytea_output', 'hex'], ['standard_conforming_strings', 'on'], ['synchronize_seqscans', 'off'],
    ['statement_timeout', '0'], ['idle_in_transaction_session_timeout', '0'],
  ] as const) await client.query(`select set_config($1, $2, false)`, [name, value]);
  await client.query(`select set_config(name, '0', false) from pg_catalog.pg_settings where name in ('idle_session_timeout', 'transaction_timeout')`);
}

/**
 * A role or database whose sessions are those of a replica (`session_replication_role`) fires no trigger and checks no foreign key: rows that refer to nothing
 * would stay in silence. For this transaction they are those of everybody else. @throws sourceDenied (SQLSTATE 42501) where the role may not
 */
export const withTriggers = (client: PgClient): Promise<unknown> =>
  client.query(`select set_config(name, 'origin', true) from pg_catalog.pg_settings where name = 'session_replication_role' and setting <> 'origin'`);
