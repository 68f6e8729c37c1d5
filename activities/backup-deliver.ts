/** After the dump: per repository send what is missing, read back, publish. Nothing here dumps again; everything here may be called again. */
import type { BackupRef } from '../domain/backup.ts';
import type { DumpedBackup, PreparedBackup, RepositoryOutcome } from '../domain/operations.ts';
import type { ObjectStore, VerifyResult } from '../domain/ports.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { ResurgoError } from '../domain/errors.ts';
import { copyBackup, deleteBackup, listBackups, sweepOrphans, writeRunRecord, writeState } from '../providers/repository/catalogue.ts';
import { hostKeyFile, keyFile, keysOf } from '../providers/repository/layout.ts';
import { claimEpoch, checkEpoch } from '../providers/repository/writer-epoch.ts';
import { parseSha256Sums } from '../providers/vault/publish.ts';
import { verifyStored } from '../providers/vault/verify.ts';
import type { ActivityDeps } from './deps.ts';
import { refOf, removeSpool } from './backup-dump.ts';
import { contentCheck } from './engines/content-check.ts';
import { withPulse } from './heartbeat.ts';
import { deleteRunFile, keysOfRun, readRunFile, requireDumped } from './run-file.ts';

export interface DeliverStep {
  readonly prepared: PreparedBackup;
  readonly dumped: DumpedBackup;
  readonly repository: string;
}

/** Parts under way to one repository at once. */
const parallelPuts = 4;

/**
 * Effect: the repository holds every object of the backup but the manifest. Idempotency: what it holds with the right size is not sent again.
 * Heartbeat: bytes. @throws repositoryUnreachable, repositoryThrottled, repositoryFull, fenced
 */
export async function storeBackup(deps: ActivityDeps, step: DeliverStep): Promise<void> {
  const { prepared, dumped } = step;
  await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const ref = refOf(prepared);
  const to = await deps.stores.open(step.repository, { create: true });
  await withPulse(async ({ signal, report }) => {
    await assertEpoch(to, prepared);
    await sendChain(deps, prepared, to, signal);
    await sweepOrphans(to, ref, dumped.attempt);
    const sources = await sourcesFor(deps, step);
    const objects = keysOf(ref);
    const sums = parseSha256Sums(await getFrom(sources, objects.sums, signal));
    const sha = new Map(sums.map((entry) => [`${objects.prefix}${entry.path}`, entry.sha256]));
    const stored = new Map<string, number>();
    for await (const info of to.list(objects.prefix, signal)) stored.set(info.key, info.size);
    const wanted = new Map<string, number>();
    for (const source of sources) for await (const info of source.list(objects.partsPrefix, signal)) wanted.set(info.key, info.size);
    const missing = [...sha.keys()].filter((key) => stored.get(key) === undefined || (wanted.has(key) && stored.get(key) !== wanted.get(key)));
    const totalBytes = missing.reduce((sum, key) => sum + (wanted.get(key) ?? 0), 0);
    let doneBytes = 0;
    report({ phase: `send to ${to.name}`, doneBytes, totalBytes });
    const send = async (key: string): Promise<void> => {
      const body = await getFrom(sources, key, signal);
      const sha256 = sha.get(key);
      await to.put(key, body, { ...(sha256 === undefined ? {} : { sha256 }), signal });
      doneBytes += body.length;
      report({ phase: `send to ${to.name}`, doneBytes, totalBytes });
    };
    await inParallel(missing, parallelPuts, send);
    for (const key of [objects.sums, keyFile(prepared.backup, 1), hostKeyFile(prepared.backup)]) await send(key);
  }, deps);
}

/** A claim made at the start must still stand; a repository that was away then is claimed now (the same owner gets the same claim again). */
async function assertEpoch(store: ObjectStore, prepared: PreparedBackup): Promise<void> {
  const epoch = prepared.epochs[store.name];
  if (epoch === undefined) await claimEpoch(store, prepared.target, prepared.backup);
  else await checkEpoch(store, prepared.target, epoch);
}

/** A repository that lacks the parents could not restore this backup by itself: they are copied first. */
async function sendChain(deps: ActivityDeps, plan: PreparedBackup, to: ObjectStore, signal: AbortSignal): Promise<void> {
  if (plan.chain.length === 0) return;
  const held = new Set((await listBackups(to, plan.target)).filter((ref) => ref.published).map((ref) => ref.id));
  const missing = plan.chain.filter((id) => !held.has(id));
  if (missing.length === 0) return;
  const from = await deps.stores.open(plan.repositories.find((name) => name !== to.name) ?? plan.primary);
  const refs = await listBackups(from, plan.target);
  for (const id of missing) {
    const ref = refs.find((candidate) => candidate.id === id && candidate.published);
    if (ref === undefined) throw new ResurgoError('parentMissing', `backup ${plan.backup} builds on ${id}, which neither ${to.name} nor ${from.name} holds`);
    await copyBackup(from, to, ref, { signal });
  }
}

