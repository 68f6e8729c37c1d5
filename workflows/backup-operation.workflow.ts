import { CancellationScope, CancelledFailure, isCancellation, workflowInfo } from '@temporalio/workflow';
import type { BackupKind } from '../domain/backup.ts';
import type { BackupResult, DumpedBackup, PreparedBackup, RepositoryOutcome } from '../domain/operations.ts';
import { bulkOnHost, heavyOn, lightOn, onHost } from './activity-profiles.ts';
import { factsOf, failure, rethrow } from './failures.ts';
import { Checklist, searchAttributes } from './progress.ts';

export interface BackupOperationInput {
  readonly id: string;
  readonly target: string;
  readonly kind: BackupKind;
  readonly startedBy: string;
  /** Worker host that backs this target up; null: any worker. */
  readonly host: string | null;
  readonly searchAttributes: boolean;
}

/** How often a dump whose host disappeared is taken again, whole, elsewhere. */
const dumpTries = 2;

/**
 * The work of one backup under the target's lock (`op/<target>`): prepare → dump → per repository: store, verify, publish → finish.
 * Any failure ends in `abandonBackup`, which sweeps what was written and leaves a record of the failed run.
 */
export async function backupOperation(input: BackupOperationInput): Promise<BackupResult> {
  const checklist = new Checklist(`${input.kind} backup ${input.id} of ${input.target}`, ['prepare', 'dump']);
  checklist.enableAttributes(input.searchAttributes);
  checklist.tag([
    { key: searchAttributes.target, value: input.target },
    { key: searchAttributes.operation, value: 'backup' },
    { key: searchAttributes.backup, value: input.id },
  ]);
  const startedAt = new Date(workflowInfo().startTime).toISOString();
  let prepared: PreparedBackup | undefined;
  let dumped: DumpedBackup | undefined;
  try {
    prepared = await checklist.run(
      'prepare',
      () => lightOn(input.host, `check ${input.target} and choose what to build on`).prepareBackup({ id: input.id, target: input.target, kind: input.kind, startedBy: input.startedBy, startedAt }),
      (plan) => (plan.parent === null ? plan.kind : `${plan.kind} on ${plan.parent}`),
    );
    const plan = prepared;
    let outcomes: RepositoryOutcome[] = [];
    for (let attempt = 1; ; attempt++) {
      dumped = await checklist.run('dump', () => heavyOn(input.host, `dump and seal ${plan.target}`).dumpBackup(plan), (done) => `${mebibytes(done.bytes.source)} read, ${mebibytes(done.bytes.stored)} sealed`);
      const held = dumped;
      const hostHere = await checkHost(plan, held);
      outcomes = hostHere === undefined ? await deliverAll(plan, held, checklist) : plan.repositories.map((name) => ({ name, status: 'failed', error: hostHere }));
      if (outcomes.some((outcome) => outcome.status === 'verified')) break;
      const hostLost = outcomes.every((outcome) => outcome.error?.code === 'workerMissing');
      if (!hostLost || attempt >= dumpTries) throw noRepository(outcomes);
    }
    const finished = dumped;
    const untidy = await finish(plan, finished, outcomes);
    const endedAt = new Date().toISOString();
    checklist.tag([{ key: searchAttributes.outcome, value: 'verified' }]);
    return {
      schemaVersion: 1,
      id: plan.backup,
      target: plan.target,
      kind: plan.kind,
      engine: plan.engine,
      parent: plan.parent,
      status: plan.engine === 'rds' ? 'available' : 'verified',
      startedAt,
      endedAt,
      durationMs: Date.parse(endedAt) - Date.parse(startedAt),
      bytes: finished.bytes,
      repositories: outcomes,
      complete: outcomes.every((outcome) => outcome.status === 'verified'),
      counts: finished.counts,
      warnings: [...plan.warnings, ...finished.warnings, ...outcomes.filter((o) => o.status === 'failed').map((o) => `repository ${o.name} does not hold it: ${o.error?.message ?? 'unknown'}`), ...untidy],
    };
  } catch (error) {
    // A step that was lost while it was being cancelled ends in a time-out; the run is cancelled all the same.
    const cancelled = isCancellation(error) || CancellationScope.current().consideredCancelled;
    const facts = cancelled ? { code: 'cancelled' as const, message: 'The run was cancelled.' } : factsOf(error);
    await CancellationScope.nonCancellable(async () => {
      checklist.set('clean up', 'in progress');
      try {
        const { published } = await abandon(dumped?.host ?? input.host, {
          id: input.id, target: input.target, kind: input.kind, startedAt, startedBy: input.startedBy, prepared: prepared ?? null, dumped: dumped ?? null, error: facts,
        });
        checklist.set('clean up', 'completed', published.length === 0 ? undefined : `published in ${published.join(', ')} before, and kept there`);
      } catch (cleanupError) {
        checklist.set('clean up', 'failed', factsOf(cleanupError).message);
      }
      checklist.tag([{ key: searchAttributes.outcome, value: cancelled ? 'cancelled' : 'failed' }]);
    });
    if (cancelled && !isCancellation(error)) throw new CancelledFailure(facts.message);
    rethrow(error);
  }
}

