/** Restores whose worker dies: beside, scratch and in place, of databases and of clusters. */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import type { FinishRestoreInput, RestoreInput, RestoreResult } from '../../../domain/operations.ts';
import { digestDatabase } from '../../../providers/postgres/logical-digest.ts';
import { onCluster } from '../physical-cluster.ts';
import { startPostgres } from '../postgres.ts';
import { copyShop, createShop, type Arena, type Lane, type LaneExtra } from './arena.ts';
import { ended, throughCrash, type Crashed } from './cases.ts';
import type { CrashPlan, Effect } from './plan.ts';
import { TestService } from './service.ts';

/** Targets besides the common ones: `own`, a database, and `cluster`, a server with a data directory; both with hooks. */
export async function restoreLane({ n, place, server }: { n: number; place: string; server: Arena['server'] }): Promise<LaneExtra> {
  const role = `lane${String(n)}`;
  const database = `${role}_own`;
  await copyShop(server, database);
  const cluster = await startPostgres({ dataChecksums: true });
  await createShop(cluster, 20_000);
  const own = await TestService.start(join(place, 'own-service'), () => Promise.resolve());
  const whole = await TestService.start(join(place, 'cluster-service'), async (word) => {
    if (word === 'stop') await cluster.shutdown();
    if (word === 'start') await cluster.start();
  });
  return {
    targets: {
      own: { engine: 'logical', connection: server.url(database, role), jobs: 2, repositories: ['local'], service: own.config },
      cluster: { engine: 'physical', connection: cluster.url(), dataDir: cluster.dataDir, repositories: ['local'], service: whole.config },
    },
    databases: [database],
    cluster,
    services: { own, cluster: whole },
    async stop() {
      await own.stop();
      await whole.stop();
      await cluster.stop();
      await server.sql('postgres', `drop database if exists "${database}" with (force)`);
    },
  };
}

const backups = new WeakMap<Lane, Set<string>>();

/** A lane that has a backup of the target already. */
export const hasBackup = (target: string) => (lane: Lane): boolean => backups.get(lane)?.has(target) === true;

/** Each lane has one backup of each target to restore from; a chain of two of a cluster. */
async function ensureBackup(lane: Lane, target: string): Promise<void> {
  const taken = backups.get(lane) ?? new Set();
  backups.set(lane, taken);
  if (taken.has(target)) return;
  if (!lane.stack.workerRuns) await lane.stack.startWorker();
  await lane.stack.run('backup', { target });
  if (target === 'physical') await lane.stack.run('backup', { target, kind: 'incremental' });
  taken.add(target);
}

export type Mode = 'beside' | 'scratch' | 'in-place';

export interface RestoreCase {
  readonly target: 'single' | 'own' | 'physical' | 'cluster';
  readonly mode: Mode;
  readonly plan: CrashPlan;
}

const logical = (target: string): boolean => target === 'single' || target === 'own';
const destinationOf = (lane: Lane, target: string): string => (logical(target) ? `${lane.stack.namespace}_copy` : join(lane.place, 'copy'));

export function inputOf(lane: Lane, { target, mode }: Pick<RestoreCase, 'target' | 'mode'>): RestoreInput {
  return { target, mode, ...(mode === 'beside' ? { to: destinationOf(lane, target) } : {}) };
}

/** Digest of what the target is now, in place. */
export async function digestInPlace(arena: Arena, lane: Lane, target: string): Promise<string> {
  return target === 'cluster' ? arena.digest('shop', lane.extra?.cluster) : arena.digest(`${lane.stack.namespace}_own`);
}

/** The data in place is made another one than the backup's. */
async function disturb(lane: Lane, target: string): Promise<void> {
  const { cluster } = lane.extra ?? {};
  if (target === 'cluster' && cluster !== undefined && !cluster.isRunning) await cluster.start();
  const server = target === 'cluster' && cluster !== undefined ? cluster : lane.server;
  await server.sql(target === 'cluster' ? 'shop' : `${lane.stack.namespace}_own`, `insert into items select coalesce(max(id), 0) + 1, 'after the backup' from items; delete from orders where id = (select min(id) from orders)`);
}

