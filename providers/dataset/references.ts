import { quoteIdent } from '../postgres/connection.ts';
import type { PgClient } from '../postgres/postgres-client.ts';

export interface Reference {
  readonly constraint: string;
  /** The table with the foreign key, as SQL names it. */
  readonly from: string;
  readonly fromOid: number;
  readonly toOid: number;
  readonly fromColumns: readonly string[];
  readonly toColumns: readonly string[];
  readonly onDelete: string;
  readonly onUpdate: string;
}

/** Foreign keys that refer to one of these tables (or to what they are a partition of); those that PostgreSQL derived for partitions are left out. */
export async function referencesTo(client: PgClient, oids: readonly number[]): Promise<Reference[]> {
  const { rows } = await client.query<Reference>(
    `with wanted as (select t.oid, coalesce(a.relid, t.oid) as up from unnest($1::oid[]) t(oid) left join lateral pg_catalog.pg_partition_ancestors(t.oid) a(relid) on true)
     select distinct c.conname::text as constraint, quote_ident(n.nspname) || '.' || quote_ident(f.relname) as "from", c.conrelid::bigint::float8 as "fromOid", w.oid::bigint::float8 as "toOid",
       (select array_agg(a.attname::text order by k.n) from unnest(c.conkey) with ordinality k(attnum, n) join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum) as "fromColumns",
       (select array_agg(a.attname::text order by k.n) from unnest(c.confkey) with ordinality k(attnum, n) join pg_catalog.pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.attnum) as "toColumns",
       c.confdeltype::text as "onDelete", c.confupdtype::text as "onUpdate"
       from pg_catalog.pg_constraint c join wanted w on w.up = c.confrelid join pg_catalog.pg_class f on f.oid = c.conrelid join pg_catalog.pg_namespace n on n.oid = f.relnamespace
      where c.contype = 'f' and (c.conparentid = 0 or not exists (select 1 from pg_catalog.pg_constraint p where p.oid = c.conparentid and p.confrelid in (select up from wanted)))`,
    [oids.map(String)],
  );
  return rows;
}

/** `alias.a = other.x and …`: the row `from` refers to the row `to`. */
export const refersTo = (reference: Reference, from: string, to: string): string =>
  reference.fromColumns.map((column, i) => `${from}.${quoteIdent(column)} = ${to}.${quoteIdent(reference.toColumns[i] ?? '')}`).join(' and ');

/** Referencing tables first: the order in which rows can go. What refers in a circle stays in the order given. */
export function childrenFirst<T extends { readonly oid: number }>(tables: readonly T[], references: readonly Reference[]): T[] {
  const left = [...tables];
  const ordered: T[] = [];
  while (left.length > 0) {
    const free = left.findIndex((table) => !references.some((reference) => reference.toOid === table.oid && reference.fromOid !== table.oid && left.some((other) => other.oid === reference.fromOid)));
    ordered.push(...left.splice(Math.max(free, 0), 1));
  }
  return ordered;
}
