import { CancellationScope, isCancellation, workflowInfo } from '@temporalio/workflow';
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
      outcomes = hostHere === undefined ? await Promise.all(plan.repositories.map((name) => deliver(plan, held, name, checklist))) : plan.repositories.map((name) => ({ name, status: 'failed', error: hostHere }));
      if (outcomes.some((outcome) => outcome.status === 'verified')) break;
      const hostLost = outcomes.every((outcome) => outcome.error?.code === 'workerMissing');
      if (!hostLost || attempt >= dumpTries) throw noRepository(outcomes);
    }
    const finished = dumped;
    await onHost(finished.host, 'remove spool and keys from the host').finishBackup({ prepared: plan, dumped: finished, outcomes });
    const endedAt = new Date().toISOString();
    checklist.tag([{ key: searchAttributes.outcome, value: 'verified' }]);
    return {
      schemaVersion: 1,
      id: plan.backup,
      target: plan.target,
      kind: plan.kind,
      engine: plan.engine,
      parent: plan.parent,
      status: 'verified',
      startedAt,
      endedAt,
      durationMs: Date.parse(endedAt) - Date.parse(startedAt),
      bytes: finished.bytes,
      repositories: outcomes,
      complete: outcomes.every((outcome) => outcome.status === 'verified'),
      counts: finished.counts,
      warnings: [...plan.warnings, ...finished.warnings, ...outcomes.filter((o) => o.status === 'failed').map((o) => `repository ${o.name} does not hold it: ${o.error?.message ?? 'unknown'}`)],
    };
  } catch (error) {
    const facts = factsOf(error);
    await CancellationScope.nonCancellable(async () => {
      checklist.set('clean up', 'in progress');
      try {
        await lightOn(dumped?.host ?? input.host, 'sweep what the failed run left, record the failure', { startToCloseTimeout: '10 minutes' }).abandonBackup({
          id: input.id, target: input.target, kind: input.kind, startedAt, startedBy: input.startedBy, prepared: prepared ?? null, dumped: dumped ?? null, error: facts,
        });
        checklist.set('clean up', 'completed');
      } catch (cleanupError) {
        checklist.set('clean up', 'failed', factsOf(cleanupError).message);
      }
      checklist.tag([{ key: searchAttributes.outcome, value: isCancellation(error) ? 'cancelled' : 'failed' }]);
    });
    rethrow(error);
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

/** One repository: send what is missing, read it back, publish. A failure here is this repository's alone. */
async function deliver(plan: PreparedBackup, dumped: DumpedBackup, repository: string, checklist: Checklist): Promise<RepositoryOutcome> {
  // One dead repository must not hold up the others for ever; a backup with a single one is worth more patience.
  const patience = { retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: plan.repositories.length > 1 ? 5 : 10 } } as const;
  const step = { prepared: plan, dumped, repository };
  try {
    const depth = await checklist.run(`store, read back and publish in ${repository}`, async () => {
      if (repository !== plan.primary) await bulkOnHost(dumped.host, `send parts to ${repository}`, patience).storeBackup(step);
      const verified = await bulkOnHost(dumped.host, `read back from ${repository}`, patience).verifyBackup(step);
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
