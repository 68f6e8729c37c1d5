import type { BackupKind, BackupRef } from '../domain/backup.ts';
import type { PrunedWal, PruneEntry, PrunePlan } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError } from '../domain/errors.ts';
import { lockIds } from '../domain/ids.ts';
import { decideRetention, removalOrder, type RetentionDecision, type RetentionEntry } from '../domain/retention.ts';
import { retentionOf } from '../config/lookup.ts';
import { mapBounded } from '../providers/repository/bounded.ts';
import { removeForGood } from '../providers/repository/delete-backup.ts';
import { deleteBackup, listBackups, readManifestBytes, trimRunRecords, writeState, type ListedBackup } from '../providers/repository/catalogue.ts';
import { keysOf } from '../providers/repository/layout.ts';
import { lockInWords, lockOf } from '../providers/repository/object-lock.ts';
import { notFreed, purgeDeleted, type Purged } from '../providers/repository/deleted.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { targetSettings } from './target-settings.ts';
import { planWalPrune, removeWal } from './wal/prune.ts';

/** A run removes at most so many from one repository, and names at most so many that stay: inputs and results of Temporal are bounded. */
const mostRemoved = 500;
const mostKept = 200;

export interface PlanPruneInput {
  readonly target: string;
  readonly repository: string;
  /** ms since the epoch, the same in every attempt. */
  readonly now: number;
}

export interface RemoveBackupInput {
  readonly target: string;
  readonly repository: string;
  /** No time of grace: its objects go at once. */
  readonly now?: boolean;
  /** Links it builds on, for the order in which objects go later. */
  readonly chain?: readonly string[];
  readonly backup: { readonly id: string; readonly name: string; readonly systemId: string; readonly kind: BackupKind; readonly startedAt: string };
}

interface Known {
  readonly entry: RetentionEntry;
  readonly bytes: number | null;
}

export interface PurgeInput {
  readonly target: string;
  readonly repository: string;
  /** ms since the epoch, the same in every attempt. */
  readonly now: number;
  /** Also what is still within its grace. */
  readonly all: boolean;
}

