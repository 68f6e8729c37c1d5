import { mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { startTool, type RunningTool } from '../host/child.ts';
import { stagingMarker, sweepStaging } from '../host/processes.ts';
import { canPunchHoles, freeBytes, isDiskFull } from '../host/space.ts';
import type { PostgresConnection } from './connection.ts';
import { checkDump, type CheckedDump } from './dump-check.ts';
import { DumpPacker } from './dump-packer.ts';
import { DumpStaging } from './dump-staging.ts';
import { dumpThroughPipe } from './logical-dump-stream.ts';
import { readDatabaseFacts, type DatabaseFacts } from './logical-facts.ts';
import { dumpGlobals } from './logical-globals.ts';
import { fromServer } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { resolveOnly, type ResolvedOnly } from './logical-only.ts';
import { assertSameStorage, withSnapshot } from './logical-snapshot.ts';
import { toolsFor, type LogicalTools, type LogicalToolsFinder } from './logical-tools.ts';

export interface LogicalDumpOptions {
  readonly connection: PostgresConnection;
  readonly database: string;
  readonly writer: BackupWriter;
  /** A directory of this backup's own. What an earlier attempt left there, programs too, is ended and removed; nothing is left when this returns. */
  readonly staging: string;
  /** Parallel workers of pg_dump, at least 1. */
  readonly jobs: number;
  readonly only?: LogicalOnly | undefined;
  /** The programs, or how to find them; see {@link findLogicalTools}. */
  readonly tools: LogicalTools | LogicalToolsFinder;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Bytes in staging above which pg_dump is held until they are sealed; staging may need twice as much for moments. Default 256 MiB. */
  readonly stagingBound?: number;
  /** A table leaves staging in pieces of this size while it is still written. Bytes, default 64 MiB. */
  readonly pieceBytes?: number;
  /** How long a table locked by others is waited for. Default 5 min. */
  readonly lockTimeoutMs?: number;
}

export interface LogicalDumpResult {
  readonly facts: LogicalFacts;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** Files of the dump, pieces counted as one. */
  readonly files: number;
  /** Of pg_dump. */
  readonly toolVersion: string;
}

const defaultBound = 256 * 1024 * 1024;
const lookEveryMs = 30;

const lockHint = 'Find the session in pg_locks (mode AccessExclusiveLock); the dump is tried again.';

/** What went wrong with pg_dump, in our words. */
const dumpError = (error: unknown, database: string, staging: string): unknown => {
  if (!isResurgoError(error, 'toolFailed')) return error;
  const stderr = error.details.stderr ?? '';
  if (isDiskFull(error)) return new ResurgoError('repositoryFull', `The staging disk (${staging}) became full while ${database} was dumped; nothing was published`, { cause: error, details: error.details });
  const lockTimeout = /canceling statement due to lock timeout/.test(stderr);
  const lockLost = /could not obtain lock on relation/.test(stderr);
  const what = lockTimeout ? `A table of ${database} stayed locked by another session` : `pg_dump of ${database}`;
  return new ResurgoError('dumpFailed', `${what}: ${error.message}`, {
    cause: error,
    // A worker asks for its own lock and does not queue behind a waiting ALTER or TRUNCATE; a single process has its lock already.
    details: { ...error.details, ...(lockTimeout ? { hint: lockHint } : {}), ...(lockLost ? { lockLost: true, hint: 'Another session waits to change the named table; with jobs: 1 it waits until the dump has ended.' } : {}) },
  });
};

/** Moves files while pg_dump makes them, until it has ended well. toc.dat, which it writes first, stays. */
const packWhileRunning = async (options: LogicalDumpOptions, tool: RunningTool, directory: string, packer: DumpPacker, totalBytes: number, locked: () => Promise<void>): Promise<void> => {
  const staging = new DumpStaging(directory, tool.pid, options.jobs);
  const bound = options.stagingBound ?? defaultBound;
  let ended = false;
  const done = tool.done.finally(() => { ended = true; });
  done.catch(() => undefined);
  tool.stdout.resume();
  let held = false;
  let lastLook = 0;
  let checked = false;
  const report = (): void => options.onProgress?.({ phase: 'dump', doneBytes: packer.bytes, totalBytes: Math.max(totalBytes, packer.bytes) });
  while (!ended) {
    // Not busier than needed when files are many and small.
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, Math.max(0, lastLook + lookEveryMs - performance.now())))]);
    lastLook = performance.now();
    const all = await staging.look();
    // The first file there is: by then pg_dump has locked all tables.
    if (!checked && all.length > 0) {
      checked = true;
      await locked();
    }
    const files = all.filter((file) => file.name !== 'toc.dat');
    const waiting = (): number => files.reduce((sum, file) => sum + (packer.done.has(file.name) ? 0 : Math.max(0, file.size - packer.packed(file.name))), 0);
    const hold = (wanted: boolean): void => {
      if (wanted !== held) tool.hold((held = wanted));
    };
    if (waiting() > bound) hold(true);
    for (const file of files) {
      if (file.final) await packer.packFinal(file.name);
      else while (await packer.packPieces(file.name, file.size)) report();
      if (waiting() < bound / 2) hold(false);
    }
    hold(false);
    report();
  }
  await done;
  if (!checked) await locked();
  for (const file of await staging.rest()) if (file.name !== 'toc.dat') await packer.packFinal(file.name);
  report();
};