async function sourcesFor(deps: ActivityDeps, { prepared, repository }: DeliverStep): Promise<ObjectStore[]> {
  const sources = [prepared.primary === 'spool' ? await deps.stores.spool(prepared.backup) : await deps.stores.open(prepared.primary)];
  for (const name of prepared.repositories) {
    if (name === repository || name === prepared.primary) continue;
    const other = await deps.stores.open(name).catch(() => undefined);
    if (other !== undefined) sources.push(other);
  }
  return sources;
}

async function getFrom(sources: readonly ObjectStore[], key: string, signal: AbortSignal): Promise<Buffer> {
  let first: unknown;
  for (const source of sources) {
    try {
      return await source.get(key, { signal });
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

/**
 * Reads the repository's copy back before it is called good. Effect: none.
 * @throws partMissing, partCorrupt, contentMismatch, repositoryLost
 */
export async function verifyBackup(deps: ActivityDeps, step: DeliverStep): Promise<VerifyResult> {
  const { prepared, dumped } = step;
  const run = await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const store = await deps.stores.open(step.repository);
  const manifestBytes = Buffer.from(run.manifest, 'utf8');
  return withPulse(
    ({ signal, report }) => {
      report({ phase: `read back from ${store.name}`, doneBytes: 0, totalBytes: dumped.bytes.stored });
      let doneBytes = 0;
      return verifyStored({
        store,
        ref: refOf(prepared),
        manifestBytes,
        keys: keysOfRun(run),
        ...(run.keyFiles === undefined ? {} : { keyFiles: run.keyFiles }),
        depth: prepared.verify,
        signal,
        ...(prepared.verify === 'content' ? { engineCheck: contentCheck } : {}),
        onProgress: (bytes: number) => {
          doneBytes += bytes;
          report({ phase: `read back from ${store.name}`, doneBytes, totalBytes: dumped.bytes.stored });
        },
      });
    },
    deps,
  );
}

/** Effect: the signed manifest, then the state file. Idempotency: same bytes. @throws fenced when a newer run took the target over */
export async function publishBackup(deps: ActivityDeps, step: DeliverStep & { readonly verified: VerifyResult }): Promise<void> {
  const { prepared, dumped } = step;
  const run = await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const store = await deps.stores.open(step.repository);
  await assertEpoch(store, prepared);
  const ref: BackupRef = refOf(prepared);
  await store.put(keysOf(ref).manifest, Buffer.from(run.manifest, 'utf8'));
  await writeState(store, ref, 'verified', { at: new Date().toISOString(), depth: step.verified.depth, parts: step.verified.parts, bytes: step.verified.bytes });
}

/** Effect: run file and spool are gone; unfinished copies in repositories that failed are swept where they can be reached. */
export async function finishBackup(deps: ActivityDeps, { prepared, outcomes }: { prepared: PreparedBackup; dumped: DumpedBackup; outcomes: readonly RepositoryOutcome[] }): Promise<void> {
  for (const outcome of outcomes.filter((candidate) => candidate.status === 'failed')) {
    await deps.stores.open(outcome.name).then((store) => removeUnpublished(store, prepared), () => undefined).catch(() => undefined);
  }
  await removeSpool(deps, prepared.backup);
  await deleteRunFile(deps.loaded.stateDir, prepared.backup);
}

export interface AbandonInput {
  readonly id: string;
  readonly target: string;
  readonly kind: string;
  readonly startedAt: string;
  readonly startedBy: string;
  readonly prepared: PreparedBackup | null;
  readonly dumped: DumpedBackup | null;
  readonly error: { readonly code: string; readonly message: string };
}

/** After a failed run. Effect: its unpublished objects, run file and spool are gone; a run record says what happened. */
export async function abandonBackup(deps: ActivityDeps, input: AbandonInput): Promise<void> {
  const stateDir = deps.loaded.stateDir;
  // The run file first: a zombie of the dump finds itself fenced and stops putting parts.
  if ((await readRunFile(stateDir, input.id)) !== undefined) await deleteRunFile(stateDir, input.id);
  await removeSpool(deps, input.id);
  const record = {
    schemaVersion: 1 as const, operation: 'backup', id: input.id, target: input.target, kind: input.kind, startedAt: input.startedAt, endedAt: new Date().toISOString(), startedBy: input.startedBy, status: 'failed', error: input.error,
  };
  const names = input.prepared?.repositories ?? repositoriesFor(deps.loaded.config, input.target);
  for (const name of names) {
    const store = await deps.stores.open(name).catch(() => undefined);
    if (store === undefined) continue;
    if (input.prepared !== null) await removeUnpublished(store, input.prepared).catch(() => undefined);
    await writeRunRecord(store, record).catch(() => undefined);
  }
}

async function removeUnpublished(store: ObjectStore, plan: PreparedBackup): Promise<void> {
  const ref = refOf(plan);
  if ((await store.head(keysOf(ref).manifest)) === undefined) await deleteBackup(store, ref);
}

/** Runs `work` over `items`, at most `width` at once; the first error stops the rest. */
export async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const item = items[next++] as T;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}

