import { isCancellation, patched } from '@temporalio/workflow';
import type { PrunedWal, PruneEntry, PrunedRepository, PrunePlan, PruneReport } from '../domain/operations.ts';
import { lightOn } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { recorded } from './record-run.ts';
import { Checklist, searchAttributes } from './progress.ts';

export interface PruneOperationInput {
  readonly target: string;
  readonly repositories: readonly string[];
  readonly preview: boolean;
  /** No time of grace: objects go at once. */
  readonly now?: boolean;
  readonly host: string | null;
  /** A run of its own, not the end of a backup: counted. */
  readonly startedBy?: string;
  readonly searchAttributes: boolean;
}

/** A repository that does not answer holds the others up no longer than this. */
const patience = { retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '10 seconds', maximumAttempts: 4 }, startToCloseTimeout: '1 hour' } as const;

/** Prunes under the target's lock (`op/<target>`): one repository after the other, in each one backup at a time, what builds on another first. */
export async function pruneOperation(input: PruneOperationInput): Promise<PruneReport> {
  const checklist = new Checklist(`Prune ${input.target}`, input.repositories.map((name) => `prune ${name}`));
  checklist.enableAttributes(input.searchAttributes);
  checklist.tag([{ key: searchAttributes.target, value: input.target }, { key: searchAttributes.operation, value: 'prune' }]);
  try {
    const work = (): Promise<PruneReport> => pruneRepositories(input, checklist);
    return await (input.startedBy === undefined ? work() : recorded({ target: input.target, operation: 'prune', host: input.host, startedBy: input.startedBy }, work, ({ status }) => status === 'pruned'));
  } catch (error) {
    rethrow(error);
  }
}

/** The same without a lock of its own: a preview touches nothing, so it needs none. */
export async function pruneRepositories(input: PruneOperationInput, checklist: Checklist): Promise<PruneReport> {
  const now = Date.now();
  const repositories: PrunedRepository[] = [];
  for (const name of input.repositories) {
    const step = `prune ${name}`;
    checklist.set(step, 'in progress');
    const result = await pruneOne(input, name, now, (detail) => { checklist.set(step, 'in progress', detail); });
    checklist.set(step, result.status === 'failed' ? 'failed' : 'completed', result.error?.message ?? `${String(result.removed)} ${input.preview ? 'would go' : 'removed'}, ${String(result.kept)} kept`);
    repositories.push(result);
  }
  const incomplete = repositories.some((one) => one.status === 'failed' || one.backups.some((entry) => entry.outcome === 'failed' || (entry.outcome === 'kept' && entry.until === undefined)));
  return { schemaVersion: 1, target: input.target, status: incomplete ? 'incomplete' : input.preview ? 'preview' : 'pruned', repositories, warnings: repositories.flatMap(warningsOf) };
}