/** Bytes on disk of what will be dumped; COPY text is near to that, mostly below. */
const estimate = (facts: DatabaseFacts, only: ResolvedOnly | undefined): { total: number; largest: (count: number) => number } => {
  const chosen = only && new Set(only.tables.map((table) => JSON.stringify([table.schema, table.name])));
  const sizes = [...facts.tables.values()]
    .filter((table) => only === undefined || only.schemas.includes(table.schema) || chosen?.has(JSON.stringify([table.schema, table.name])) === true)
    .map((table) => table.diskBytes)
    .toSorted((a, b) => b - a);
  if (only === undefined) sizes.unshift(facts.largeObjectBytes);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return { total: sum(sizes), largest: (count) => sum(sizes.slice(0, count)) };
};

/** Bytes staging needs. Where holes cannot be punched, the tables being written stay whole until they are finished. */
const stagingNeed = async (staging: string, sizes: ReturnType<typeof estimate>, options: LogicalDumpOptions): Promise<number> => {
  const bounded = 2 * (options.stagingBound ?? defaultBound);
  const floor = 4 * 1024 * 1024;
  if (sizes.total <= bounded || (await canPunchHoles(staging))) return floor + Math.min(sizes.total * 1.2, bounded);
  return floor + Math.min(sizes.total, bounded + sizes.largest(options.jobs)) * 1.2;
};

/**
 * Dumps one database by `pg_dump -Fd -jN` under one snapshot into the streams `globals.sql` and `dump.tar`. Files are sealed and
 * deleted while the dump runs; rows are counted in the very bytes that are sealed.
 * @throws dumpFailed, dumpEmpty, repositoryFull, destinationSpace, toolVersion, toolMissing, inputInvalid, cancelled
 */
