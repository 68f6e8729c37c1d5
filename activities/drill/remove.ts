import { readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { lockIds } from '../../domain/ids.ts';
import { identify, sweepProcesses, sweepStaging } from '../../providers/host/processes.ts';
import { clusterProcesses } from '../../providers/postgres/cluster-processes.ts';
import { releaseSharedMemory } from '../../providers/postgres/shared-memory.ts';
import type { ActivityDeps } from '../deps.ts';
import { removeStaging } from '../staging.ts';
import { drillMarks, ownsRoot, removeDrillMark, removeRoot, type DrillMark } from './places.ts';

/** Ends what works in a drill's directory and removes it. Gone already is success. @throws unsafePath when the directory is not the drill's */
export async function removeDrill(deps: Pick<ActivityDeps, 'loaded' | 'stores'>, mark: DrillMark): Promise<string> {
  const owned = await ownsRoot(mark);
  if (owned === false) throw new ResurgoError('unsafePath', `${mark.root} does not carry the mark of drill ${mark.id}: it is left alone`, { details: { hint: 'Look what it is, remove it by hand, and delete the mark under .resurgo/drills.' } });
  if (owned === true) {
    await sweepStaging(mark.root);
    for (const name of await readdir(mark.root)) await endServer(join(mark.root, name));
    await removeRoot(mark);
  }
  await rm(mark.home, { recursive: true, force: true });
  if (Object.hasOwn(deps.loaded.config.targets, mark.target)) await removeStaging(deps, mark.target, mark.id);
  await removeDrillMark(deps.loaded.stateDir, mark.id);
  return owned === undefined ? 'nothing was there' : `${mark.root} was removed`;
}

/** Processes of PostgreSQL on that data directory, and the shared memory that a killed postmaster leaves. */
async function endServer(dataDir: string): Promise<void> {
  const real = await realpath(dataDir).catch(() => undefined);
  if (real === undefined) return;
  for (let tries = 0; tries < 5; tries++) {
    const running = await clusterProcesses(real);
    if (running.length === 0) break;
    const identities = await Promise.all(running.map(({ pid }) => identify(pid)));
    await sweepProcesses(identities.flatMap((identity) => identity ?? []));
  }
  await releaseSharedMemory(real);
}

export interface Reaped {
  readonly removed: readonly string[];
  readonly problems: readonly string[];
}

/**
 * Removes what drills left on this host whose run is not alive. Whoever holds the drill lock of `holder.target` says so with its own id: every other drill of
 * that target is dead. Of other targets only what no run holds now.
 */
export async function reapDrills(deps: Pick<ActivityDeps, 'loaded' | 'stores' | 'isRunning'>, holder?: { readonly target: string; readonly id: string }): Promise<Reaped> {
  const removed: string[] = [];
  const problems: string[] = [];
  for (const mark of await drillMarks(deps.loaded.stateDir)) {
    if (mark.id === holder?.id) continue;
    try {
      const alive = mark.target === holder?.target ? false : await deps.isRunning?.(lockIds.drill(mark.target));
      // Not known is alive: what is at work must not lose its ground.
      if (alive !== false) continue;
      await removeDrill(deps, mark);
      removed.push(mark.id);
    } catch (error) {
      problems.push(`drill ${mark.id} of ${mark.target}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { removed, problems };
}
