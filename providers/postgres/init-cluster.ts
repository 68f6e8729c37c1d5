import { chown, mkdir, rm } from 'node:fs/promises';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { majorOf } from './logical-tools.ts';
import { restoreOwner } from './restore-owner.ts';
import { findPgTool, type PgTool } from './tools.ts';

export interface InitClusterOptions {
  /** Made anew; an earlier one of that name goes. */
  readonly dataDir: string;
  /** Version the dump is of: the cluster is of the same major version, or a later one. */
  readonly serverVersion?: string | undefined;
  readonly toolDirs: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** A fresh, empty cluster with superuser `postgres`, owned by whom PostgreSQL can run as. @throws toolMissing, toolVersion, restoreFailed */
export async function initCluster({ dataDir, serverVersion, toolDirs, signal }: InitClusterOptions): Promise<void> {
  const initdb = await findInitdb(serverVersion, toolDirs);
  await rm(dataDir, { recursive: true, force: true });
  await mkdir(dataDir, { mode: 0o700 });
  const owner = await restoreOwner(dataDir);
  if (owner !== undefined) await chown(dataDir, owner.uid, owner.gid);
  await runTool({
    command: initdb.path,
    args: ['-D', dataDir, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
    cwd: '/',
    signal,
    ...(owner === undefined ? {} : { uid: owner.uid, gid: owner.gid }),
  });
}

async function findInitdb(serverVersion: string | undefined, dirs: readonly string[]): Promise<PgTool> {
  const wanted = serverVersion === undefined ? undefined : majorOf(serverVersion);
  try {
    return await findPgTool('initdb', wanted, { dirs });
  } catch (error) {
    const newer = wanted === undefined ? undefined : await findPgTool('initdb', undefined, { dirs }).catch(() => undefined);
    if (newer !== undefined && newer.major >= (wanted ?? 0)) return newer;
    if (!(error instanceof ResurgoError)) throw error;
    throw new ResurgoError(error.code, `A drill of a logical backup makes a server of its own, for which a program is missing: ${error.message}`, { cause: error, details: { hint: error.hint } });
  }
}