type Abandoned = Parameters<ReturnType<typeof lightOn>['abandonBackup']>[0];

/** Where the run's files are; when that host is gone, the repositories are swept from another. */
async function abandon(host: string | null, run: Abandoned): Promise<{ published: string[] }> {
  const sweep = (where: string | null): Promise<{ published: string[] }> => lightOn(where, 'sweep what the failed run left, record the failure').abandonBackup(run);
  try {
    return await sweep(host);
  } catch (error) {
    if (host === null || factsOf(error).code !== 'workerMissing') throw error;
    return sweep(null);
  }
}

/** Whether the host that dumped still answers: the rest needs its run file. Undefined when it does. */
async function checkHost(plan: PreparedBackup, dumped: DumpedBackup): Promise<RepositoryOutcome['error']> {
  try {
    await onHost(dumped.host, 'is the host that dumped still there?').checkRun({ backup: plan.backup, attempt: dumped.attempt });
    return undefined;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message } = factsOf(error);
    return { code, message };
  }
}

/** All repositories at once. A cancel is passed on when the last of them has stopped. */
export async function deliverAll(plan: PreparedBackup, dumped: DumpedBackup, checklist: Checklist): Promise<RepositoryOutcome[]> {
  const settled = await Promise.allSettled(plan.repositories.map((name) => deliver(plan, dumped, name, checklist)));
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** The backup is there: that its host cannot be tidied up now is a warning. The next dump of the target there does it. */
async function finish(plan: PreparedBackup, dumped: DumpedBackup, outcomes: readonly RepositoryOutcome[]): Promise<string[]> {
  try {
    await onHost(dumped.host, 'remove spool and keys from the host').finishBackup({ prepared: plan, dumped, outcomes });
    return [];
  } catch (error) {
    if (isCancellation(error)) throw error;
    return [`run file and staging of ${plan.backup} are still on ${dumped.host}: ${factsOf(error).message}`];
  }
}

/** What sending again can mend. */
const mendable: readonly string[] = ['partMissing', 'partCorrupt'];

/** One repository: send what is missing, read it back, publish. A failure here is this repository's alone. */
async function deliver(plan: PreparedBackup, dumped: DumpedBackup, repository: string, checklist: Checklist): Promise<RepositoryOutcome> {
  // One dead repository must not hold up the others for ever; a backup with a single one is worth more patience.
  const patience = { retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: plan.repositories.length > 1 ? 5 : 10 } } as const;
  const step = { prepared: plan, dumped, repository };
  try {
    const depth = await checklist.run(`store, read back and publish in ${repository}`, async () => {
      if (repository !== plan.primary) await bulkOnHost(dumped.host, `send parts to ${repository}`, patience).storeBackup(step);
      const readBack = bulkOnHost(dumped.host, `read back from ${repository}`, patience);
      const verified = await readBack.verifyBackup(step).catch(async (error: unknown) => {
        if (isCancellation(error) || !mendable.includes(factsOf(error).code)) throw error;
        // Nothing is published there yet: what came out damaged is sent once more, from a copy that is good.
        checklist.set(`send damaged parts to ${repository} again`, 'in progress', factsOf(error).message);
        await bulkOnHost(dumped.host, `send damaged parts to ${repository} again`, patience).repairBackup(step);
        const mended = await readBack.verifyBackup(step);
        checklist.set(`send damaged parts to ${repository} again`, 'completed');
        return mended;
      });
      await onHost(dumped.host, `publish in ${repository}`, { startToCloseTimeout: '10 minutes' }).publishBackup({ ...step, verified });
      return verified.depth;
    });
    return { name: repository, status: 'verified', depth };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { code, message } = factsOf(error);
    return { name: repository, status: 'failed', error: { code, message } };
  }
}

function noRepository(outcomes: readonly RepositoryOutcome[]): Error {
  const first = outcomes.find((outcome) => outcome.error !== undefined)?.error;
  const list = outcomes.map((outcome) => `${outcome.name}: ${outcome.error?.message ?? 'unknown'}`).join('; ');
  return failure((first?.code ?? 'bug') as Parameters<typeof failure>[0], `no repository holds the backup (${list})`);
}

const mebibytes = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;
