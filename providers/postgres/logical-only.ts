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
  if (match === null) throw new ResurgoError('inputInvalid', `${JSON.stringify(text)} is not a table name; write schema.table, with double quotes around odd names`);
  const plain = (word: string): string => (word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word);
  return { schema: match[1] === undefined ? 'public' : plain(match[1]), name: plain(match[2] as string) };
};

/** The names of a choice, checked against the database, with partitions and inheritance children of chosen tables. */
export interface ResolvedOnly {
  readonly schemas: readonly string[];
  readonly tables: readonly TableName[];
  /** Arguments for pg_dump. */
  readonly args: readonly string[];
}

/** @throws inputInvalid when something chosen does not exist */
export const resolveOnly = async (client: PgClient, only: LogicalOnly | undefined, encoding: string): Promise<ResolvedOnly | undefined> => {
  const schemas = [...new Set(only?.schemas ?? [])];
  const wanted = (only?.tables ?? []).map(parseTableName);
  if (schemas.length === 0 && wanted.length === 0) return undefined;
  const found = await client.query<{ nspname: string }>('select nspname from pg_namespace where nspname = any($1::name[])', [schemas]);
  const missing = schemas.filter((schema) => !found.rows.some((row) => row.nspname === schema)).map((schema) => `schema ${quoteIdent(schema)}`);
  const tables: TableName[] = [];
  for (const table of wanted) {
    const rows = await client.query<{ nspname: string; relname: string }>(
      `with recursive chosen(oid) as (
         select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
         union select i.inhrelid from pg_inherits i join chosen on i.inhparent = chosen.oid)
       select n.nspname, c.relname from chosen join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace`,
      [table.schema, table.name],
    );
    if (rows.rows.length === 0) missing.push(`table ${quoteIdent(table.schema)}.${quoteIdent(table.name)}`);
    tables.push(...rows.rows.map((row) => ({ schema: row.nspname, name: row.relname })));
  }
  if (missing.length > 0) throw new ResurgoError('inputInvalid', `The database has no ${missing.join(', ')}`);
  const patterns = [...schemas.map((name) => `--schema=${quoteIdent(name)}`), ...tables.map((table) => `--table=${quoteIdent(table.schema)}.${quoteIdent(table.name)}`)];
  const args = [...new Set(patterns), '--strict-names'];
  // Arguments are UTF-8; pg_dump reads them in its client encoding, which is the database's unless told.
  const ascii = args.every((arg) => /^[\x00-\x7f]*$/.test(arg));
  if (!ascii && encoding !== 'UTF8' && encoding !== 'SQL_ASCII') args.push('--encoding=UTF8');
  return { schemas, tables, args };
};
