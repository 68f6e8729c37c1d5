import { chmod, chown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatConninfo } from '../../domain/conninfo.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { OnProgress } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { syncDirectory } from '../host/files.ts';
import { assertNotRunning } from './cluster-processes.ts';
import type { PostgresConnection } from './connection.ts';
import { restoreOwner } from './restore-owner.ts';
import { isMountPoint } from './restore-places.ts';
import { configureStandby, readOwnFiles, writeOwnFiles, type StandbyConfig } from './standby-config.ts';
import { findPgTool } from './tools.ts';

export interface CloneOptions {
  readonly primary: PostgresConnection;
  readonly upstream: { readonly host: string; readonly port: number };
  readonly major: number;
  readonly dataDir: string;
  readonly run: string;
  readonly config: StandbyConfig;
  readonly toolDirs: readonly string[];
  readonly checkpoint: 'fast' | 'spread';
  /** What becomes of a data directory that is there: `refuse`, `replace` (removed once the new one is in its place), `keep` (renamed). */
  readonly existing: 'refuse' | 'replace' | 'keep';
  readonly signal?: AbortSignal | undefined;
  readonly report: OnProgress;
  /** Called before the old directory is touched: throws when a newer operation has taken over. */
  readonly stillOurs: () => Promise<void>;
}

const contentOf = async (path: string): Promise<string[] | undefined> => readdir(path).catch((error: unknown) => {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
});

export const keptPath = (dataDir: string, run: string): string => `${dataDir}.kept-${run}`;

/**
 * A copy of the primary as a standby, by pg_basebackup, made beside the data directory and put in its place by rename. Files of the server's own
 * (postgresql.conf, pg_hba.conf …) stay those of the directory it replaces. Again after a crash it goes on, with a fresh copy if need be.
 * @returns where the old directory is kept, or undefined
 * @throws destinationNotEmpty, destinationBusy, replicationFailed, toolMissing, toolVersion, cancelled
 */
export async function cloneStandby(options: CloneOptions): Promise<string | undefined> {
  const { dataDir, run, existing, signal } = options;
  const fresh = `${dataDir}.resurgo-new-${run}`;
  const aside = existing === 'keep' ? keptPath(dataDir, run) : `${dataDir}.resurgo-old-${run}`;
  const [old, left] = [await contentOf(dataDir), await contentOf(aside)];
  if (left !== undefined && old !== undefined && old.length > 0) return existing === 'keep' ? aside : undefined; // Swapped by an attempt before.
  const occupied = (old?.length ?? 0) > 0;
  if (occupied && existing === 'refuse') throw new ResurgoError('destinationNotEmpty', `${dataDir} is not empty.`, { details: { hint: '`resurgo standby rebuild` replaces a standby, `resurgo rejoin` brings an old primary back.' } });
  if (occupied && (await isMountPoint(dataDir))) throw new ResurgoError('destinationNotEmpty', `${dataDir} is a mount point, which cannot be swapped by rename.`, { details: { hint: 'Use --by rewind, or put the data directory below the mount point.' } });
  await assertNotRunning(dataDir);
  const before = left === undefined ? dataDir : aside;
  const owner = await restoreOwner(before);
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  await chmod(fresh, 0o700);
  if (owner !== undefined) await chown(fresh, owner.uid, owner.gid);
  await copy(options, fresh, owner);
  if (occupied || left !== undefined) await writeOwnFiles(fresh, await withoutFence(before));
  await configureStandby(fresh, options.config);
  signal?.throwIfAborted();
  await options.stillOurs();
  await assertNotRunning(dataDir);
  if (occupied) await rename(dataDir, aside);
  else if (old !== undefined && !(await isMountPoint(dataDir))) await rm(dataDir, { recursive: true });
  await rename(fresh, dataDir);
  await syncDirectory(dirname(dataDir));
  return existing === 'keep' && (occupied || left !== undefined) ? aside : undefined;
}

const withoutFence = async (dataDir: string): Promise<Record<string, string>> =>
  Object.fromEntries(Object.entries(await readOwnFiles(dataDir)).map(([name, text]) => [name, text.split('\n').filter((line) => !line.endsWith('# resurgo fence')).join('\n')]));

/** Removes what a replacement left aside, once the new server works. Idempotent. */
export const dropReplaced = (dataDir: string, run: string): Promise<void> => rm(`${dataDir}.resurgo-old-${run}`, { recursive: true, force: true });

async function copy({ primary, upstream, major, config, toolDirs, signal, report, checkpoint }: CloneOptions, into: string, owner: { readonly uid: number; readonly gid: number } | undefined): Promise<void> {
  const tool = await findPgTool('pg_basebackup', major, { dirs: toolDirs });
  const { PGHOST: _, PGPORT: __, ...env } = primary.toolEnv('replication');
  try {
    await runTool({
      command: tool.path,
      args: ['--pgdata', into, '--wal-method', 'stream', '--checkpoint', checkpoint, '--slot', config.slot, '--no-password', '--progress', '--verbose',
        '--dbname', formatConninfo(new Map([['host', upstream.host], ['port', String(upstream.port)], ['application_name', 'resurgo-clone']]))],
      env, cwd: '/', signal, ...(owner === undefined ? {} : { uid: owner.uid, gid: owner.gid }),
      onStderrLine: (line) => {
        const match = /(\d+)\/(\d+) kB/.exec(line.split('\r').at(-1) ?? '');
        if (match) report({ phase: 'copy the primary', doneBytes: Number(match[1]) * 1024, totalBytes: Number(match[2]) * 1024 });
      },
    });
  } catch (error) {
    await rm(into, { recursive: true, force: true });
    if (!isResurgoError(error, 'toolFailed')) throw error;
    throw new ResurgoError('replicationFailed', `The primary could not be copied: ${error.message}`, { cause: error, details: { hint: 'Check the REPLICATION right, pg_hba.conf and max_wal_senders of the primary, and free space; tablespaces need empty directories here.' } });
  }
}

/** Owner of a data directory, or of the place where it is going to be. */
export const ownerOf = async (dataDir: string): Promise<number> => stat(dataDir).then(({ uid }) => uid, () => stat(dirname(dataDir)).then(({ uid }) => uid));
