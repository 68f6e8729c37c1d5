/** One case of the matrix: start a run, let its worker die where the plan says, start a new one, and look at everything. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { targetOf } from '../../../config/lookup.ts';
import type { BackupKind } from '../../../domain/backup.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { engineOf } from '../../../domain/engines.ts';
import type { BackupResult } from '../../../domain/operations.ts';
import { digestDatabase } from '../../../providers/postgres/logical-digest.ts';
import { deleteBackup, listBackups } from '../../../providers/repository/catalogue.ts';
import { parsePartName } from '../../../providers/repository/layout.ts';
import type { Runs } from '../../../client/operations.ts';
import { Stores } from '../../../activities/stores.ts';
import { describeTree } from '../tree.ts';
import { onCluster } from '../physical-cluster.ts';
import type { Arena, Lane } from './arena.ts';
import { describePlan, type CrashPlan, type Effect } from './plan.ts';

export interface Crashed<R> {
  /** Undefined when the run failed. */
  readonly result: R | undefined;
  readonly error: ResurgoError | undefined;
  /** What all workers of the run did, in order. */
  readonly effects: readonly Effect[];
}

/** @throws when the run ended without the worker's death: a plan that is never reached tests nothing */
export async function throughCrash<T extends keyof Runs>({ stack }: Lane, plan: CrashPlan, type: T, input: Runs[T]['input']): Promise<Crashed<Runs[T]['result']>> {
  if (!stack.workerRuns) await stack.startWorker();
  const before = stack.effects().length;
  stack.arm(plan);
  const run = await stack.start(type, input);
  const result = stack.resultOf(run);
  const ended = result.then(() => 'ended' as const, (error: unknown) => error as Error);
  const first = await Promise.race([ended, stack.workerDeath().then(() => 'dead' as const)]);
  if (first !== 'dead' || !stack.crashed) {
    stack.disarm();
    throw new Error(`the worker did not die ${describePlan(plan)}: ${first instanceof Error ? first.message : first}`);
  }
  await stack.startWorker();
  const [outcome] = await Promise.allSettled([result]);
  return { ...(outcome.status === 'fulfilled' ? { result: outcome.value, error: undefined } : { result: undefined, error: asResurgo(outcome.reason) }), effects: stack.effects().slice(before) };
}

/** The result of a run that had to succeed. */
export function ended<R>({ result, error }: Crashed<R>): R {
  if (result === undefined) throw error ?? new Error('no result');
  return result;
}

function asResurgo(error: unknown): ResurgoError {
  if (error instanceof ResurgoError) return error;
  throw error;
}

const isPart = (key: string): boolean => key.includes('/parts/');
const attemptOf = (key: string): string => parsePartName(key.slice(key.lastIndexOf('/') + 1))?.attempt ?? '';

/** Puts of parts per store, by attempt; acknowledged ones only. */
export function partPuts(effects: readonly Effect[]): { store: string; key: string; attempt: string }[] {
  return effects.flatMap(({ operation, key, store, failed }) =>
    operation === 'put' && key !== undefined && store !== undefined && failed !== true && isPart(key) ? [{ store, key, attempt: attemptOf(key) }] : [],
  );
}

export const starts = (effects: readonly Effect[], activity: string): number => effects.filter((effect) => effect.started === activity).length;

const duplicates = (items: readonly string[]): string[] => [...new Set(items.filter((item, i) => items.indexOf(item) !== i))];

/** Nothing dumped or sent twice; a dump that died was taken again as another attempt. */
function assertOnce({ effects }: Crashed<BackupResult>, plan: CrashPlan | undefined, stores: readonly string[]): void {
  const puts = partPuts(effects);
  const final = puts.at(-1)?.attempt;
  const kept = puts.filter(({ attempt }) => attempt === final);
  expect(duplicates(kept.map(({ store, key }) => `${store}:${key}`)), 'parts sent twice').toEqual([]);
  const attempts = [...new Set(puts.map(({ attempt }) => attempt))];
  const dumpDied = plan?.activity === 'dumpBackup';
  expect(starts(effects, 'dumpBackup'), 'dumps begun').toBe(dumpDied ? 2 : 1);
  // A dump that had ended is not taken again, even when nobody was told.
  if (dumpDied && plan.when === 'inside') expect(attempts.length).toBeLessThanOrEqual(2);
  else expect(attempts.length, 'attempts that stored parts').toBe(1);
  expect(new Set(kept.map(({ store }) => store)).size, `stores that got parts: ${stores.join(', ')}`).toBeGreaterThanOrEqual(1);
}

