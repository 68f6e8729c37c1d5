import { mkdir, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { LogicalOnly } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { stagingMarker, sweepStaging } from '../host/processes.ts';
import { analyzeDatabase } from './analyze.ts';
import type { PostgresConnection } from './connection.ts';
import { buildMark, clearDestination, createDatabase } from './create-database.ts';
import { applyProperties, applySettings, setDatabaseComment } from './database-properties.ts';
import { extractDump } from './dump-extract.ts';
import { parseToc } from './dump-toc.ts';
import { databaseArgument, toolsFor, type LogicalTools, type LogicalToolsFinder } from './logical-tools.ts';
import { dropDatabase, fromServer, withMaintenance } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { restoreError } from './restore-errors.ts';
import { meetPreconditions, type GlobalsPolicy } from './restore-preconditions.ts';
import { headOf, logicalFacts, scopeOf, select, tablesRestored } from './restore-scope.ts';
import { selectEntries } from './restore-selection.ts';

export { logicalFacts, tablesRestored } from './restore-scope.ts';
export { discardDatabase, settleDatabase } from './settle-database.ts';

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

/** Not waiting for the disk at every commit is safe here: a later commit that does wait covers all before it, and unfinished builds are dropped. */
const noWait = '-c synchronous_commit=off';

/**
 * Creates a database as recorded and restores the dump into it. An earlier half-built one of the same restore is dropped first; on failure the database
 * is dropped again. It stays marked by its comment until {@link settleDatabase} or a swap takes it into use.
 * @throws destinationNotEmpty, destinationBusy, destinationSpace, sourceVersion, extensionMissing, roleMissing, toolVersion, restoreFailed, cancelled
 */
export const restoreLogical = async (options: LogicalRestoreOptions): Promise<LogicalRestoreResult> => {
  const { reader, connection, database, id, signal } = options;
  const facts = logicalFacts(reader);
  const only = scopeOf(facts, options.only);
  const report = (phase: string, doneBytes?: number): void =>
    options.onProgress?.({
      phase,
      ...(doneBytes === undefined ? {} : { doneBytes }),
      totalBytes: reader.manifest.bytes.source,
    });
  await mkdir(options.staging, { recursive: true, mode: 0o700 });
  const staging = join(await realpath(options.staging), 'restore');
  await sweepStaging(staging);
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { mode: 0o700 });
  try {
    return await withMaintenance(
      connection,
      [database],
      async (client) => {
        const server = await client.query<{ version: string }>(`select current_setting('server_version') as version`);
        const tools = await toolsFor(options.tools, server.rows[0]?.version ?? '');
        const ready = await meetPreconditions(client, facts, options.globals ?? 'create-missing');
        const warnings = [...ready.warnings];
        await clearDestination(connection, client, database, id, signal);

        const isTar = reader.index.streams.some((stream) => stream.name === 'dump.tar');
        const selection = select(
          isTar
            ? parseToc(await reader.read('dump.tar', 'toc.dat', signal))
            : { version: '', format: 'custom', serverVersion: '', dumpVersion: '', entries: [], end: 0 },
          isTar ? only : undefined,
        );
        let bytes = 0;
        const source = await extractDump({
          reader,
          staging,
          wanted: selection.files,
          signal,
          onBytes: (count) => report('fetch', (bytes += count)),
        });
        const partial = isTar || only === undefined ? selection.ids : selectEntries(await headOf(source), only);

        warnings.push(...(await createDatabase(client, database, id, facts)));
        try {
          if (facts.properties !== undefined)
            warnings.push(...(await applySettings(client, database, facts.properties, 'database')));
          const args = [
            '--exit-on-error',
            '--no-password',
            `--jobs=${String(options.jobs)}`,
            `--dbname=${databaseArgument(database)}`,
          ];
          if (!ready.tablespaces) args.push('--no-tablespaces');
          if (partial !== undefined) {
            const list = join(staging, 'list');
            await writeFile(list, partial.map((dumpId) => `${String(dumpId)};\n`).join(''), { mode: 0o600 });
            args.push(`--use-list=${list}`);
          }
          const env = connection.toolEnv(database);
          report('restore');
          await runTool({
            command: tools.pgRestore,
            args: [...args, source],
            signal,
            env: {
              ...env,
              [stagingMarker]: staging,
              PGOPTIONS: [env['PGOPTIONS'], noWait].filter(Boolean).join(' '),
            },
          });
          await rm(source, { recursive: true, force: true });
          report('analyze');
          warnings.push(...(await analyzeDatabase(connection, database, options.jobs, signal)));
          if (facts.properties !== undefined)
            warnings.push(...(await applyProperties(client, database, facts.owner, facts.properties)));
          const { comment } = facts.properties ?? {};
          await setDatabaseComment(
            client,
            database,
            buildMark(id, 'built', {
              ...(comment === undefined ? {} : { comment }),
              ...(only === undefined ? {} : { partial: true }),
            }),
          );
        } catch (error) {
          // The next attempt would drop it too; but nothing half-built should be left lying when we can help it.
          await withMaintenance(connection, [database], (again) => dropDatabase(connection, again, database)).catch(
            () => undefined,
          );
          throw restoreError(error, database);
        }
        const files = new Set(selection.files ?? []);
        const restored = tablesRestored(facts, only);
        return {
          database,
          files:
            selection.files === undefined
              ? (reader.index.streams.find((stream) => stream.name === 'dump.tar')?.files?.length ?? 1)
              : files.size,
          bytes,
          rows: restored.reduce((sum, table) => sum + table.rows, 0),
          warnings,
        };
      },
      signal,
    );
  } catch (error) {
    if (signal?.aborted)
      throw isResurgoError(error, 'cancelled')
        ? error
        : new ResurgoError('cancelled', `The restore into ${database} was cancelled`, { cause: error });
    throw fromServer(error)
      ? mapPostgresError(error, `restoring into ${database}`, connection, 'restoreFailed')
      : error;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
};