export const dumpLogical = async (options: LogicalDumpOptions): Promise<LogicalDumpResult> => {
  const { connection, database, signal } = options;
  if (!Number.isInteger(options.jobs) || options.jobs < 1) throw new ResurgoError('inputInvalid', `jobs must be at least 1, not ${String(options.jobs)}`);
  await mkdir(options.staging, { recursive: true, mode: 0o700 });
  const staging = await realpath(options.staging);
  const directory = join(staging, 'dump');
  await sweepStaging(staging);
  await rm(directory, { recursive: true, force: true });
  const env = { ...connection.toolEnv(database), [stagingMarker]: staging };
  let tools!: LogicalTools;
  const choose = async (client: Parameters<typeof resolveOnly>[0]): Promise<ResolvedOnly | undefined> => {
    const { rows } = await client.query<{ version: string; encoding: string }>(`select current_setting('server_version') as version, current_setting('server_encoding') as encoding`);
    tools = await toolsFor(options.tools, rows[0]?.version ?? '');
    return resolveOnly(client, options.only, rows[0]?.encoding ?? '');
  };
  const lockTimeoutMs = options.lockTimeoutMs ?? 300_000;
  const work = withSnapshot(connection, { database, only: choose, lockTimeoutMs, signal }, async ({ client, id, only }) => {
    const facts = await readDatabaseFacts(client);
    const sizes = estimate(facts, only);
    const warnings = await dumpGlobals({ connection, client, database, writer: options.writer, tools, env, signal });
    const args = ['--no-password', `--snapshot=${id}`, `--lock-wait-timeout=${String(lockTimeoutMs)}`, ...(only?.args ?? [])];
    const locked = (): Promise<void> => assertSameStorage(connection, database, facts.tables, signal);
    const onStderrLine = (line: string): void => { if (/warning:/.test(line) && warnings.length < 50) warnings.push(line); };
    const result = (checked: CheckedDump, files: number): LogicalDumpResult => ({
      facts: { engine: 'logical', ...facts.database, tables: checked.tables, largeObjects: checked.largeObjects, ...(options.only === undefined ? {} : { only: options.only }) },
      checks: ['pg_dump exit code 0', ...checked.checks],
      warnings,
      files,
      toolVersion: tools.version,
    });
    const [need, free] = [await stagingNeed(staging, sizes, options), await freeBytes(staging)];
    if (free < need) {
      const mib = (bytes: number): string => `${String(Math.round(bytes / 1048576))} MiB`;
      warnings.push(`Dumped by one worker through a pipe: a parallel dump needs about ${mib(need)} of staging, ${staging} has ${mib(free)} free.`);
      try {
        const onBytes = (doneBytes: number): void => options.onProgress?.({ phase: 'dump', doneBytes, totalBytes: Math.max(sizes.total, doneBytes) });
        return result(await dumpThroughPipe({ writer: options.writer, args, tools, env, directory, facts, database, signal, onStderrLine, onBytes, locked }), 1);
      } catch (error) {
        throw dumpError(error, database, staging);
      }
    }
    const packer = new DumpPacker(directory, options.writer.openStream('dump.tar', 'tar'), { signal, pieceBytes: options.pieceBytes });
    const tool = startTool({
      command: tools.pgDump, env, signal, onStderrLine,
      args: ['--format=directory', `--jobs=${String(options.jobs)}`, '--compress=0', '--no-sync', `--file=${directory}`, ...args],
    });
    try {
      await packWhileRunning(options, tool, directory, packer, sizes.total, locked);
      const checked = await checkDump({ directory, packer, facts, tools, env, database, signal });
      await packer.packFinal('toc.dat');
      await packer.end();
      return result(checked, packer.done.size);
    } catch (error) {
      tool.stop(error);
      const ended = await tool.done.then(() => undefined, (reason: unknown) => reason);
      // pg_dump's own failure explains what we stumbled over because of it.
      throw dumpError(ended !== undefined && !isResurgoError(error) ? ended : error, database, staging);
    } finally {
      await packer.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
  return work.catch((error: unknown) => {
    if (signal?.aborted === true && !isResurgoError(error)) throw new ResurgoError('cancelled', `The dump of ${database} was cancelled`, { cause: error });
    if ((error as { code?: string }).code === '55P03') throw new ResurgoError('dumpFailed', `A table of ${database} stayed locked by another session for ${String(lockTimeoutMs)} ms`, { cause: error, details: { hint: lockHint } });
    throw fromServer(error) ? mapPostgresError(error, `dumping ${database}`, connection) : error;
  });
};
