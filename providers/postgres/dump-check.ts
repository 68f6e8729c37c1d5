import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { TableFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import type { DumpPacker, PackedFile } from './dump-packer.ts';
import { parseToc, TocIncomplete, type DumpToc, type TocEntry } from './dump-toc.ts';
import type { DatabaseFacts } from './logical-facts.ts';
import type { LogicalTools } from './logical-tools.ts';

export interface CheckedDump {
  readonly tables: readonly TableFacts[];
  readonly largeObjects: number;
  readonly checks: readonly string[];
}

/** Entries that pg_restore itself reads in the dump. @throws dumpFailed */
export const listDump = async (
  directory: string,
  tools: LogicalTools,
  env: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<Set<number>> => {
  const ids = new Set<number>();
  let rest = '';
  await runTool({
    command: tools.pgRestore,
    args: ['--list', directory],
    env,
    signal,
    onStdout: (chunk) => {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const id = /^(\d+); /.exec(line)?.[1];
        if (id !== undefined) ids.add(Number(id));
      }
    },
  });
  return ids;
};

/** What belongs to the database itself, which pg_restore does not list. */
const unlisted = new Set(['ENCODING', 'STDSTRINGS', 'SEARCHPATH', 'DATABASE', 'DATABASE PROPERTIES']);

/** Whether pg_restore has anything to list: an empty database has only entries about itself. */
export const hasListed = (toc: DumpToc): boolean =>
  toc.entries.some((entry) => !unlisted.has(entry.desc) && !entry.tag.startsWith('DATABASE '));

/**
 * Exact facts of every table with data. `found` gives what was packed for an entry.
 * @throws dumpFailed when one is missing or does not end as pg_dump ends a table
 */
export const tableFacts = (
  toc: DumpToc,
  facts: DatabaseFacts,
  found: (entry: TocEntry) => PackedFile | undefined,
): TableFacts[] => {
  const tables: TableFacts[] = [];
  for (const entry of toc.entries) {
    if (entry.desc !== 'TABLE DATA' || !entry.hasData) continue;
    const { schema, name, ofExtension } = facts.tables.get(entry.oid) ?? {
      schema: entry.namespace ?? '',
      name: entry.tag,
      ofExtension: false,
    };
    const packed = found(entry);
    if (packed === undefined)
      throw new ResurgoError(
        'dumpFailed',
        `The dump has no data for table ${schema}.${name} (entry ${String(entry.dumpId)})`,
      );
    if (packed.copy?.complete !== true)
      throw new ResurgoError(
        'dumpFailed',
        `The data of table ${schema}.${name} (entry ${String(entry.dumpId)}, ${String(packed.bytes)} bytes) is cut short`,
      );
    tables.push({ schema, name, rows: packed.copy.rows, bytes: packed.bytes, ...(ofExtension ? { ofExtension } : {}) });
  }
  return tables.sort((a, b) => (a.schema < b.schema ? -1 : a.schema > b.schema ? 1 : a.name < b.name ? -1 : 1));
};

const readToc = (bytes: Buffer): DumpToc => {
  try {
    return parseToc(bytes);
  } catch (error) {
    if (!(error instanceof TocIncomplete)) throw error;
    throw new ResurgoError('dumpFailed', `The table of contents of the dump is cut off after ${String(bytes.length)} bytes`, { cause: error });
  }
};

/** Lines of the packed lists of large objects, which must all be there. */
const largeObjectsOf = (lists: ReadonlyMap<string, string>, packer: DumpPacker): number => {
  let count = 0;
  for (const [list, content] of lists) {
    for (const line of content.split('\n')) {
      if (line === '') continue;
      const file = /^\d+ (blob_\d+\.dat)$/.exec(line)?.[1];
      if (file === undefined || !packer.done.has(file))
        throw new ResurgoError(
          'dumpFailed',
          `${list} of the dump names ${JSON.stringify(line)}, which is not in the dump`,
        );
      count++;
    }
  }
  return count;
};

/**
 * The engine's own check of a dump whose files, except toc.dat, have been packed: pg_restore reads its list, the list is the one we
 * read, every entry with data has its file, every table's data ends as pg_dump ends it.
 * @throws dumpFailed, dumpEmpty
 */
export const checkDump = async (options: {
  directory: string;
  packer: DumpPacker;
  facts: DatabaseFacts;
  tools: LogicalTools;
  env: Record<string, string>;
  database: string;
  signal: AbortSignal | undefined;
}): Promise<CheckedDump> => {
  const { packer } = options;
  const bytes = await readFile(join(options.directory, 'toc.dat')).catch((cause: unknown) => {
    throw new ResurgoError('dumpEmpty', `pg_dump of ${options.database} left no table of contents`, { cause });
  });
  if (bytes.length === 0)
    throw new ResurgoError('dumpEmpty', `pg_dump of ${options.database} left an empty table of contents`);
  const toc = readToc(bytes);
  const listed = await listDump(options.directory, options.tools, options.env, options.signal);
  const known = new Set(toc.entries.map((entry) => entry.dumpId));
  const unread = [...listed].filter((id) => !known.has(id));
  if (listed.size === 0 && hasListed(toc))
    throw new ResurgoError('dumpFailed', 'pg_restore --list found nothing in the dump');
  if (unread.length > 0)
    throw new ResurgoError(
      'dumpFailed',
      `pg_restore --list shows entries ${unread.slice(0, 5).join(', ')} that were not found in toc.dat`,
    );
  const expected = new Set<string>();
  for (const entry of toc.entries) {
    if (!entry.hasData || entry.file === undefined) continue;
    expected.add(entry.file);
    if (entry.desc !== 'TABLE DATA' && !packer.done.has(entry.file))
      throw new ResurgoError('dumpFailed', `The dump has no file ${entry.file} for ${entry.desc} ${entry.tag}`);
  }
  const stray = [...packer.done.keys()].filter((name) => !expected.has(name) && !/^blob_\d+\.dat$/.test(name));
  if (stray.length > 0)
    throw new ResurgoError(
      'dumpFailed',
      `The dump has files that its table of contents does not name: ${stray.slice(0, 5).join(', ')}`,
    );
  const largeObjects = largeObjectsOf(packer.lists, packer);
  const tables = tableFacts(toc, options.facts, (entry) => packer.done.get(entry.file ?? ''));
  return {
    tables,
    largeObjects,
    checks: ['pg_restore --list', 'every data file present and complete', 'rows counted while sealing'],
  };
};
