import type { RestoreInput, RestorePlan } from '../domain/operations.ts';
import type { BackupReader, ObjectStore } from '../domain/ports.ts';
import { engineTraits } from '../domain/engines.ts';
import type { RecoveryPlan } from '../domain/recovery.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { listBackups } from '../providers/repository/catalogue.ts';
import { openBackup, openKeys } from '../providers/vault/open.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { withBackup, type Candidate } from './restore-choice.ts';
import { goesOnTo, planPoint, wantsPoint } from './restore-recovery.ts';
import { targetSettings, type TargetSettings } from './target-settings.ts';
import type { RestoreEngine } from './engines/restore-engine.ts';

/**
 * Decides everything about a restore before anything is touched: which backup, from which repositories, with which keys, to where.
 * @throws backupUnknown, parentMissing, manifestSignature, wrongKey, keyMissing, destinationNotEmpty, destinationSpace …
 */
export async function planRestore(
  deps: ActivityDeps,
  input: RestoreInput & { readonly id: string; readonly startedAt: string },
  /** Decides where to, in place of the engine: a drill has a place of its own. */
  place?: Pick<RestoreEngine, 'inspect'>,
): Promise<RestorePlan> {
  const settings = targetSettings(deps, input.target);
  const mode = input.mode ?? 'beside';
  if (mode === 'beside' && input.to === undefined) {
    throw new ResurgoError('inputInvalid', `a restore of ${input.target} beside the original needs a destination (--to)`, {
      details: { hint: `Give --to ${engineTraits[settings.engine].destination}, or use --mode in-place or scratch.` },
    });
  }
  if (mode !== 'beside' && input.to !== undefined) throw new ResurgoError('inputInvalid', `--to does not go with --mode ${mode}`);
  // RDS keeps its own log: its engine asks AWS how far that reaches.
  const recovery = wantsPoint(input) && settings.engine !== 'rds' ? await planPoint(deps, settings, input) : undefined;
  if (recovery === undefined && input.timeline !== undefined) throw new ResurgoError('inputInvalid', '--timeline goes with --time, --lsn or --point');
  const which = recovery?.backup ?? input.backup ?? 'latest';
  const chosen = await withBackup(deps, { repositories: settings.repositories, target: input.target, which, asked: input.backup ?? 'latest' }, async (sources) => {
    const [best] = sources;
    if (best.manifest.engine !== settings.engine) {
      throw new ResurgoError('unsupported', `backup ${best.ref.id} is ${best.manifest.engine}, but target ${input.target} is configured as ${settings.engine}`);
    }
    const stores = sources.map((source) => source.store);
    const credentials = await deps.keys.credentials();
    // A wrong or missing key is said now, not after the old data was moved.
    for (const manifest of best.manifests) await openKeys({ stores, backup: manifest.id, attempt: manifest.attempt, credentials });
    const facts = await (place ?? engineDefinition(settings.engine).restore(deps, settings)).inspect({ ...input, mode }, best.manifests, async () => openBackup({ stores, ref: best.ref, credentials, trusted: await deps.keys.trusted() }));
    return { sources, facts };
  });
  const { warnings, passedOver, value: { sources, facts } } = chosen;
  // Further repositories that hold the very same chain are fallbacks for damaged parts.
  const [best] = sources;
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
    recoversTo: facts.recoversTo !== undefined ? facts.recoversTo : recovery === undefined ? { time: best.manifest.endedAt, ...(best.manifest.wal === undefined ? {} : { lsn: best.manifest.wal.stopLsn }) } : { time: recovery.endTime ?? best.manifest.endedAt, lsn: recovery.endLsn },
    ...(recovery === undefined ? {} : { recovery }),
    warnings: [...warnings, ...facts.warnings, ...(recovery === undefined ? await leftOut(deps, settings, best) : holeIn(recovery))],
    ...(passedOver.length === 0 ? {} : { passedOver }),
    startedAt: input.startedAt,
  };
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

/** The end of the archive is not the end that can be reached. */
const holeIn = ({ target, window: { behindHole, to, toLsn } }: RecoveryPlan): string[] =>
  target.kind !== 'latest' || behindHole === undefined ? [] : [`WAL is archived up to ${behindHole.to} (LSN ${behindHole.toLsn}), but there is a hole behind LSN ${toLsn ?? '?'}: what was committed after ${to ?? 'the backup'} is not restored`];

/** Newer data than the backup's that a point in time would bring back: nobody should find that out afterwards. */
async function leftOut(deps: ActivityDeps, settings: TargetSettings, { ref, manifest }: Candidate): Promise<string[]> {
  try {
    const newest = await goesOnTo(deps, settings, ref, manifest);
    if (newest === undefined) return [];
    return [`this restores the backup alone, as of ${manifest.endedAt}; WAL is archived up to ${newest}: --time latest restores that too`];
  } catch (error) {
    if (!isResurgoError(error)) throw error;
    return [`whether WAL is archived behind the backup could not be seen: ${error.message}`];
  }
}