async function besideDigest(arena: Arena, lane: Lane, target: string): Promise<string> {
  const to = destinationOf(lane, target);
  if (logical(target)) {
    const digest = await arena.digest(to);
    await lane.server.sql('postgres', `drop database "${to}" with (force)`);
    return digest;
  }
  try {
    return await onCluster(to, async (server) => (await digestDatabase(server.connection, { database: 'shop' })).digest);
  } finally {
    await rm(to, { recursive: true, force: true });
  }
}

/** Nothing was put anywhere twice over: what a restore reads it may read again, but it stores no backup; evidence and the note of a swap it does. */
function assertReadsOnly(crashed: Crashed<RestoreResult>): void {
  expect(crashed.effects.filter(({ operation, key }) => operation === 'put' && !key?.startsWith('evidence/') && key?.split('/')[2] !== 'swapped'), 'objects put by a restore').toEqual([]);
}

export async function restoreCase(arena: Arena, lane: Lane, each: RestoreCase, shopDigest: string): Promise<void> {
  const { target, mode, plan } = each;
  await ensureBackup(lane, target);
  if (mode === 'in-place') return inPlaceCase(arena, lane, each);
  const crashed = await throughCrash(lane, plan, 'restore', inputOf(lane, each));
  const result = ended(crashed);
  expect(result).toMatchObject({ status: 'restored', mode });
  expect(result.steps.map((step) => step.outcome)).toEqual(result.steps.map(() => 'completed'));
  if (logical(target)) expect(result.restoredRecords).toBeGreaterThan(0);
  assertReadsOnly(crashed);
  expect(await arena.leftBehind(lane, mode === 'beside' && logical(target) ? [destinationOf(lane, target)] : [])).toEqual([]);
  if (mode === 'beside') expect(await besideDigest(arena, lane, target)).toBe(shopDigest);
}

const digests = new WeakMap<Lane, Map<string, string>>();

/** What the backup of an in-place target restores to: its digest when the backup was taken. */
async function backedUpDigest(arena: Arena, lane: Lane, target: string): Promise<string> {
  const known = digests.get(lane) ?? new Map<string, string>();
  digests.set(lane, known);
  const digest = known.get(target) ?? (await digestInPlace(arena, lane, target));
  known.set(target, digest);
  return digest;
}

const keptPlace = (lane: Lane, target: string): string => (target === 'cluster' ? `${lane.extra?.cluster?.dataDir ?? ''}_old` : `${lane.stack.namespace}_own_old`);

async function isKept(lane: Lane, target: string): Promise<boolean> {
  if (target === 'cluster') return existsSync(keptPlace(lane, target));
  return (await lane.server.sql('postgres', 'select 1 from pg_database where datname = $1', [keptPlace(lane, target)])).length > 0;
}

async function inPlaceCase(arena: Arena, lane: Lane, each: RestoreCase): Promise<void> {
  const { target, plan } = each;
  const before = await backedUpDigest(arena, lane, target);
  await disturb(lane, target);
  const crashed = await throughCrash(lane, plan, 'restore', inputOf(lane, each));
  const result = ended(crashed);
  expect(result).toMatchObject({ status: 'restored', mode: 'in-place', warnings: [] });
  assertReadsOnly(crashed);
  expect(await digestInPlace(arena, lane, target)).toBe(before);
  expect(await isKept(lane, target)).toBe(true);
  await lane.stack.run('finishRestore', { target, id: result.id, action: 'confirm' });
  expect(await isKept(lane, target)).toBe(false);
  expect(await leftInPlace(arena, lane)).toEqual([]);
  expect(await digestInPlace(arena, lane, target)).toBe(before);
}

async function leftInPlace(arena: Arena, lane: Lane): Promise<string[]> {
  const { cluster } = lane.extra ?? {};
  const beside = cluster === undefined ? [] : readdirSync(dirname(cluster.dataDir)).filter((name) => /resurgo|_old|_failed/.test(name));
  return [...(await arena.leftBehind(lane)), ...beside.map((name) => `beside the data directory: ${name}`)];
}

