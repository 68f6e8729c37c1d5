import type { BackupKind, BackupRef } from '../domain/backup.ts';
import type { UpkeepItem, UpkeepPlan } from '../domain/operations.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { planUpkeep, type UpkeepCopy, type UpkeepRepository } from '../domain/upkeep.ts';
import { intervalOf } from '../config/cron-interval.ts';
import { repositoriesFor, retentionOf } from '../config/lookup.ts';
import { mapBounded } from '../providers/repository/bounded.ts';
import { copyBackup, deleteBackup, listAside, listBackups, readManifestBytes, readState, type ListedBackup } from '../providers/repository/catalogue.ts';
import { healBackup } from '../providers/repository/heal-backup.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';
import { targetSettings } from './target-settings.ts';

/** A plan and its results are in a history: bounded. */
const mostItems = 200;
const kinds: readonly BackupKind[] = ['full', 'differential', 'incremental'];

export interface CopyStep extends UpkeepItem {
  readonly target: string;
}

const refOf = (step: CopyStep): BackupRef => ({ target: step.target, systemId: step.systemId, name: step.name, startedAt: step.startedAt, kind: step.kind, id: step.backup });

export function upkeepActivities(deps: ActivityDeps) {
  /** The first source that has it whole enough to copy. @throws what the first of them failed with */
  const fromAny = async (step: CopyStep, work: (from: ObjectStore) => Promise<number>): Promise<number> => {
    let problem: ResurgoError | undefined;
    for (const name of step.from) {
      try {
        const from = await deps.stores.open(name);
        // Nothing spreads that was not written by a host that is trusted.
        parseManifest(await readManifestBytes(from, refOf(step)), { ref: refOf(step), trusted: await deps.keys.trusted() });
        return await work(from);
      } catch (error) {
        if (!isResurgoError(error) || error.code === 'cancelled') throw error;
        problem ??= error;
      }
    }
    throw problem ?? new ResurgoError('backupUnknown', `no repository holds backup ${step.name} to copy from`);
  };

  return {
    /** What is to be done for a target. Effect: none. */
    async planUpkeep({ target, now }: { readonly target: string; readonly now: number }): Promise<UpkeepPlan> {
      const settings = targetSettings(deps, target);
      const { config } = deps.loaded;
      const unreachable: { name: string; code: string; message: string }[] = [];
      const repositories: UpkeepRepository[] = [];
      for (const name of settings.repositories) {
        try {
          const store = await deps.stores.open(name, { create: true });
          repositories.push({ name, copies: await copiesIn(deps, store, target), rules: retentionOf(config, target, name).rules, kinds: kinds.filter((kind) => repositoriesFor(config, target, kind).includes(name)) });
        } catch (error) {
          if (!isResurgoError(error)) throw error;
          unreachable.push({ name, code: error.code, message: error.message });
        }
      }
      const plan = planUpkeep(withChains(repositories), { now, scrubMs: config.upkeep.scrub, everyMs: intervalOf(config.upkeep.schedule, now), most: mostItems });
      return { ...plan, unreachable };
    },

    /** Brings a backup to a repository that lacks it. Effect: as copyBackup. Idempotency: what is there is not sent again. Heartbeat: bytes. */
    async copyMissing(step: CopyStep): Promise<{ bytes: number }> {
      const to = await deps.stores.open(step.repository, { create: true });
      const bytes = await withPulse(async ({ signal, report }) => fromAny(step, async (from) => {
        let doneBytes = 0;
        return (await copyBackup(from, to, refOf(step), { signal, onProgress: (count) => {
          doneBytes += count;
          report({ phase: `copy ${step.name} from ${from.name} to ${to.name}`, doneBytes, ...(step.bytes === null ? {} : { totalBytes: step.bytes }) });
        } })).sentBytes;
      }), deps);
      return { bytes };
    },

    /** Replaces what is damaged or missing in a copy by what another repository has. Effect and idempotency as healBackup. Heartbeat: bytes. */
    async healCopy(step: CopyStep): Promise<{ bytes: number }> {
      const to = await deps.stores.open(step.repository);
      const bytes = await withPulse(async ({ signal, report }) => fromAny(step, async (from) => {
        let doneBytes = 0;
        return healBackup(from, to, refOf(step), { signal, onProgress: (count) => {
          doneBytes += count;
          report({ phase: `heal ${step.name} in ${to.name} from ${from.name}`, doneBytes, ...(step.bytes === null ? {} : { totalBytes: step.bytes }) });
        } });
      }), deps);
      return { bytes };
    },

    /** Removes a copy that was begun and is not wanted any more. Effect: its objects are gone; never touches one with a manifest. */
    async forgetCopy(step: CopyStep): Promise<void> {
      const store = await deps.stores.open(step.repository);
      const aside = (await listAside(store, step.target)).find((ref) => ref.id === step.backup && ref.systemId === step.systemId && ref.aside === 'copying');
      if (aside !== undefined && !aside.published) await deleteBackup(store, aside);
    },
  };
}

