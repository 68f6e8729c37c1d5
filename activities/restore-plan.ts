import type { BackupRef, Manifest, SignedManifest } from '../domain/backup.ts';
import type { RestoreInput, RestorePlan } from '../domain/operations.ts';
import type { BackupReader, ObjectStore } from '../domain/ports.ts';
import { engineTraits } from '../domain/engines.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { findBackup, listBackups, readManifestBytes, type ListedBackup } from '../providers/repository/catalogue.ts';
import { openBackup, openKeys } from '../providers/vault/open.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { newestArchived, planPoint, wantsPoint } from './restore-recovery.ts';
import { targetSettings, type TargetSettings } from './target-settings.ts';

interface Candidate {
  readonly store: ObjectStore;
  readonly ref: ListedBackup;
  readonly manifest: SignedManifest;
  /** Oldest first, ending with `ref`. */
  readonly chain: readonly BackupRef[];
  readonly manifests: readonly Manifest[];
}

/**
 * Decides everything about a restore before anything is touched: which backup, from which repositories, with which keys, to where.
 * @throws backupUnknown, parentMissing, manifestSignature, wrongKey, keyMissing, destinationNotEmpty, destinationSpace …
 */
export async function planRestore(deps: ActivityDeps, input: RestoreInput & { readonly id: string; readonly startedAt: string }): Promise<RestorePlan> {
  const settings = targetSettings(deps, input.target);
  const mode = input.mode ?? 'beside';
  if (mode === 'beside' && input.to === undefined) {
    throw new ResurgoError('inputInvalid', `a restore of ${input.target} beside the original needs a destination (--to)`, {
      details: { hint: `Give --to ${engineTraits[settings.engine].destination}, or use --mode in-place or scratch.` },
    });
  }
  if (mode !== 'beside' && input.to !== undefined) throw new ResurgoError('inputInvalid', `--to does not go with --mode ${mode}`);
  const recovery = wantsPoint(input) ? await planPoint(deps, settings, input) : undefined;
  if (recovery === undefined && input.timeline !== undefined) throw new ResurgoError('inputInvalid', '--timeline goes with --time, --lsn or --point');
  const { candidates, warnings } = await findCandidates(deps, settings.repositories, input.target, recovery?.backup ?? input.backup ?? 'latest');
  const [best] = candidates;
  if (best === undefined) throw new ResurgoError('bug', 'no candidate');
  // The newest of all repositories; further repositories that hold the very same chain are fallbacks for damaged parts.
  const sources = candidates.filter((candidate) => candidate.ref.id === best.ref.id);
  if (best.manifest.engine !== settings.engine) {
    throw new ResurgoError('unsupported', `backup ${best.ref.id} is ${best.manifest.engine}, but target ${input.target} is configured as ${settings.engine}`);
  }
  // A wrong or missing key is said now, not after the old data was moved.
  for (const manifest of best.manifests) {
    await openKeys({ stores: sources.map((source) => source.store), backup: manifest.id, attempt: manifest.attempt, credentials: await deps.keys.credentials() });
  }
  const engine = engineDefinition(settings.engine).restore(deps, settings);
  const stores = sources.map((source) => source.store);
  const facts = await engine.inspect({ ...input, mode }, best.manifests, async () =>
    openBackup({ stores, ref: best.ref, credentials: await deps.keys.credentials(), trusted: await deps.keys.trusted() }),
  );
  if (input.noDowntime === true && facts.stopsServices) {
    throw new ResurgoError('destinationBusy', `restoring ${input.target} in place stops its services, and --no-downtime was asked for`, { details: { hint: 'Restore beside and switch over yourself, or leave --no-downtime out.' } });
  }
  // WAL is fetched ahead of its replay and kept no longer; the server keeps some of it too.
  const requiredBytes = facts.requiredBytes + (recovery === undefined ? 0 : Math.min(recovery.segments, 96) * recovery.segmentBytes);
  if (facts.freeBytes !== null && facts.freeBytes < requiredBytes) {
    throw new ResurgoError('destinationSpace', `restoring ${best.ref.name} needs about ${mebibytes(requiredBytes)} at ${facts.destination}; ${mebibytes(facts.freeBytes)} are free`);
  }
  return {
    id: input.id,
    target: input.target,
    engine: settings.engine,
    mode,
    backup: best.ref.id,
    chain: best.chain.map(({ id, name, systemId }) => ({ id, name, systemId })),
    repositories: sources.map((source) => source.store.name),
    destination: facts.destination,
    requiredBytes,
    freeBytes: facts.freeBytes,
    stopsServices: facts.stopsServices,
    replaces: facts.replaces,
    configHash: settings.hash,
    digest: input.digest ?? false,
    only: input.only ?? [],
    ...(facts.engineState === undefined ? {} : { engineState: facts.engineState }),
    recoversTo: recovery === undefined ? { time: best.manifest.endedAt, ...(best.manifest.wal === undefined ? {} : { lsn: best.manifest.wal.stopLsn }) } : { time: recovery.endTime ?? best.manifest.endedAt, lsn: recovery.endLsn },
    ...(recovery === undefined ? {} : { recovery }),
    warnings: [...warnings, ...facts.warnings, ...(recovery === undefined ? await leftOut(deps, settings, best.manifest) : [])],
    startedAt: input.startedAt,
  };
}

