import { mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { startTool } from '../host/child.ts';
import { stagingMarker, sweepStaging } from '../host/processes.ts';
import { freeBytes } from '../host/space.ts';
import type { PostgresConnection } from './connection.ts';
import { checkDump, type CheckedDump } from './dump-check.ts';
import { DumpPacker } from './dump-packer.ts';
import { defaultBound, estimate, stagingNeed } from './dump-space.ts';
import { packWhileDumping } from './pack-while-dumping.ts';
import { dumpError, lockHint } from './dump-errors.ts';
import { dumpThroughPipe } from './logical-dump-stream.ts';
import { readDatabaseFacts } from './logical-facts.ts';
import { dumpGlobals } from './logical-globals.ts';
import { fromServer } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { resolveOnly, type ResolvedOnly } from './logical-only.ts';
import { assertSameStorage, withSnapshot } from './logical-snapshot.ts';
import { databaseArgument, toolsFor, type LogicalTools, type LogicalToolsFinder } from './logical-tools.ts';

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

/**
 * Dumps one database by `pg_dump -Fd -jN` under one snapshot into the streams `globals.sql` and `dump.tar`. Files are sealed and
 * deleted while the dump runs; rows are counted in the very bytes that are sealed.
 * @throws dumpFailed, dumpEmpty, repositoryFull, destinationSpace, toolVersion, toolMissing, inputInvalid, cancelled
 */
export const dumpLogical = async (options: LogicalDumpOptions): Promise<LogicalDumpResult> => {
  const { connection, database } = options;
  if (!Number.isInteger(options.jobs) || options.jobs < 1)
    throw new ResurgoError('inputInvalid', `jobs must be at least 1, not ${String(options.jobs)}`);
  await mkdir(options.staging, { recursive: true, mode: 0o700 });
  const staging = await realpath(options.staging);
  const directory = join(staging, 'dump');
  await sweepStaging(staging);
  await rm(directory, { recursive: true, force: true });
  const env = { ...connection.toolEnv(database), [stagingMarker]: staging };
  let tools!: LogicalTools;
  const choose = async (client: Parameters<typeof resolveOnly>[0]): Promise<ResolvedOnly | undefined> => {
    const { rows } = await client.query<{ version: string; encoding: string }>(
      `select current_setting('server_version') as version, current_setting('server_encoding') as encoding`,
    );
    tools = await toolsFor(options.tools, rows[0]?.version ?? '');
    return resolveOnly(client, options.only, rows[0]?.encoding ?? '');
  };
  const lockTimeoutMs = options.lockTimeoutMs ?? 300_000;
  const work = withSnapshot(
    connection,
    { database, only: choose, lockTimeoutMs, signal: options.signal },
    async ({ client, id, only, lost }) => {
      const signal = options.signal === undefined ? lost : AbortSignal.any([options.signal, lost]);
      const facts = await readDatabaseFacts(client);
      const sizes = estimate(facts, only);
      const warnings = await dumpGlobals({ connection, client, database, writer: options.writer, tools, env, signal });
      const args = [
        '--no-password',
        `--dbname=${databaseArgument(database)}`,
        `--snapshot=${id}`,
        `--lock-wait-timeout=${String(lockTimeoutMs)}`,
        ...(only?.args ?? []),
      ];
      const locked = (): Promise<void> => assertSameStorage(connection, database, facts.tables, signal);
      const onStderrLine = (line: string): void => {
        if (/warning:/.test(line) && warnings.length < 50) warnings.push(line);
      };
      const result = (checked: CheckedDump, files: number): LogicalDumpResult => ({
        facts: {
          engine: 'logical',
          ...facts.database,
          tables: checked.tables,
          largeObjects: checked.largeObjects,
          ...(options.only === undefined ? {} : { only: options.only }),
        },
        checks: ['pg_dump exit code 0', ...checked.checks],
        warnings,
        files,
        toolVersion: tools.version,
      });
      const [need, free] = [await stagingNeed(staging, sizes, options), await freeBytes(staging)];
      if (free < need) {
        const mib = (bytes: number): string => `${String(Math.round(bytes / 1048576))} MiB`;
        warnings.push(
          `Dumped by one worker through a pipe: a parallel dump needs about ${mib(need)} of staging, ${staging} has ${mib(free)} free.`,
        );
        try {
          const onBytes = (doneBytes: number): void =>
            options.onProgress?.({ phase: 'dump', doneBytes, totalBytes: Math.max(sizes.total, doneBytes) });
          return result(
            await dumpThroughPipe({
              writer: options.writer,
              args,
              tools,
              env,
              directory,
              facts,
              database,
              signal,
              onStderrLine,
              onBytes,
              locked,
            }),
            1,
          );
        } catch (error) {
          throw dumpError(error, database, staging);
        }
      }
      const packer = new DumpPacker(directory, options.writer.openStream('dump.tar', 'tar'), {
        signal,
        pieceBytes: options.pieceBytes,
      });
      const tool = startTool({
        command: tools.pgDump,
        env,
        signal,
        onStderrLine,
        args: [
          '--format=directory',
          `--jobs=${String(options.jobs)}`,
          '--compress=0',
          '--no-sync',
          `--file=${directory}`,
          ...args,
        ],
      });
      try {
        await packWhileDumping({
          tool,
          directory,
          packer,
          locked,
          jobs: options.jobs,
          totalBytes: sizes.total,
          onProgress: options.onProgress,
          bound: options.stagingBound ?? defaultBound,
        });
        const checked = await checkDump({ directory, packer, facts, tools, env, database, signal });
        await packer.packFinal('toc.dat');
        await packer.end();
        return result(checked, packer.done.size);
      } catch (error) {
        tool.stop(error);
        const ended = await tool.done.then(
          () => undefined,
          (reason: unknown) => reason,
        );
        // pg_dump's own failure explains what we stumbled over because of it.
        throw dumpError(ended !== undefined && !isResurgoError(error) ? ended : error, database, staging);
      } finally {
        await packer.close();
        await rm(directory, { recursive: true, force: true });
      }
    },
  );
  return work.catch((error: unknown) => {
    if (options.signal?.aborted === true && !isResurgoError(error))
      throw new ResurgoError('cancelled', `The dump of ${database} was cancelled`, { cause: error });
    if ((error as { code?: string }).code === '55P03')
      throw new ResurgoError(
        'dumpFailed',
        `A table of ${database} stayed locked by another session for ${String(lockTimeoutMs)} ms`,
        { cause: error, details: { hint: lockHint } },
      );
    throw fromServer(error) ? mapPostgresError(error, `dumping ${database}`, connection) : error;
  });
};