async function pruneOne(input: PruneOperationInput, repository: string, now: number, show: (detail: string) => void): Promise<PrunedRepository> {
  const { target } = input;
  const quick = (summary: string) => lightOn(input.host, summary, patience);
  let plan: PrunePlan;
  let purge: Awaited<ReturnType<ReturnType<typeof lightOn>['purgeDeleted']>> = { purged: 0, freedBytes: 0, pendingBytes: 0 };
  try {
    if (!input.preview) await quick(`sweep what dead runs left in ${repository}`).sweepPruned({ target, repository });
    if (!input.preview && patched('purge-deleted')) purge = await quick(`end the grace of what was removed from ${repository}`).purgeDeleted({ target, repository, now, all: input.now === true });
    plan = await quick(`decide what stays in ${repository}`).planPrune({ target, repository, now });
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message } = factsOf(error);
    return { name: repository, status: 'failed', configured: true, backups: [], removed: 0, kept: 0, more: 0, freedBytes: 0, error: { code, message } };
  }
  const shared = { name: repository, configured: plan.configured, more: plan.more, ...(plan.wal === undefined ? {} : { wal: plan.wal }) };
  const planned: PruneEntry[] = plan.remove.map(({ chain: _, ...entry }) => entry);
  if (input.preview) return { ...shared, status: 'planned', backups: [...planned, ...plan.keep], removed: planned.length, kept: plan.kept, freedBytes: sum(planned) };
  const done: PruneEntry[] = [];
  // What builds on another goes first; where it stays after all, what it needs stays too.
  const needed = new Map<string, string>();
  for (const [i, { chain, ...entry }] of plan.remove.entries()) {
    const { id, name, systemId, kind, startedAt } = entry;
    show(`${String(i + 1)} of ${String(plan.remove.length)}: ${name}`);
    const by = needed.get(`${systemId}/${id}`);
    const result = by === undefined ? await removeOne(quick, { target, repository, backup: { id, name, systemId, kind, startedAt }, now: input.now === true, chain }) : { outcome: 'kept' as const, detail: `${by} needs it` };
    if (result.outcome !== 'removed') for (const link of chain) needed.set(`${systemId}/${link}`, id);
    done.push({ ...entry, ...result });
  }
  let wal: PrunedWal | undefined = plan.wal;
  if (wal !== undefined && wal.objects > 0) {
    show('WAL');
    try {
      wal = await quick(`remove WAL from ${repository}`).removeWal({ target, repository, now });
    } catch (error) {
      if (isCancellation(error)) throw error;
      wal = { ...(plan.wal as PrunedWal), objects: 0, bytes: 0, reasons: [`no WAL was removed: ${factsOf(error).message}`] };
    }
  }
  const removed = done.filter((entry) => entry.outcome === 'removed');
  return {
    ...shared, ...(wal === undefined ? {} : { wal }), status: 'pruned', backups: [...done, ...plan.keep], removed: removed.length, kept: plan.kept + done.length - removed.length,
    freedBytes: purge.freedBytes + sum(removed.filter((entry) => entry.until === undefined && entry.freed !== false)) + (wal?.bytes ?? 0),
    ...(purge.notes === undefined ? {} : { notes: purge.notes }),
    purged: purge.purged, pendingBytes: purge.pendingBytes + sum(removed.filter((entry) => entry.until !== undefined)),
  };
}

type Quick = (summary: string) => ReturnType<typeof lightOn>;

async function removeOne(quick: Quick, step: Parameters<ReturnType<typeof lightOn>['removeBackup']>[0]): Promise<{ outcome: 'removed' | 'kept' | 'failed'; detail?: string; until?: string; freed?: false }> {
  try {
    return await quick(`remove ${step.backup.name} from ${step.repository}`).removeBackup(step);
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { outcome: 'failed', detail: factsOf(error).message };
  }
}

const sum = (entries: readonly PruneEntry[]): number => entries.reduce((bytes, entry) => bytes + (entry.bytes ?? 0), 0);

function warningsOf(one: PrunedRepository): string[] {
  const notGone = one.backups.filter((entry) => entry.outcome === 'failed' || entry.outcome === 'kept');
  const otherSystem = one.backups.filter((entry) => entry.action === 'remove' && entry.reasons.length > 1);
  return [
    ...(one.error === undefined ? [] : [`repository ${one.name} was not pruned: ${one.error.message}`]),
    ...(one.notes ?? []),
    ...notGone.slice(0, 5).map((entry) => `${entry.name} is still in ${one.name}: ${entry.detail ?? 'unknown'}`),
    ...(notGone.length > 5 ? [`and ${String(notGone.length - 5)} more are still in ${one.name}`] : []),
    ...(otherSystem.length === 0 ? [] : [`${String(otherSystem.length)} in ${one.name} of another database system than the newest backup's`]),
    ...(one.more === 0 ? [] : [`${String(one.more)} more are to go from ${one.name}, in the next run`]),
  ];
}