/** A verification found damage in this copy: others are read first, and it still serves where they fail. */
const isDamaged = ({ ref }: Candidate): boolean => ref.state.includes('damaged');

async function findCandidates(deps: ActivityDeps, repositories: readonly string[], target: string, which: string): Promise<{ candidates: Candidate[]; warnings: string[] }> {
  const candidates: Candidate[] = [];
  const warnings: string[] = [];
  const problems: unknown[] = [];
  for (const name of repositories) {
    try {
      const store = await deps.stores.open(name);
      candidates.push(await candidate(deps, store, target, which));
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      problems.push(error);
      if (error.code !== 'backupUnknown') warnings.push(`repository ${name}: ${error.message}`);
    }
  }
  if (candidates.length === 0) {
    // Damage and lost connections say more than "not here".
    throw (problems.find((problem) => !isResurgoError(problem, 'backupUnknown')) ?? problems[0] ?? new ResurgoError('configInvalid', `target ${target} has no repository`)) as Error;
  }
  candidates.sort((a, b) => (a.ref.name < b.ref.name ? 1 : a.ref.name > b.ref.name ? -1 : Number(isDamaged(a)) - Number(isDamaged(b)) || Number(b.store.kind === 'disk') - Number(a.store.kind === 'disk')));
  return { candidates, warnings };
}

/** The backup that is meant as one repository has it, with its whole chain. */
async function candidate(deps: ActivityDeps, store: ObjectStore, target: string, which: string): Promise<Candidate> {
  const ref = await findBackup(store, which, target);
  const trusted = await deps.keys.trusted();
  const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
  const chain: BackupRef[] = [];
  const manifests: Manifest[] = [];
  if (manifest.chain.length > 0) {
    const all = await listBackups(store, target);
    for (const id of manifest.chain) {
      const parent = all.find((other) => other.id === id && other.published && other.systemId === ref.systemId);
      if (parent === undefined) throw new ResurgoError('parentMissing', `backup ${ref.id} builds on ${id}, which ${store.name} does not hold`);
      chain.push(parent);
      manifests.push(parseManifest(await readManifestBytes(store, parent), { ref: parent, trusted }));
    }
  }
  return { store, ref, manifest, chain: [...chain, ref], manifests: [...manifests, manifest] };
}

/** The chain of a plan, opened for reading with fallback between its repositories. */
export async function openChain(deps: ActivityDeps, plan: RestorePlan): Promise<BackupReader[]> {
  const stores = await Promise.all(plan.repositories.map((name) => deps.stores.open(name)));
  const trusted = await deps.keys.trusted();
  const credentials = await deps.keys.credentials();
  const refs = await listBackups(stores[0] as ObjectStore, plan.target);
  return Promise.all(
    plan.chain.map((link) => {
      const ref = refs.find((candidate) => candidate.name === link.name && candidate.systemId === link.systemId);
      if (ref === undefined) throw new ResurgoError('backupUnknown', `backup ${link.name} of ${plan.target} is gone from ${plan.repositories.join(', ')}`);
      return openBackup({ stores, ref, credentials, trusted });
    }),
  );
}

const mebibytes = (bytes: number): string => `${String(Math.ceil(bytes / 1048576))} MiB`;

/** Newer data than the backup's that a point in time would bring back: nobody should find that out afterwards. */
async function leftOut(deps: ActivityDeps, settings: TargetSettings, manifest: Manifest): Promise<string[]> {
  try {
    const newest = await newestArchived(deps, settings);
    if (newest === undefined || newest <= manifest.endedAt) return [];
    return [`this restores the backup alone, as of ${manifest.endedAt}; WAL is archived up to ${newest}: --time latest restores that too`];
  } catch (error) {
    if (!isResurgoError(error)) throw error;
    return [`whether WAL is archived behind the backup could not be seen: ${error.message}`];
  }
}
