/** After the dump: what a repository lacks is sent to it. Nothing here dumps again; everything here may be called again. */
import type { DumpedBackup, PreparedBackup } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { copyBackup, listBackups, sweepOrphans } from '../providers/repository/catalogue.ts';
import { keysOf, keysPrefix } from '../providers/repository/layout.ts';
import { claimEpoch, checkEpoch } from '../providers/repository/writer-epoch.ts';
import { withoutLost } from '../providers/repository/whole-chain.ts';
import { sha256Hex } from '../providers/vault/publish.ts';
import { refOf } from './backup-dump.ts';
import { getGood, wantedObjects, type WantedObject } from './backup-objects.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';
import { inParallel } from './in-parallel.ts';
import { requireDumped } from './run-file.ts';

export interface DeliverStep {
  readonly prepared: PreparedBackup;
  readonly dumped: DumpedBackup;
  readonly repository: string;
}

/** Parts under way to one repository at once. */
const parallelPuts = 4;

/**
 * Effect: the repository holds every object of the backup but the manifest. Idempotency: what it holds with the right size is not sent again.
 * Heartbeat: bytes. @throws repositoryUnreachable, repositoryThrottled, repositoryFull, partCorrupt (every other copy is damaged), fenced
 */
export function storeBackup(deps: ActivityDeps, step: DeliverStep): Promise<void> {
  return send(deps, step, async (to, wanted, signal) => {
    const { prepared } = step;
    await sendChain(deps, prepared, to, signal);
    await sweepOrphans(to, refOf(prepared), step.dumped.attempt, signal);
    const held = new Map<string, number>();
    for (const prefix of [keysOf(refOf(prepared)).prefix, keysPrefix(prepared.backup)]) for await (const info of to.list(prefix, signal)) held.set(info.key, info.size);
    return wanted.filter(({ key, bytes }) => held.get(key) !== bytes);
  });
}

/**
 * After a read-back found damage: looks at the content of every object the repository holds, and sends what is not as it should be once more.
 * Effect and idempotency as {@link storeBackup}. @throws repositoryLost when the repository still does not hold what it acknowledged
 */
export function repairBackup(deps: ActivityDeps, step: DeliverStep): Promise<void> {
  return send(deps, step, async (to, wanted, signal) => {
    const damaged: WantedObject[] = [];
    await inParallel(wanted, parallelPuts, async (object) => {
      const body = await to.get(object.key, { signal }).catch((error: unknown) => {
        if (isResurgoError(error, 'objectMissing')) return undefined;
        throw error;
      });
      if (body === undefined || sha256Hex(body) !== object.sha256) damaged.push(object);
    });
    return damaged;
  }, async (to, sent, signal) => {
    for (const { key, bytes } of sent) {
      const info = await to.head(key, signal);
      if (info?.size !== bytes) throw new ResurgoError('repositoryLost', `repository ${to.name} acknowledged ${key} twice and ${info === undefined ? 'does not hold it' : `holds ${String(info.size)} of its ${String(bytes)} bytes`}`);
    }
  });
}

type Choose = (to: ObjectStore, wanted: readonly WantedObject[], signal: AbortSignal) => Promise<readonly WantedObject[]>;

async function send(deps: ActivityDeps, step: DeliverStep, choose: Choose, after?: (to: ObjectStore, sent: readonly WantedObject[], signal: AbortSignal) => Promise<void>): Promise<void> {
  const { prepared, dumped } = step;
  const run = await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const to = await deps.stores.open(step.repository, { create: true });
  await withPulse(async ({ signal, report }) => {
    await assertEpoch(to, prepared);
    const sources = await sourcesFor(deps, step);
    // What it should be is read from the repository itself only when nobody else has it.
    const missing = await choose(to, await wantedObjects(run, refOf(prepared), [...sources, to], signal), signal);
    const totalBytes = missing.reduce((sum, object) => sum + object.bytes, 0);
    let doneBytes = 0;
    report({ phase: `send to ${to.name}`, doneBytes, totalBytes });
    await inParallel(missing, parallelPuts, async (object) => {
      const body = await getGood(sources, object, signal);
      await to.put(object.key, body, { sha256: object.sha256, signal });
      doneBytes += body.length;
      report({ phase: `send to ${to.name}`, doneBytes, totalBytes });
    });
    await after?.(to, missing, signal);
  }, deps);
}

/** A claim made at the start must still stand; a repository that was away then is claimed now (the same owner gets the same claim again). */
export async function assertEpoch(store: ObjectStore, prepared: PreparedBackup): Promise<void> {
  const epoch = prepared.epochs[store.name];
  if (epoch === undefined) await claimEpoch(store, prepared.target, prepared.backup);
  else await checkEpoch(store, prepared.target, epoch);
}

/** A repository that lacks the parents could not restore this backup by itself: they are copied first, from any that has them. */
async function sendChain(deps: ActivityDeps, plan: PreparedBackup, to: ObjectStore, signal: AbortSignal): Promise<void> {
  if (plan.chain.length === 0) return;
  const listed = (await listBackups(to, plan.target, signal)).filter((ref) => plan.chain.includes(ref.id));
  const held = new Set((await withoutLost(to, listed, signal)).filter((ref) => ref.published).map((ref) => ref.id));
  for (const id of plan.chain.filter((link) => !held.has(link))) await copyFromAny(deps, plan, id, to, signal);
}

async function copyFromAny(deps: ActivityDeps, plan: PreparedBackup, id: string, to: ObjectStore, signal: AbortSignal): Promise<void> {
  let problem: ResurgoError | undefined;
  for (const name of plan.repositories.filter((other) => other !== to.name)) {
    try {
      const from = await deps.stores.open(name);
      const ref = (await listBackups(from, plan.target, signal)).find((candidate) => candidate.id === id && candidate.published);
      if (ref === undefined) continue;
      await copyBackup(from, to, ref, { signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!isResurgoError(error)) throw error;
      problem ??= error;
    }
  }
  throw problem ?? new ResurgoError('parentMissing', `backup ${plan.backup} builds on ${id}, which no repository but ${to.name} could have, and it does not`);
}

/** Where the objects of this run lie besides the repository itself. */
async function sourcesFor(deps: ActivityDeps, { prepared, repository }: DeliverStep): Promise<ObjectStore[]> {
  const sources = prepared.primary === 'spool' ? [await deps.stores.spool(prepared.backup)] : [];
  for (const name of [prepared.primary, ...prepared.repositories.filter((other) => other !== prepared.primary)]) {
    if (name === repository || name === 'spool') continue;
    const other = await deps.stores.open(name).catch(() => undefined);
    if (other !== undefined) sources.push(other);
  }
  return sources;
}
