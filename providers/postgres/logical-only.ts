import type { LogicalOnly } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { PgClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/**
 * Reads `schema.table`, `"Odd.Schema"."Table"` or `table` (then schema `public`). Names are taken as written; no case folding.
 * @throws inputInvalid
 */
export const parseTableName = (text: string): TableName => {
  const part = '("(?:[^"]|"")+"|[^".]+)';
  const match = new RegExp(`^(?:${part}\\.)?${part}$`, 's').exec(text);
  if (match === null)
    throw new ResurgoError(
      'inputInvalid',
      `${JSON.stringify(text)} is not a table name; write schema.table, with double quotes around odd names`,
    );
  const plain = (word: string): string => (word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word);
  return { schema: match[1] === undefined ? 'public' : plain(match[1]), name: plain(match[2] as string) };
};

/** The names of a choice, checked against the database. */
export interface ResolvedOnly {
  readonly schemas: readonly string[];
  /** With partitions, inheritance children and the sequences of their columns. */
  readonly tables: readonly TableName[];
  /** Arguments for pg_dump. */
  readonly args: readonly string[];
}

interface Relation extends TableName {
  readonly oid: string;
}

/** Everything that has data, in the order of schemas. */
const relationsQuery = `select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'm', 'f', 'S') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 2, 3`;

/** Partitions and children all the way down, and sequences that belong to columns or that defaults draw from. */
const familyQuery = `with recursive family(oid) as (
    select oid from unnest($1::oid[]) as given(oid)
    union select i.inhrelid from pg_inherits i join family on i.inhparent = family.oid)
  select oid::text as oid from family
  union select d.objid::text from pg_depend d join family on d.refobjid = family.oid join pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
  union select d.refobjid::text from pg_attrdef a join family on a.adrelid = family.oid join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S' where d.refclassid = 'pg_class'::regclass`;

/**
 * Turns a choice into arguments for pg_dump. The dump keeps the definitions of the whole database and leaves out only the data of what was not chosen:
 * with `--table` it would lack schemas, types, functions and extensions the tables need, and could not be restored by itself.
 * @throws inputInvalid when something chosen does not exist
 */
export const resolveOnly = async (
  client: PgClient,
  only: LogicalOnly | undefined,
  encoding: string,
): Promise<ResolvedOnly | undefined> => {
  const schemas = [...new Set(only?.schemas ?? [])];
  const wanted = (only?.tables ?? []).map(parseTableName);
  if (schemas.length === 0 && wanted.length === 0) return undefined;
  const found = await client.query<{ nspname: string }>(
    'select nspname::text as nspname from pg_namespace where nspname = any($1::name[])',
    [schemas],
  );
  const missing = schemas
    .filter((schema) => !found.rows.some((row) => row.nspname === schema))
    .map((schema) => `schema ${quoteIdent(schema)}`);
  const relations = (await client.query<Relation>(relationsQuery)).rows;
  const named = wanted.map((table) =>
    relations.find((relation) => relation.schema === table.schema && relation.name === table.name),
  );
  missing.push(
    ...wanted
      .filter((_, i) => named[i] === undefined)
      .map((table) => `table ${quoteIdent(table.schema)}.${quoteIdent(table.name)}`),
  );
  if (missing.length > 0) throw new ResurgoError('inputInvalid', `The database has no ${missing.join(', ')}`);
  const family = await client.query<{ oid: string }>(familyQuery, [named.map((relation) => relation?.oid)]);
  const chosen = new Set(family.rows.map((row) => row.oid));
  const tables = relations.filter((relation) => chosen.has(relation.oid));
  const args: string[] = ['--no-blobs'];
  for (const schema of new Set(relations.map((relation) => relation.schema))) {
    if (schemas.includes(schema)) continue;
    const inside = relations.filter((relation) => relation.schema === schema);
    const out = inside.filter((relation) => !chosen.has(relation.oid));
    if (out.length === inside.length) args.push(`--exclude-table-data=${quoteIdent(schema)}.*`);
    else args.push(...out.map((relation) => `--exclude-table-data=${quoteIdent(schema)}.${quoteIdent(relation.name)}`));
  }
  // Arguments are UTF-8; pg_dump reads them in its client encoding, which is the database's unless told.
  const ascii = args.every((arg) => /^[\x00-\x7f]*$/.test(arg));
  if (!ascii && encoding !== 'UTF8' && encoding !== 'SQL_ASCII') args.push('--encoding=UTF8');
  return { schemas, tables: tables.map(({ schema, name }) => ({ schema, name })), args };
};

/** Whether there is a choice at all. */
export const isPartial = (only: LogicalOnly | undefined): only is LogicalOnly =>
  (only?.schemas?.length ?? 0) + (only?.tables?.length ?? 0) > 0;
