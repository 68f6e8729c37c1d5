import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RestorePlan, RestoreResult } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { ResurgoError } from '../domain/errors.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { readSwaps, readSwapsOf, swapsPrefix, writeSwap } from '../providers/repository/swap-notes.ts';
import type { ActivityDeps } from './deps.ts';
import { sweepAfterCrash } from './sweep.ts';

export interface RestoreRecord {
  readonly schemaVersion: 1;
  readonly plan: RestorePlan;
  readonly result: RestoreResult;
}

const localPath = (stateDir: string, id: string): string => join(stateDir, 'restores', `${id}.json`);
const restoresOf = (target: string): string => `evidence/restores/${target}/`;
const remoteKey = (target: string, id: string): string => `${restoresOf(target)}${id}.json`;

/** On this host, and in every repository that takes it: evidence outlives Temporal's history. @throws when neither place took it */
export async function writeRestoreRecord(deps: ActivityDeps, plan: RestorePlan, result: RestoreResult): Promise<void> {
  const record: RestoreRecord = { schemaVersion: 1, plan, result };
  const body = Buffer.from(`${JSON.stringify(record, null, 1)}\n`);
  const path = localPath(deps.loaded.stateDir, plan.id);
  await mkdir(join(deps.loaded.stateDir, 'restores'), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.tmp`, body, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
  for (const name of plan.repositories) {
    await deps.stores.open(name).then(async (store) => {
      await sweepAfterCrash(store, restoresOf(plan.target));
      await store.put(remoteKey(plan.target, plan.id), body);
    }).catch(() => undefined);
  }
}

/**
 * In every repository of the target: what was taken before is not what the server grew from any more (`in`), or is again (`back`). Only a whole cluster keeps its
 * identity over a swap. A repository that lacks the `in` of what goes back gets that too: without it nothing tells what was taken meanwhile.
 * @throws when no repository took it
 */
export async function noteSwap(deps: ActivityDeps, plan: RestorePlan, way: 'in' | 'back', at: string, swappedInAt = at): Promise<void> {
  const systemId = plan.chain.at(-1)?.systemId;
  if (plan.engine !== 'physical' || plan.mode !== 'in-place' || systemId === undefined) return;
  let problem: Error | undefined;
  const stores: ObjectStore[] = [];
  for (const name of new Set([...repositoriesFor(deps.loaded.config, plan.target), ...plan.repositories])) {
    await deps.stores.open(name).then((store) => stores.push(store), (error: unknown) => { problem ??= error instanceof Error ? error : new Error(String(error)); });
  }
  const known = (await readSwapsOf(stores, plan.target, systemId)).find((swap) => swap.restore === plan.id && swap.way === 'in');
  const begun = known === undefined ? swappedInAt : new Date(known.at).toISOString();
  let noted = 0;
  for (const store of stores) {
    await (async () => {
      await sweepAfterCrash(store, swapsPrefix(plan.target, systemId));
      const own = (await readSwaps(store, plan.target, systemId)).some((swap) => swap.restore === plan.id && swap.way === 'in');
      if (!own) await writeSwap(store, plan.target, systemId, { restore: plan.id, at: begun, way: 'in' });
      if (way === 'back') await writeSwap(store, plan.target, systemId, { restore: plan.id, at, way });
    })().then(() => noted++, (error: unknown) => { problem ??= error instanceof Error ? error : new Error(String(error)); });
  }
  if (noted === 0 && problem !== undefined) throw problem;
}

/** Plans of the restores of a target in place that this host knows of, whatever became of them. */
export async function plansInPlace(stateDir: string, target: string): Promise<RestorePlan[]> {
  const names = (await readdir(join(stateDir, 'restores')).catch(() => [] as string[])).filter((name) => /^[^.]+\.json$/.test(name));
  const plans = await Promise.all(names.map(async (name): Promise<RestorePlan[]> => {
    try {
      const { plan } = JSON.parse(await readFile(join(stateDir, 'restores', name), 'utf8')) as RestoreRecord;
      return plan.target === target && plan.mode === 'in-place' ? [plan] : [];
    } catch {
      return [];
    }
  }));
  return plans.flat();
}

/** @throws backupUnknown when no such restore is known */
export async function readRestoreRecord(deps: Pick<ActivityDeps, 'loaded' | 'stores'>, target: string, id: string): Promise<RestoreRecord> {
  const local = await readFile(localPath(deps.loaded.stateDir, id), 'utf8').catch(() => undefined);
  if (local !== undefined) return JSON.parse(local) as RestoreRecord;
  for (const name of deps.stores.names()) {
    const body = await deps.stores.open(name).then((store) => store.get(remoteKey(target, id))).catch(() => undefined);
    if (body !== undefined) return JSON.parse(body.toString('utf8')) as RestoreRecord;
  }
  throw new ResurgoError('backupUnknown', `there is no record of a restore ${id} of ${target}`, { details: { hint: 'The id stands in the result of `resurgo restore`.' } });
}
