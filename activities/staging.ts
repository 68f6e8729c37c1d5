/** What a backup run keeps on its host besides the run file: spool and staging, and programs at work there. */
import { realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sweepStaging } from '../providers/host/processes.ts';
import type { ActivityDeps } from './deps.ts';
import { deleteRunFile, forgottenRuns, listRunFiles } from './run-file.ts';

/** Directory of one run or restore; `staging` of the target where it is set. */
export function stagingPath({ loaded }: Pick<ActivityDeps, 'loaded'>, target: string, id: string): string {
  const { targets } = loaded.config;
  const configured = Object.hasOwn(targets, target) ? targets[target]?.staging : undefined;
  return join(configured ?? join(loaded.stateDir, 'staging'), id);
}

/** Removes spool and staging of a run from this host, and ends what still works there. */
export async function removeStaging(deps: Pick<ActivityDeps, 'loaded' | 'stores'>, target: string, id: string): Promise<void> {
  const staging = stagingPath(deps, target, id);
  const real = await realpath(staging).catch(() => undefined);
  if (real !== undefined) await sweepStaging(real);
  await rm(staging, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  await rm(deps.stores.spoolPath(id), { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
}

/** Whoever holds the target's lock calls this: what other runs of the target left on this host belongs to the dead. */
export async function sweepOtherRuns(deps: Pick<ActivityDeps, 'loaded' | 'stores'>, target: string, own: string): Promise<void> {
  for (const run of await listRunFiles(deps.loaded.stateDir)) {
    if (run.target !== target || run.backup === own) continue;
    await removeStaging(deps, target, run.backup);
    await deleteRunFile(deps.loaded.stateDir, run.backup);
  }
  const { runs, garbage } = await forgottenRuns(deps.loaded.stateDir, Date.now());
  for (const run of runs) {
    await removeStaging(deps, run.target, run.backup);
    await deleteRunFile(deps.loaded.stateDir, run.backup);
  }
  for (const path of garbage) await rm(path, { force: true });
}
