import { isResurgoError } from '../../domain/errors.ts';
import { lockIds } from '../../domain/ids.ts';
import type { PrunedWal } from '../../domain/operations.ts';
import { recoveryBackup, type RecoveryBackup } from '../../domain/recovery.ts';
import { decideWal, type WalDecision } from '../../domain/wal-retention.ts';
import { pitrOf, walRepositories } from '../../config/lookup.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { listAside, listBackups, readManifestBytes } from '../../providers/repository/catalogue.ts';
import { keysPrefix } from '../../providers/repository/layout.ts';
import { parseManifest } from '../../providers/vault/publish.ts';
import { listWalSystems, readArchive, readHeader, withDamaged, type ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { historyFile, timelinePrefix } from '../../providers/wal/layout.ts';
import type { ActivityDeps } from '../deps.ts';

interface Decided {
  readonly systemId: string;
  readonly lineages: readonly ArchivedLineage[];
  decision: WalDecision;
}

/** @param without names of backups that are about to go */
async function decide(deps: ActivityDeps, store: ObjectStore, target: string, now: number, without: ReadonlySet<string>): Promise<Decided[]> {
  const trusted = await deps.keys.trusted();
  const decided: Decided[] = [];
  for (const systemId of await listWalSystems(store, target)) {
    // What is damaged goes when what lay there would go.
    const lineages = withDamaged(await readArchive(store, target, systemId, trusted));
    const backups: RecoveryBackup[] = [];
    // What was removed and can still be brought back needs its WAL as well.
    const removed = (await listAside(store, target)).filter(({ aside }) => aside === 'deleted');
    for (const ref of [...(await listBackups(store, target)), ...removed]) {
      if (!ref.published || ref.systemId !== systemId || without.has(ref.name)) continue;
      try {
        const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
        if (manifest.wal !== undefined) backups.push(recoveryBackup(ref, manifest.wal, manifest.endedAt));
      } catch (error) {
        // One that cannot be read now may need any of it.
        if (!isResurgoError(error) || error.definition.retryable) throw error;
      }
    }
    decided.push({ systemId, lineages, decision: decideWal(lineages, backups, now - pitrOf(deps.loaded.config, target, store.name)) });
  }
  return decided;
}

const isWalTarget = (deps: ActivityDeps, target: string, repository: string): boolean => walRepositories(deps.loaded.config, target).some(({ name }) => name === repository);

/** What would go. Effect: none. Undefined: no WAL is archived there. */
export async function planWalPrune(deps: ActivityDeps, store: ObjectStore, target: string, now: number, without: ReadonlySet<string>): Promise<PrunedWal | undefined> {
  if (!isWalTarget(deps, target, store.name)) return undefined;
  const decided = await decide(deps, store, target, now, without);
  if (decided.length === 0) return undefined;
  return summary(decided, now - pitrOf(deps.loaded.config, target, store.name));
}

const summary = (decided: readonly Decided[], cutoff: number): PrunedWal => ({
  objects: decided.reduce((sum, { decision }) => sum + decision.remove.length, 0),
  bytes: decided.reduce((sum, { decision }) => sum + decision.remove.reduce((inner, { piece }) => inner + piece.bytes, 0), 0),
  kept: decided.reduce((sum, { decision }) => sum + decision.kept, 0),
  windowFrom: new Date(cutoff).toISOString(),
  reasons: decided.flatMap(({ decision }) => decision.reasons).slice(0, 5),
});

/** What the store itself locks stays until its lock has ended, and is not told to be gone. */
async function withoutLocked(store: ObjectStore, decision: WalDecision, keyOf: (one: WalDecision['remove'][number]) => string): Promise<WalDecision> {
  const newest = decision.remove.reduce<WalDecision['remove'][number] | undefined>((last, one) => (last === undefined || (one.piece.time ?? 0) > (last.piece.time ?? 0) ? one : last), undefined);
  if (store.kind !== 's3' || newest === undefined || (await store.head(keyOf(newest)))?.lock === undefined) return decision;
  const locked = await mapBounded(decision.remove, 16, async (one) => (await store.head(keyOf(one)))?.lock !== undefined);
  const stay = locked.filter(Boolean).length;
  return { ...decision, remove: decision.remove.filter((_, i) => locked[i] !== true), kept: decision.kept + stay, reasons: [...decision.reasons, `${String(stay)} objects are locked by the store; a later prune removes them`] };
}

/** For good where a deletion only hides. Versions that may not be removed are the bucket's business (a lifecycle rule). */
async function purgeVersions(store: ObjectStore, keys: readonly string[]): Promise<void> {
  if (store.purge === undefined) return;
  await mapBounded(keys, 8, async (key) => {
    await store.purge?.(key).catch((error: unknown) => {
      if (!isResurgoError(error, 'repositoryDenied')) throw error;
    });
  });
}

/** Effect: WAL that nothing in the window needs is gone, and keys nothing is sealed under any more. Idempotency: decided anew from what is there. */
export async function removeWal(deps: ActivityDeps, { target, repository, now }: { readonly target: string; readonly repository: string; readonly now: number }): Promise<PrunedWal | undefined> {
  const store = await deps.stores.open(repository);
  if (!isWalTarget(deps, target, repository)) return undefined;
  const cutoff = now - pitrOf(deps.loaded.config, target, repository);
  // A restore may be reading it.
  if ((await deps.isRunning?.(lockIds.restore(target))) === true) return { objects: 0, bytes: 0, kept: 0, windowFrom: new Date(cutoff).toISOString(), reasons: [`a restore of ${target} is running: no WAL was removed`] };
  const decided = await decide(deps, store, target, now, new Set());
  const trusted = await deps.keys.trusted();
  for (const one of decided) {
    const { systemId, lineages } = one;
    const keyOf = ({ lineage, timeline, piece }: WalDecision['remove'][number]): string => `${timelinePrefix(target, systemId, lineage, timeline)}${piece.name}`;
    const decision = await withoutLocked(store, one.decision, keyOf);
    one.decision = decision;
    if (decision.remove.length === 0) continue;
    const keys = decision.remove.map(keyOf);
    // What fails half-way is still listed, and the next prune tries again.
    await purgeVersions(store, keys);
    for (let i = 0; i < keys.length; i += 1000) await store.delete(keys.slice(i, i + 1000));
    const gone = new Set(decision.remove.map(({ piece }) => piece));
    const used = new Set<string>();
    for (const lineage of lineages) for (const timeline of lineage.timelines) {
      for (const piece of timeline.pieces) if (!gone.has(piece) && piece.key !== undefined) used.add(piece.key);
      if (!timeline.hasHistory) continue;
      const header = await readHeader(store, `${timelinePrefix(target, systemId, lineage.id, timeline.timeline)}${historyFile}`, trusted);
      if (header.key !== undefined) used.add(header.key);
    }
    const unused = new Set(decision.remove.flatMap(({ piece }) => (piece.key === undefined || used.has(piece.key) ? [] : [piece.key])));
    for (const key of unused) {
      const files: string[] = [];
      for await (const { key: file } of store.list(keysPrefix(key))) files.push(file);
      await store.delete(files);
    }
  }
  return decided.length === 0 ? undefined : summary(decided, cutoff);
}
