import { createHash } from 'node:crypto';

import type { PostgresConnection } from './connection.ts';
import { inSessions } from './analyze.ts';
import { parseTableName } from './logical-only.ts';
import { withClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export interface TableDigest {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'materialized view' | 'sequence';
  readonly rows: number;
  /** Over all rows, whatever their order; equal for equal content. */
  readonly digest: string;
}

export interface DatabaseDigest {
  readonly tables: readonly TableDigest[];
  readonly largeObjects: { readonly count: number; readonly digest: string };
  /** SHA-256 over all of the above. */
  readonly digest: string;
}

/** Text of values must not depend on who asks. */
export const prepareDigestSession = async (query: (sql: string) => Promise<unknown>): Promise<void> => {
  for (const sql of [
    'begin isolation level repeatable read read only',
    'set local extra_float_digits = 3',
    "set local timezone = 'UTC'",
    "set local datestyle = 'ISO, YMD'",
    "set local intervalstyle = 'postgres'",
    "set local bytea_output = 'hex'",
    "set local xmloption = 'content'",
    "set local lc_monetary = 'C'",
    "set local search_path = ''",
    'set local row_security = off',
    'set local statement_timeout = 0',
  ])
    await query(sql);
};

interface Relation {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly columns: readonly string[];
  readonly populated: boolean;
}

const relationsQuery = `select n.nspname as schema, c.relname as name, c.relkind as kind, c.relispopulated as populated,
    coalesce((select array_agg(a.attname::text order by a.attname) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '{}') as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm', 'S') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by c.relpages desc, c.oid`;

/**
 * Columns by name, so that a dropped column or another order does not matter. Their text is made by each type's own output function; a hash of 64 bits a
 * row, summed twice under different seeds as numerics: order plays no part, and neither equal rows nor their number cancel out.
 */
const digestQuery = (relation: Relation): string => {
  const from = `only ${quoteIdent(relation.schema)}.${quoteIdent(relation.name)}`;
  if (relation.columns.length === 0) return `select count(*)::text as rows, '0' as a, '0' as b from ${from}`;
  const row = `row(${relation.columns.map((column) => `t.${quoteIdent(column)}`).join(', ')})::text`;
  return `select count(*)::text as rows, coalesce(sum(hashtextextended(x, 0)), 0)::text as a, coalesce(sum(hashtextextended(x, 6026)), 0)::text as b from (select ${row} collate "C" as x from ${from} t) s`;
};

/**
 * A digest of every table, materialized view, sequence and large object of a database, to prove that two databases hold the same.
 * @param options.tables only these (`schema.table`)
 */
export const digestDatabase = async (
  connection: PostgresConnection,
  options: { database?: string; tables?: readonly string[]; jobs?: number; signal?: AbortSignal } = {},
): Promise<DatabaseDigest> => {
  const database = options.database ?? connection.database;
  const wanted = options.tables && new Set(options.tables.map((text) => JSON.stringify(parseTableName(text))));
  const { relations, large } = await withClient(
    connection,
    async (client) => {
      const found = (await client.query<Relation>(relationsQuery)).rows;
      await prepareDigestSession((sql) => client.query(sql));
      const objects = await client
        .query<{ count: string; a: string }>(
          `select (select count(*) from pg_largeobject_metadata)::text as count, coalesce(sum(hashtextextended(loid::text || ':' || pageno::text || ':' || encode(data, 'hex'), 0)), 0)::text as a from pg_largeobject`,
        )
        .catch(() => undefined); // Only superusers may read it.
      return {
        relations: found.filter(
          (each) => wanted === undefined || wanted.has(JSON.stringify({ schema: each.schema, name: each.name })),
        ),
        large: objects?.rows[0],
      };
    },
    { database, signal: options.signal },
  );
  const tables: TableDigest[] = [];
  await inSessions(
    { connection, database, sessions: options.jobs ?? 2, signal: options.signal, prepare: prepareDigestSession },
    relations,
    async (query, relation) => {
      const { schema, name } = relation;
      if (relation.kind === 'S') {
        const [row] = await query<{ state: string }>(
          `select last_value::text || ':' || is_called::text as state from ${quoteIdent(schema)}.${quoteIdent(name)}`,
        );
        tables.push({ schema, name, kind: 'sequence', rows: 1, digest: row?.state ?? '' });
        return;
      }
      if (!relation.populated) {
        tables.push({ schema, name, kind: 'materialized view', rows: 0, digest: 'not populated' });
        return;
      }
      const [row] = await query<{ rows: string; a: string; b: string }>(digestQuery(relation));
      tables.push({
        schema,
        name,
        kind: relation.kind === 'm' ? 'materialized view' : 'table',
        rows: Number(row?.rows ?? 0),
        digest: `${row?.rows ?? ''}:${row?.a ?? ''}:${row?.b ?? ''}`,
      });
    },
  );
  const key = (table: TableDigest): string => `${table.schema}\0${table.name}`;
  tables.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const largeObjects = {
    count: Number(large?.count ?? 0),
    digest: large === undefined ? 'unknown' : `${large.count}:${large.a}`,
  };
  return {
    tables,
    largeObjects,
    digest: createHash('sha256')
      .update(JSON.stringify([tables, wanted === undefined ? largeObjects : null]))
      .digest('hex'),
  };
};