/** A copy whose manifest is damaged here may have a whole one elsewhere. */
function withChains(repositories: readonly UpkeepRepository[]): UpkeepRepository[] {
  const known = new Map<string, UpkeepCopy>();
  for (const { copies } of repositories) for (const copy of copies) if (copy.chain !== null) known.set(`${copy.systemId}/${copy.id}`, copy);
  return repositories.map((repository) => ({
    ...repository,
    copies: repository.copies.map((copy) => {
      const other = copy.chain === null ? known.get(`${copy.systemId}/${copy.id}`) : undefined;
      return other === undefined ? copy : { ...copy, chain: other.chain, bytes: copy.bytes ?? other.bytes };
    }),
  }));
}

async function copiesIn(deps: ActivityDeps, store: ObjectStore, target: string): Promise<UpkeepCopy[]> {
  const trusted = await deps.keys.trusted();
  const listed = (await listBackups(store, target)).filter((ref) => ref.published || ref.state.length > 0);
  const aside = await listAside(store, target);
  return mapBounded([...listed, ...aside], 16, async (ref) => describe(store, ref, trusted));
}

async function describe(store: ObjectStore, ref: ListedBackup & { readonly aside?: 'deleted' | 'copying' }, trusted: readonly string[]): Promise<UpkeepCopy> {
  const base = { id: ref.id, name: ref.name, systemId: ref.systemId, kind: ref.kind, startedAt: ref.startedAt, held: ref.state.includes('hold'), ...(ref.givenUp === undefined ? {} : { givenUp: ref.givenUp }) };
  const none = { chain: null, bytes: null, verifiedAt: null } as const;
  if (ref.aside !== undefined) return { ...base, ...none, state: ref.aside };
  const isVerified = ref.arriving !== true && (ref.state.includes('verified') || ref.state.includes('proven'));
  try {
    const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
    const state = ref.state.includes('damaged') ? 'damaged' : isVerified ? 'verified' : 'unverified';
    return { ...base, chain: manifest.chain, bytes: manifest.bytes.stored, state, verifiedAt: isVerified ? await verifiedAt(store, ref) : null };
  } catch (error) {
    if (!isResurgoError(error) || error.definition.retryable || (error.definition.kind === 'precondition' && error.code !== 'backupUnknown')) throw error;
    return { ...base, ...none, state: 'damaged' };
  }
}

async function verifiedAt(store: ObjectStore, ref: ListedBackup): Promise<number | null> {
  const state = (await readState(store, ref, 'verified').catch((error: unknown) => {
    if (isResurgoError(error, 'manifestInvalid')) return undefined;
    throw error;
  })) as { at?: unknown } | undefined;
  const at = typeof state?.at === 'string' ? Date.parse(state.at) : NaN;
  // Never after the backup was made means at its making: it was published only when it had been read back.
  return Number.isNaN(at) ? Date.parse(ref.startedAt) : at;
}
