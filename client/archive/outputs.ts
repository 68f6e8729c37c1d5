import { open as openFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { ColumnFacts } from '../../domain/dataset.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { sourceServer } from '../../activities/source-server.ts';
import { postgresSettings, targetSettings } from '../../activities/target-settings.ts';
import { formatCopyLine, formatCsvLine, formatJsonLine } from '../../providers/archive/copy-values.ts';
import { columnList, parseTableName, plainSession, qualified, readTable } from '../../providers/dataset/table-facts.ts';
import { mapPostgresError, quoteIdent } from '../../providers/postgres/connection.ts';
import { copyIn } from '../../providers/postgres/copy-stream.ts';
import { openClient } from '../../providers/postgres/connection.ts';
import { endClient } from '../../providers/postgres/postgres-client.ts';

export const fetchFormats = ['csv', 'copy', 'jsonl'] as const;
export type FetchFormat = (typeof fetchFormats)[number];

export interface RowOutput {
  readonly name: string;
  write(values: readonly (string | null)[]): Promise<void>;
  /** From now on it is there, whole. */
  finish(): Promise<void>;
  /** Leaves nothing. */
  discard(): Promise<void>;
}

/** Rows kept together for one write, bytes. */
const chunkBytes = 256 * 1024;

/** With several tables the path is a directory with a file for each. @throws destinationNotEmpty */
export async function fileOutput(path: string, { table, columns, format, several }: { readonly table: string; readonly columns: readonly ColumnFacts[]; readonly format: FetchFormat; readonly several: boolean }): Promise<RowOutput> {
  const wanted = resolve(path);
  if (several) await mkdir(wanted, { recursive: true, mode: 0o700 });
  const name = several ? join(wanted, `${table.replaceAll(/[/\0]/g, '_')}.${format}`) : wanted;
  if ((await stat(name).catch(() => undefined)) !== undefined) throw new ResurgoError('destinationNotEmpty', `${name} exists`, { details: { hint: 'Choose another file; nothing is overwritten.' } });
  const temporary = join(dirname(name), `.${basename(name)}.${String(process.pid)}.tmp`);
  const file = await openFile(temporary, 'wx', 0o600);
  let waiting = format === 'csv' ? formatCsvLine(columns.map((column) => column.name)) : '';
  const flush = async (): Promise<void> => {
    if (waiting !== '') await file.writeFile(waiting);
    waiting = '';
  };
  return {
    name,
    async write(values) {
      waiting += format === 'csv' ? formatCsvLine(values) : format === 'copy' ? formatCopyLine(values) : formatJsonLine(columns, values);
      if (waiting.length > chunkBytes) await flush();
    },
    async finish() {
      await flush();
      await file.sync();
      await file.close();
      await rename(temporary, name);
    },
    async discard() {
      await file.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
}

/** A table of its own in the database of the target, made and filled in one transaction. @throws destinationNotEmpty when one of that name exists */
export async function scratchOutput(loaded: LoadedConfig, target: string, text: string, columns: readonly ColumnFacts[], signal: AbortSignal): Promise<RowOutput> {
  const table = parseTableName(text);
  const settings = postgresSettings(targetSettings({ loaded }, target));
  const { connection } = await sourceServer({ ...settings, config: { ...settings.config, backupFrom: 'primary' } }, 'resurgo archive fetch');
  const client = await openClient(connection, { signal });
  const shown = `${table.schema}.${table.name}`;
  const queue: Buffer[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  let failure: Error | undefined;
  let waiting = '';
  let drained: (() => void) | undefined;
  const rows = async function* (): AsyncGenerator<Buffer> {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) {
        drained?.();
        yield next;
      } else if (failure !== undefined) throw failure;
      else if (ended) return;
      else await new Promise<void>((go) => { wake = go; });
    }
  };
  try {
    await plainSession(client);
    await client.query('begin');
    if ((await readTable(client, table)) !== undefined) throw new ResurgoError('destinationNotEmpty', `table ${shown} exists`, { details: { hint: 'Archived rows are fetched into new tables only; choose another name.' } });
    if (table.schema !== 'public') await client.query(`create schema if not exists ${quoteIdent(table.schema)}`);
    await client.query(`create table ${qualified(table)} (${columns.map((column) => `${quoteIdent(column.name)} ${column.type}`).join(', ')})`);
  } catch (error) {
    await endClient(client);
    throw mapPostgresError(error, `making ${shown}`, connection, 'restoreFailed');
  }
  const copy = copyIn(client, `copy ${qualified(table)} (${columnList(columns)}) from stdin`, rows());
  copy.catch((error: unknown) => {
    failure ??= error as Error;
    drained?.();
  });
  const push = async (): Promise<void> => {
    if (waiting === '') return;
    queue.push(Buffer.from(waiting));
    waiting = '';
    wake?.();
    while (queue.length > 4 && failure === undefined) await new Promise<void>((go) => { drained = go; });
    if (failure !== undefined) throw mapPostgresError(failure, `filling ${shown}`, connection, 'restoreFailed');
  };
  return {
    name: shown,
    async write(values) {
      waiting += formatCopyLine(values);
      if (waiting.length > chunkBytes) await push();
    },
    async finish() {
      try {
        await push();
        ended = true;
        wake?.();
        await copy;
        await client.query('commit');
      } catch (error) {
        throw mapPostgresError(error, `filling ${shown}`, connection, 'restoreFailed');
      } finally {
        await endClient(client);
      }
    },
    async discard() {
      failure ??= new Error('given up');
      wake?.();
      await copy.catch(() => undefined);
      await endClient(client);
    },
  };
}