/** A digest of what a backup restores to. The copy is removed again. */
export async function restoredDigest(arena: Arena, lane: Lane, target: string, name: string, backup = 'latest'): Promise<string> {
  const engine = engineOf(targetOf(lane.stack.loaded.config, target));
  if (engine === 'logical') {
    const to = `${lane.stack.namespace}_${name}`;
    const result = await lane.stack.run('restore', { target, backup, mode: 'beside', to });
    expect(result).toMatchObject({ status: 'restored' });
    const digest = await arena.digest(to);
    await lane.server.sql('postgres', `drop database "${to}" with (force)`);
    return digest;
  }
  if (engine === 'group') {
    const [to, copy] = [`${lane.stack.namespace}_${name}`, `${lane.place}/${name}`];
    const both = await lane.stack.run('restore', { target, backup, mode: 'beside', to: `single=${to},tree=${copy}` });
    expect(both).toMatchObject({ status: 'restored' });
    await sameTree(arena, copy);
    const digest = await arena.digest(to);
    await lane.server.sql('postgres', `drop database "${to}" with (force)`);
    return digest;
  }
  const to = `${lane.place}/${name}`;
  const result = await lane.stack.run('restore', { target, backup, mode: 'beside', to });
  expect(result).toMatchObject({ status: 'restored' });
  if (engine === 'files' || engine === 'config') {
    await sameTree(arena, to);
    // The database is the digest of the source of every case; of these, the tree is.
    return arena.digest();
  }
  try {
    return await onCluster(to, async (server) => (await digestDatabase(server.connection, { database: 'shop' })).digest);
  } finally {
    await rm(to, { recursive: true, force: true });
  }
}

/** The copy of the lanes' tree is what the tree is, by an independent comparison; it is removed. */
async function sameTree(arena: Arena, to: string): Promise<void> {
  expect(describeTree(join(to, arena.tree))).toBe(describeTree(arena.tree));
  await rm(to, { recursive: true, force: true });
}

/** Removes all backups of a target in all repositories of the lane. */
export async function forgetBackups({ stack }: Lane, target: string): Promise<void> {
  const stores = new Stores(stack.loaded);
  try {
    for (const name of stores.names()) {
      const store = await stores.open(name).catch(() => undefined);
      if (store === undefined) continue;
      for (const ref of await listBackups(store, target)) await deleteBackup(store, ref);
    }
  } finally {
    await stores.close();
  }
}

export interface BackupCase {
  readonly target: string;
  readonly kind?: BackupKind;
  readonly plan: CrashPlan;
}

/** A backup whose worker dies once. `digest` is that of the source, which stands still. */
export async function backupCase(arena: Arena, lane: Lane, { target, kind = 'full', plan }: BackupCase, digest: string): Promise<void> {
  const { stack } = lane;
  if (!stack.workerRuns) await stack.startWorker();
  let parent: string | null = null;
  if (kind !== 'full') parent = (await stack.run('backup', { target })).id;
  const crashed = await throughCrash(lane, plan, 'backup', { target, kind });
  const result = ended(crashed);
  const repositories = stack.loaded.config.targets[target]?.repositories ?? [];
  expect(result).toMatchObject({ status: 'verified', complete: true, kind, parent, warnings: [] });
  expect(result.repositories.map(({ name, status }) => `${name} ${status}`)).toEqual(expect.arrayContaining(repositories.map((name) => `${name} verified`)));
  assertOnce(crashed, plan, repositories);
  expect(await arena.leftBehind(lane)).toEqual([]);
  const report = await stack.run('verify', { target, backup: result.id, deep: true });
  expect(report).toMatchObject({ status: 'verified' });
  expect(report.copies).toHaveLength(repositories.length);
  expect(await restoredDigest(arena, lane, target, 'check', result.id)).toBe(digest);
  await forgetBackups(lane, target);
}
