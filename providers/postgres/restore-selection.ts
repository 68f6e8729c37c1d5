import type { LogicalOnly } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { DumpToc, TocEntry } from './dump-toc.ts';
import { parseTableName } from './logical-only.ts';

/** TOC texts are bytes of the dump's encoding; names asked for are compared in both forms, so that UTF-8 and Latin names are found. */
const same = (stored: string | undefined, wanted: string): boolean =>
  stored !== undefined && (stored === wanted || stored === Buffer.from(wanted, 'utf8').toString('latin1'));

/** What belongs to a relation and comes with it. */
const belongings = new Set([
  'TABLE DATA',
  'MATERIALIZED VIEW DATA',
  'DEFAULT',
  'INDEX',
  'INDEX ATTACH',
  'CONSTRAINT',
  'CHECK CONSTRAINT',
  'FK CONSTRAINT',
  'TRIGGER',
  'POLICY',
  'ROW SECURITY',
  'RULE',
  'COMMENT',
  'ACL',
  'SECURITY LABEL',
  'TABLE ATTACH',
  'SEQUENCE OWNED BY',
  'SEQUENCE SET',
  'STATISTICS',
  'STATISTICS DATA',
  'SEQUENCE',
]);
const relations = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'FOREIGN TABLE']);
/** Session settings at the head of every dump. */
const always = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH']);

/**
 * Chooses the entries for a partial restore: the named schemas with what is in them, the named tables with indexes, constraints, triggers, and
 * partitions, and whatever these need (types, functions, sequences, parents). Foreign keys to tables that are not restored stay out.
 * @returns dump ids, in the archive's order
 * @throws inputInvalid when the dump has no such schema or table
 */
export const selectEntries = (toc: DumpToc, only: LogicalOnly): number[] => {
  const byId = new Map(toc.entries.map((entry) => [entry.dumpId, entry]));
  const dependents = new Map<number, TocEntry[]>();
  for (const entry of toc.entries)
    for (const id of entry.dependencies) dependents.set(id, [...(dependents.get(id) ?? []), entry]);
  const chosen = new Set<number>();
  const missing: string[] = [];

  const schemas = only.schemas ?? [];
  for (const schema of schemas) {
    const inside = toc.entries.filter(
      (entry) => same(entry.namespace, schema) || (entry.desc === 'SCHEMA' && same(entry.tag, schema)),
    );
    if (inside.length === 0 && schema !== 'public') missing.push(`schema ${schema}`);
    for (const entry of inside) chosen.add(entry.dumpId);
  }
  const roots: TocEntry[] = [];
  for (const text of only.tables ?? []) {
    const wanted = parseTableName(text);
    const found = toc.entries.filter(
      (entry) => relations.has(entry.desc) && same(entry.namespace, wanted.schema) && same(entry.tag, wanted.name),
    );
    if (found.length === 0) missing.push(`table ${text}`);
    roots.push(...found);
  }
  if (missing.length > 0) throw new ResurgoError('inputInvalid', `The backup has no ${missing.join(', ')}`);

  for (let root = roots.pop(); root !== undefined; root = roots.pop()) {
    if (!chosen.has(root.dumpId)) chosen.add(root.dumpId);
    for (const entry of dependents.get(root.dumpId) ?? []) {
      if (entry.desc === 'TABLE ATTACH') {
        // A partition of this table (or this table's own attachment, which then names a parent that is not chosen).
        for (const id of entry.dependencies) {
          const child = byId.get(id);
          if (child?.desc === 'TABLE' && child.dumpId !== root.dumpId && child.tag === entry.tag && !chosen.has(id))
            roots.push(child);
        }
      } else if (belongings.has(entry.desc)) {
        if (!chosen.has(entry.dumpId)) roots.push(entry); // Its own comments and privileges too.
      }
    }
  }
  // Whatever the chosen need; tables that come in this way come without data, so that nothing can refer to their rows.
  const withData = new Set(chosen);
  const pending = [...chosen];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const entry = byId.get(id);
    if (entry === undefined) continue;
    if (
      entry.desc === 'FK CONSTRAINT' &&
      entry.dependencies.some((dependency) => byId.get(dependency)?.desc === 'TABLE' && !withData.has(dependency))
    ) {
      chosen.delete(id);
      continue;
    }
    for (const dependency of entry.dependencies) {
      if (byId.has(dependency) && !chosen.has(dependency)) {
        chosen.add(dependency);
        pending.push(dependency);
      }
    }
  }
  // An attachment only when both sides are there.
  for (const entry of toc.entries) {
    if (always.has(entry.desc)) chosen.add(entry.dumpId);
    // Privileges and comments of schemas, types and functions that came in.
    if (
      (entry.desc === 'ACL' || entry.desc === 'COMMENT') &&
      entry.dependencies.length > 0 &&
      entry.dependencies.every((id) => chosen.has(id))
    )
      chosen.add(entry.dumpId);
    if (entry.desc === 'TABLE ATTACH') {
      if (entry.dependencies.every((id) => byId.get(id)?.desc !== 'TABLE' || chosen.has(id))) chosen.add(entry.dumpId);
      else chosen.delete(entry.dumpId);
    }
  }
  return toc.entries.filter((entry) => chosen.has(entry.dumpId)).map((entry) => entry.dumpId);
};
