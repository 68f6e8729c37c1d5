import type { ArchiveTable } from '../../domain/archive.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { quoteIdent, quoteLiteral } from '../postgres/connection.ts';
import { refersTo, type Reference } from '../dataset/references.ts';
import { qualified } from '../dataset/table-facts.ts';

/** Which rows of the table (alias `t`) are due. `{cutoff}` in a condition stands for the time. */
export function dueSql(table: ArchiveTable, cutoff: string): string {
  const time = `${quoteLiteral(cutoff)}::pg_catalog.timestamptz`;
  const parts = [
    ...(table.column === null ? [] : [`t.${quoteIdent(table.column)} operator(pg_catalog.<) ${time}`]),
    ...(table.where === null ? [] : [`(${table.where.replaceAll('{cutoff}', time)}\n)`]),
  ];
  if (parts.length === 0) throw new ResurgoError('configInvalid', `archive of ${table.table} has neither column nor where`);
  return parts.join(' and ');
}

/** Rows that no other row refers to: deleting one that is referred to would fail, or take the other along. */
export const unreferencedSql = (references: readonly Reference[]): string =>
  references.map((reference) => ` and not exists (select 1 from ${reference.from} f where ${refersTo(reference, 'f', 't')})`).join('');

/** Only the table itself: children that inherit from it, and partitions, are tables of their own. */
export const fromTable = (table: Pick<ArchiveTable, 'schema' | 'name'>): string => `from only ${qualified(table)} t`;
