import { open } from 'node:fs/promises';

import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { parseToc, TocIncomplete, type DumpToc } from './dump-toc.ts';
import { isPartial, parseTableName } from './logical-only.ts';
import { selectEntries } from './restore-selection.ts';

/** The facts of a logical backup. @throws unsupported for a physical one */
export const logicalFacts = (reader: BackupReader): LogicalFacts => {
  const { engine } = reader.index;
  if (engine.engine !== 'logical')
    throw new ResurgoError('unsupported', `Backup ${reader.manifest.id} is ${engine.engine}, not logical`);
  return engine;
};

/** Tables of the backup that a (partial) restore must bring back. Partitions of a chosen table are not known here and not counted. */
export const tablesRestored = (facts: LogicalFacts, only: LogicalOnly | undefined): LogicalFacts['tables'] => {
  if (!isPartial(only)) return facts.tables;
  const names = new Set((only.tables ?? []).map((text) => JSON.stringify(parseTableName(text))));
  return facts.tables.filter(
    (table) =>
      only.schemas?.includes(table.schema) === true ||
      names.has(JSON.stringify({ schema: table.schema, name: table.name })),
  );
};

export interface Selection {
  readonly ids: readonly number[] | undefined;
  readonly files: ReadonlySet<string> | undefined;
}

/** Entries and data files to restore; undefined: all. */
export const select = (toc: DumpToc, only: LogicalOnly | undefined): Selection => {
  if (!isPartial(only)) return { ids: undefined, files: undefined };
  const ids = selectEntries(toc, only);
  const chosen = new Set(ids);
  return {
    ids,
    files: new Set(
      toc.entries.flatMap((entry) => (chosen.has(entry.dumpId) && entry.file !== undefined ? [entry.file] : [])),
    ),
  };
};

/** The table of contents of a custom-format file, reading no more of it than needed. */
export const headOf = async (path: string): Promise<DumpToc> => {
  const file = await open(path, 'r');
  try {
    for (let bytes = 1024 * 1024; ; bytes *= 4) {
      const buffer = Buffer.alloc(bytes);
      const { bytesRead } = await file.read(buffer, 0, bytes, 0);
      try {
        return parseToc(buffer.subarray(0, bytesRead));
      } catch (error) {
        if (!(error instanceof TocIncomplete) || bytesRead < bytes) throw error;
      }
    }
  } finally {
    await file.close();
  }
};

/**
 * What to restore of a backup: what is asked for, or all that a partial backup has.
 * @throws inputInvalid for what a partial backup holds no data of
 */
export const scopeOf = (facts: LogicalFacts, only: LogicalOnly | undefined): LogicalOnly | undefined => {
  if (!isPartial(facts.only)) return isPartial(only) ? only : undefined;
  if (!isPartial(only)) return facts.only;
  const schemas = facts.only.schemas ?? [];
  const listed = new Set((facts.only.tables ?? []).map((text) => JSON.stringify(parseTableName(text))));
  const has = (text: string): boolean => {
    const table = parseTableName(text);
    return (
      schemas.includes(table.schema) ||
      listed.has(JSON.stringify(table)) ||
      facts.tables.some(({ schema, name }) => schema === table.schema && name === table.name)
    );
  };
  const absent = [
    ...(only.schemas ?? []).filter((schema) => !schemas.includes(schema)),
    ...(only.tables ?? []).filter((table) => !has(table)),
  ];
  if (absent.length > 0)
    throw new ResurgoError(
      'inputInvalid',
      `The backup holds only a part of the database, without the data of ${absent.join(', ')}`,
    );
  return only;
};