/** The health check fails, everything is undone, and the worker dies while it is. */
export async function undoneCase(arena: Arena, lane: Lane, each: RestoreCase): Promise<void> {
  const { target, plan } = each;
  await ensureBackup(lane, target);
  await backedUpDigest(arena, lane, target);
  await disturb(lane, target);
  const before = await digestInPlace(arena, lane, target);
  const service = lane.extra?.services?.[target];
  service?.failing.add('health');
  try {
    const { error } = await throughCrash(lane, plan, 'restore', inputOf(lane, each));
    expect(error).toMatchObject({ code: 'hookFailed', details: { result: { status: 'compensated' } } });
  } finally {
    service?.failing.delete('health');
  }
  expect(await digestInPlace(arena, lane, target)).toBe(before);
  expect(await leftInPlace(arena, lane)).toEqual([]);
}

/** Confirmed or rolled back, and the worker dies in it. */
export async function finishCase(arena: Arena, lane: Lane, each: Omit<RestoreCase, 'mode'>, action: FinishRestoreInput['action']): Promise<void> {
  const { target, plan } = each;
  await ensureBackup(lane, target);
  const before = await backedUpDigest(arena, lane, target);
  await disturb(lane, target);
  const disturbed = await digestInPlace(arena, lane, target);
  if (!lane.stack.workerRuns) await lane.stack.startWorker();
  const { id } = await lane.stack.run('restore', inputOf(lane, { target, mode: 'in-place' }));
  const result = ended(await throughCrash(lane, plan, 'finishRestore', { target, id, action }));
  expect(result).toMatchObject({ status: action === 'confirm' ? 'confirmed' : 'rolled-back' });
  expect(await digestInPlace(arena, lane, target)).toBe(action === 'confirm' ? before : disturbed);
  expect(await isKept(lane, target)).toBe(false);
  if (action === 'rollback') await dropFailed(lane, target);
  expect(await leftInPlace(arena, lane)).toEqual([]);
  // Asked again it says so, and touches nothing.
  const again = lane.stack.run('finishRestore', { target, id, action });
  if (action === 'confirm') expect(await again).toMatchObject({ status: 'confirmed' });
  else await expect(again).rejects.toMatchObject({ code: 'inputInvalid' });
}

/** What a run does when nothing kills it: places of a plan are counted by this. */
export async function effectsOf(arena: Arena, lane: Lane, target: RestoreCase['target'], what: Mode | 'undone' | FinishRestoreInput['action']): Promise<Effect[]> {
  const { stack } = lane;
  await ensureBackup(lane, target);
  const mark = (): number => stack.effects().length;
  if (what === 'beside' || what === 'scratch') {
    const begun = mark();
    await stack.run('restore', inputOf(lane, { target, mode: what }));
    const effects = stack.effects().slice(begun);
    if (what === 'beside') await besideDigest(arena, lane, target);
    return effects;
  }
  await backedUpDigest(arena, lane, target);
  await disturb(lane, target);
  const service = lane.extra?.services?.[target];
  if (what === 'undone') service?.failing.add('health');
  const begun = mark();
  const [outcome] = await Promise.allSettled([stack.run('restore', inputOf(lane, { target, mode: 'in-place' }))]);
  service?.failing.delete('health');
  if (what === 'undone') return stack.effects().slice(begun);
  if (outcome.status === 'rejected') throw outcome.reason;
  const restored = mark();
  await stack.run('finishRestore', { target, id: outcome.value.id, action: what === 'rollback' ? 'rollback' : 'confirm' });
  if (what === 'rollback') await dropFailed(lane, target);
  return what === 'in-place' ? stack.effects().slice(begun, restored) : stack.effects().slice(restored);
}

/** A rollback keeps the restored copy. */
async function dropFailed(lane: Lane, target: string): Promise<void> {
  if (target === 'cluster') {
    const failed = `${lane.extra?.cluster?.dataDir ?? ''}_failed`;
    expect(existsSync(failed)).toBe(true);
    await rm(failed, { recursive: true });
    return;
  }
  await lane.server.sql('postgres', `drop database "${lane.stack.namespace}_own_failed" with (force)`);
}
