import { mkdir, open, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { stagingMarker, sweepStaging } from '../host/processes.ts';
import { isDiskFull } from '../host/space.ts';
import { analyzeDatabase } from './analyze.ts';
import type { PostgresConnection } from './connection.ts';
import { buildMark, clearDestination, createDatabase, parseBuildMark } from './create-database.ts';
import { applyProperties, applySettings, setDatabaseComment } from './database-properties.ts';
import { extractDump } from './dump-extract.ts';
import { parseToc, TocIncomplete, type DumpToc } from './dump-toc.ts';
import { isPartial, parseTableName } from './logical-only.ts';
import { databaseArgument, toolsFor, type LogicalTools, type LogicalToolsFinder } from './logical-tools.ts';
import { databaseState, dropDatabase, fromServer, withMaintenance } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteIdent } from './quote.ts';
import { meetPreconditions, type GlobalsPolicy } from './restore-preconditions.ts';
import { selectEntries } from './restore-selection.ts';

export interface LogicalRestoreOptions {
  readonly reader: BackupReader;
  /** Where to; its database is used for maintenance where it can be. */
  readonly connection: PostgresConnection;
  /** The database to create. */
  readonly database: string;
  /** The restore's id: marks what it builds, so that its own leftovers are known. */
  readonly id: string;
  readonly jobs: number;
  /** A directory of this restore's own; emptied when this returns. */
  readonly staging: string;
  readonly tools: LogicalTools | LogicalToolsFinder;
  readonly only?: LogicalOnly | undefined;
  /** What to do about roles the destination lacks. Default `create-missing`. */
  readonly globals?: GlobalsPolicy;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface LogicalRestoreResult {
  readonly database: string;
  readonly files: number;
  readonly bytes: number;
  /** Rows the dump has for what was restored. */
  readonly rows: number;
  readonly warnings: readonly string[];
}

/** The facts of a logical backup. @throws unsupported for a physical one */
export const logicalFacts = (reader: BackupReader): LogicalFacts => {
  const { engine } = reader.index;
  if (engine.engine !== 'logical') throw new ResurgoError('unsupported', `Backup ${reader.manifest.id} is ${engine.engine}, not logical`);
  return engine;
};

/** Not waiting for the disk at every commit is safe here: a later commit that does wait covers all before it, and unfinished builds are dropped. */
const sessionOptions = '-c synchronous_commit=off -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0';

const restoreError = (error: unknown, database: string): unknown => {
  if (!isResurgoError(error, 'toolFailed')) return error;
  if (isDiskFull(error)) return new ResurgoError('destinationSpace', `The disk of the server became full while ${database} was restored`, { cause: error, details: error.details });
  if (/unsupported version .* in file header/.test(error.message)) return new ResurgoError('toolVersion', `pg_restore is older than the pg_dump that made this backup: ${error.message}`, { cause: error });
  if (/unrecognized configuration parameter/.test(error.message)) {
    return new ResurgoError('toolVersion', `pg_restore is too new for the destination server: ${error.message}`, { cause: error, details: { hint: 'Use the client programs of the server\'s own major version.' } });
  }
  return new ResurgoError('restoreFailed', `pg_restore into ${database}: ${error.message}`, { cause: error, details: error.details });
};

interface Selection {
  readonly ids: readonly number[] | undefined;
  readonly files: ReadonlySet<string> | undefined;
}

const select = (toc: DumpToc, only: LogicalOnly | undefined): Selection => {
  if (!isPartial(only)) return { ids: undefined, files: undefined };
  const ids = selectEntries(toc, only);
  const chosen = new Set(ids);
  return { ids, files: new Set(toc.entries.flatMap((entry) => (chosen.has(entry.dumpId) && entry.file !== undefined ? [entry.file] : []))) };
};

/** The table of contents of a custom-format file, reading no more of it than needed. */
const headOf = async (path: string): Promise<DumpToc> => {
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
const scopeOf = (facts: LogicalFacts, only: LogicalOnly | undefined): LogicalOnly | undefined => {
  if (!isPartial(facts.only)) return isPartial(only) ? only : undefined;
  if (!isPartial(only)) return facts.only;
  const schemas = facts.only.schemas ?? [];
  const listed = new Set((facts.only.tables ?? []).map((text) => JSON.stringify(parseTableName(text))));
  const has = (text: string): boolean => {
    const table = parseTableName(text);
    return schemas.includes(table.schema) || listed.has(JSON.stringify(table)) || facts.tables.some(({ schema, name }) => schema === table.schema && name === table.name);
  };
  const absent = [...(only.schemas ?? []).filter((schema) => !schemas.includes(schema)), ...(only.tables ?? []).filter((table) => !has(table))];
  if (absent.length > 0) throw new ResurgoError('inputInvalid', `The backup holds only a part of the database, without the data of ${absent.join(', ')}`);
  return only;
};

/**
 * Creates a database as recorded and restores the dump into it. An earlier half-built one of the same restore is dropped first; on failure the database
 * is dropped again. It stays marked by its comment until {@link settleDatabase} or a swap takes it into use.
 * @throws destinationNotEmpty, destinationBusy, destinationSpace, sourceVersion, extensionMissing, roleMissing, toolVersion, restoreFailed, cancelled
 */
export const restoreLogical = async (options: LogicalRestoreOptions): Promise<LogicalRestoreResult> => {
  const { reader, connection, database, id, signal } = options;
  const facts = logicalFacts(reader);
  const only = scopeOf(facts, options.only);
  const report = (phase: string, doneBytes?: number): void => options.onProgress?.({ phase, ...(doneBytes === undefined ? {} : { doneBytes }), totalBytes: reader.manifest.bytes.source });
  await mkdir(options.staging, { recursive: true, mode: 0o700 });
  const staging = join(await realpath(options.staging), 'restore');
  await sweepStaging(staging);
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { mode: 0o700 });
  try {
    return await withMaintenance(connection, [database], async (client) => {
      const server = await client.query<{ version: string }>(`select current_setting('server_version') as version`);
      const tools = await toolsFor(options.tools, server.rows[0]?.version ?? '');
      const ready = await meetPreconditions(client, facts, options.globals ?? 'create-missing');
      const warnings = [...ready.warnings];
      await clearDestination(connection, client, database, id, signal);

      const isTar = reader.index.streams.some((stream) => stream.name === 'dump.tar');
      const selection = select(isTar ? parseToc(await reader.read('dump.tar', 'toc.dat', signal)) : { version: '', format: 'custom', serverVersion: '', dumpVersion: '', entries: [], end: 0 }, isTar ? only : undefined);
      let bytes = 0;
      const source = await extractDump({ reader, staging, wanted: selection.files, signal, onBytes: (count) => report('fetch', (bytes += count)) });
      const partial = isTar || only === undefined ? selection.ids : selectEntries(await headOf(source), only);

      warnings.push(...(await createDatabase(client, database, id, facts)));
      try {
        if (facts.properties !== undefined) warnings.push(...(await applySettings(client, database, facts.properties, 'database')));
        const args = ['--exit-on-error', '--no-password', `--jobs=${String(options.jobs)}`, `--dbname=${databaseArgument(database)}`];
        if (!ready.tablespaces) args.push('--no-tablespaces');
        if (partial !== undefined) {
          const list = join(staging, 'list');
          await writeFile(list, partial.map((dumpId) => `${String(dumpId)};\n`).join(''), { mode: 0o600 });
          args.push(`--use-list=${list}`);
        }
        const env = connection.toolEnv(database);
        report('restore');
        await runTool({
          command: tools.pgRestore, args: [...args, source], signal,
          env: { ...env, [stagingMarker]: staging, PGOPTIONS: [env['PGOPTIONS'], sessionOptions].filter(Boolean).join(' ') },
        });
        await rm(source, { recursive: true, force: true });
        report('analyze');
        warnings.push(...(await analyzeDatabase(connection, database, options.jobs, signal)));
        if (facts.properties !== undefined) warnings.push(...(await applyProperties(client, database, facts.owner, facts.properties)));
        const { comment } = facts.properties ?? {};
        await setDatabaseComment(client, database, buildMark(id, 'built', { ...(comment === undefined ? {} : { comment }), ...(only === undefined ? {} : { partial: true }) }));
      } catch (error) {
        // The next attempt would drop it too; but nothing half-built should be left lying when we can help it.
        await withMaintenance(connection, [database], (again) => dropDatabase(again, database)).catch(() => undefined);
        throw restoreError(error, database);
      }
      const files = new Set(selection.files ?? []);
      const restored = tablesRestored(facts, only);
      return {
        database,
        files: selection.files === undefined ? (reader.index.streams.find((stream) => stream.name === 'dump.tar')?.files?.length ?? 1) : files.size,
        bytes,
        rows: restored.reduce((sum, table) => sum + table.rows, 0),
        warnings,
      };
    }, signal);
  } catch (error) {
    if (signal?.aborted) throw isResurgoError(error, 'cancelled') ? error : new ResurgoError('cancelled', `The restore into ${database} was cancelled`, { cause: error });
    throw fromServer(error) ? mapPostgresError(error, `restoring into ${database}`, connection, 'restoreFailed') : error;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
};

/** Tables of the backup that a (partial) restore must bring back. Partitions of a chosen table are not known here and not counted. */
export const tablesRestored = (facts: LogicalFacts, only: LogicalOnly | undefined): LogicalFacts['tables'] => {
  if (!isPartial(only)) return facts.tables;
  const names = new Set((only.tables ?? []).map((text) => JSON.stringify(parseTableName(text))));
  return facts.tables.filter((table) => only.schemas?.includes(table.schema) === true || names.has(JSON.stringify({ schema: table.schema, name: table.name })));
};

/**
 * Takes a built database into use under its final name: renamed if need be, with the comment the backed-up one had. Done already is success.
 * @throws destinationNotEmpty when the final name has been taken meanwhile
 */
export const settleDatabase = async (options: { connection: PostgresConnection; built: string; database: string; id: string; signal?: AbortSignal | undefined }): Promise<void> =>
  withMaintenance(options.connection, [options.built, options.database], async (client) => {
    const { built, database, id } = options;
    const state = await databaseState(client, built);
    if (state === undefined && built !== database && (await databaseState(client, database)) !== undefined) return;
    const mark = parseBuildMark(state?.comment);
    if (mark?.id !== id || mark.state !== 'built') {
      if (built === database && state !== undefined && mark === undefined) return;
      throw new ResurgoError('restoreFailed', `Database ${built} is not a finished build of restore ${id}`);
    }
    if (built !== database) {
      if ((await databaseState(client, database)) !== undefined) await clearDestination(options.connection, client, database, id, options.signal);
    }
    await client.query('begin');
    try {
      if (built !== database) await client.query(`alter database ${quoteIdent(built)} rename to ${quoteIdent(database)}`);
      await setDatabaseComment(client, database, mark.notes.comment);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      throw mapPostgresError(error, `taking ${built} into use as ${database}`, options.connection, 'restoreFailed');
    }
  }, options.signal);

/** Drops what restore `id` built, and nothing else. Gone already is success. */
export const discardDatabase = async (connection: PostgresConnection, database: string, id: string): Promise<boolean> =>
  withMaintenance(connection, [database], async (client) => {
    const state = await databaseState(client, database);
    if (state === undefined || parseBuildMark(state.comment)?.id !== id) return false;
    await dropDatabase(client, database);
    return true;
  });