export function pruneActivities(deps: ActivityDeps) {
  return {
    /** What retention decides about one repository. Effect: none. @throws repositoryUnreachable */
    async planPrune({ target, repository, now }: PlanPruneInput): Promise<PrunePlan> {
      targetSettings(deps, target);
      const store = await deps.stores.open(repository);
      const trusted = await deps.keys.trusted();
      const published = (await listBackups(store, target)).filter((ref) => ref.published || ref.state.length > 0);
      const known = new Map((await mapBounded(published, 16, async (ref) => describe(store, ref, trusted))).map((one) => [one.entry, one.bytes]));
      const { rules, configured } = retentionOf(deps.loaded.config, target, repository);
      const decisions = decideRetention([...known.keys()], rules, now);
      const shown = (decision: RetentionDecision): PruneEntry => {
        const { id, name, systemId, kind, startedAt } = decision.entry;
        return { id, name, systemId, kind, startedAt, action: decision.action, reasons: decision.reasons.slice(0, 4), bytes: known.get(decision.entry) ?? null };
      };
      const order = removalOrder(decisions);
      const keep = decisions.filter(({ action }) => action === 'keep');
      const wal = await planWalPrune(deps, store, target, now, new Set(order.map(({ entry }) => entry.name)));
      return {
        ...(wal === undefined ? {} : { wal }),
        repository, configured, kept: keep.length, more: Math.max(0, order.length - mostRemoved),
        remove: order.slice(0, mostRemoved).map((decision) => ({ ...shown(decision), chain: decision.entry.chain ?? [] })),
        keep: keep.slice(0, mostKept).map(shown),
      };
    },

    /**
     * Removes one backup from one repository, if nothing has come up against it since it was planned. Effect: with a grace the fact `deleted`, which
     * takes it out of every listing; without one its objects, manifest first. Idempotency: a second time removes what is left. Caller: holds the target's lock, and has removed what builds on it.
     */
    async removeBackup({ target, repository, backup, now = false, chain = [] }: RemoveBackupInput): Promise<{ outcome: 'removed' | 'kept'; detail?: string; until?: string; freed?: false }> {
      const store = await deps.stores.open(repository);
      const ref: BackupRef = { ...backup, target };
      if ((await store.head(keysOf(ref).state('hold'))) !== undefined) return { outcome: 'kept', detail: 'it was put on hold' };
      // A restore beside the source does not hold the lock of the target; nothing is taken away under it.
      if ((await deps.isRunning?.(lockIds.restore(target))) === true) return { outcome: 'kept', detail: `a restore of ${target} is running` };
      const graceMs = now ? 0 : deps.loaded.config.deletion.grace;
      if (graceMs > 0) {
        const at = Date.now();
        const until = new Date(at + graceMs).toISOString();
        await writeState(store, ref, 'deleted', { at: new Date(at).toISOString(), until, chain, by: 'retention' });
        return { outcome: 'removed', until };
      }
      const lock = await lockOf(store, ref);
      if (lock !== undefined) return { outcome: 'kept', detail: `${lockInWords(lock)}; a later prune tries again`, ...(lock.until === null ? {} : { until: lock.until }) };
      await removeElsewhere(deps, repository, ref);
      return (await removeForGood(store, ref)) ? { outcome: 'removed' } : { outcome: 'removed', freed: false, detail: notFreed };
    },

    /** Removes WAL that nothing in the window of the repository needs. Caller: holds the target's lock, and has removed the backups that go. */
    removeWal: (input: { readonly target: string; readonly repository: string; readonly now: number }): Promise<PrunedWal | undefined> => removeWal(deps, input),
    /**
     * Ends the grace of what was removed earlier. Effect: the objects of what is due are gone, what builds on another first; what a copy still within
     * its grace builds on stays as long. Idempotency: a second time removes what is left.
     */
    async purgeDeleted({ target, repository, now, all }: PurgeInput): Promise<Purged> {
      const store = await deps.stores.open(repository);
      return purgeDeleted(store, target, { now, all, before: (ref) => removeElsewhere(deps, repository, ref) });
    },

    /** Removes what a run that died half-way left of a backup (no manifest, no state), and old records of failed runs. Caller: holds the target's lock. */
    async sweepPruned({ target, repository }: { readonly target: string; readonly repository: string }): Promise<void> {
      const store = await deps.stores.open(repository);
      for (const ref of await listBackups(store, target)) if (!ref.published && ref.state.length === 0) await deleteBackup(store, ref);
      await trimRunRecords(store, target, Date.now());
    },
  };
}

/** What a backup has outside the repositories (RDS snapshots) goes before its last description does: a run that dies in between finds it again. */
async function removeElsewhere(deps: ActivityDeps, repository: string, ref: BackupRef): Promise<void> {
  const settings = targetSettings(deps, ref.target);
  const engine = engineDefinition(settings.engine);
  if (engine.removed !== undefined && !(await heldElsewhere(deps, settings.repositories, repository, ref))) await engine.removed(settings, ref.id);
}

/** Whether another repository still describes the backup. @throws when one does not answer: it may */
async function heldElsewhere(deps: ActivityDeps, repositories: readonly string[], own: string, ref: BackupRef): Promise<boolean> {
  for (const name of repositories) if (name !== own && (await (await deps.stores.open(name)).head(keysOf(ref).manifest)) !== undefined) return true;
  return false;
}

/** @throws what may pass by itself: a manifest that cannot be read now is not taken for damaged */
async function describe(store: ObjectStore, ref: ListedBackup, trusted: readonly string[]): Promise<Known> {
  const entry = {
    id: ref.id, name: ref.name, systemId: ref.systemId, kind: ref.kind, startedAt: ref.startedAt,
    verified: ref.state.includes('verified') || ref.state.includes('proven'), held: ref.state.includes('hold'), ...(ref.givenUp === undefined ? {} : { givenUp: ref.givenUp }),
  };
  try {
    const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
    return { entry: { ...entry, chain: manifest.chain }, bytes: manifest.bytes.stored };
  } catch (error) {
    if (!isResurgoError(error) || error.definition.retryable || (error.definition.kind === 'precondition' && error.code !== 'backupUnknown')) throw error;
    return { entry: { ...entry, chain: null }, bytes: null };
  }
}
