import { CancellationScope, patched, uuid4, workflowInfo } from '@temporalio/workflow';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { FinishRestoreInput, FinishRestoreResult, OnBusy, RestoreInput, RestoreResult } from '../domain/operations.ts';
import { bulkOnHost, local, onHost } from './activity-profiles.ts';
import { factsOf, failure, rethrow } from './failures.ts';
import { runLocked, runLockedAll, skipped } from './locked.ts';
import { Checklist, searchAttributes, targetIn } from './progress.ts';
import { restoreFlow, restoreStepNames, type RestoreSteps } from './restore-flow.ts';
import { throwRestore } from './restore-failure.ts';

export interface RestoreOperationInput extends RestoreInput {
  readonly id: string;
  readonly startedAt: string;
  /** Queue of the host that has the destination. */
  readonly host: string;
  readonly searchAttributes: boolean;
  /** Targets whose locks an in-place restore takes, in this order. Absent in histories of released versions: the target alone. */
  readonly locks?: readonly string[];
}

/**
 * Restores a target. Public: `{"target":"shop","mode":"beside","to":"shop_check"}`.
 * One restore of a target at a time (child `restore/<target>`); in place also holds `op/<target>`, so that no backup runs beside it.
 * Query: `steps`. A failed restore is compensated in reverse and the workflow fails with the full result in its details.
 */
export async function restore(input: RestoreInput): Promise<RestoreResult> {
  try {
    const checklist = new Checklist(`Restore of ${targetIn(input)}`, ['validate input', 'run']);
    const checked = await checklist.run('validate input', () => local.announceRestore(input));
    checklist.enableAttributes(checked.searchAttributes);
    const id = idFromUuid(uuid4());
    checklist.tag([
      { key: searchAttributes.target, value: checked.input.target },
      { key: searchAttributes.operation, value: 'restore' },
    ]);
    const operation: RestoreOperationInput = { ...checked.input, id, startedAt: new Date(workflowInfo().startTime).toISOString(), host: checked.host, searchAttributes: checked.searchAttributes, locks: checked.locks };
    const result = await checklist.run('run', () =>
      runLocked<typeof restoreOperation>('restoreOperation', [operation], {
        lockId: lockIds.restore(checked.input.target),
        summary: `restore ${id} of ${checked.input.target}`,
        onBusy: checked.input.onBusy ?? 'refuse',
      }),
    );
    if (result === skipped) throw failure('lockBusy', `another restore of ${checked.input.target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

/** Holds `restore/<target>`; in place it goes on under `op/<target>` too. */
export async function restoreOperation(input: RestoreOperationInput): Promise<RestoreResult> {
  if (input.mode !== 'in-place' || input.preview === true) return restoreRun(input);
  try {
    const result = await runLockedAll<typeof restoreRun>('restoreRun', [input], input.locks ?? [input.target], {
      summary: `restore ${input.id} of ${input.target}, in place`, onBusy: input.onBusy ?? 'refuse',
    });
    if (result === skipped) throw failure('lockBusy', `another operation on ${input.target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

export async function restoreRun(input: RestoreOperationInput): Promise<RestoreResult> {
  const checklist = new Checklist(`Restore ${input.id} of ${input.target} (${input.mode ?? 'beside'})`, restoreStepNames(input.mode));
  checklist.enableAttributes(input.searchAttributes);
  checklist.tag([
    { key: searchAttributes.target, value: input.target },
    { key: searchAttributes.operation, value: 'restore' },
  ]);
  try {
    const result = await restoreFlow(input, stepsOn(input.host), {
      now: () => new Date().toISOString(),
      show: (name, state, detail) => { checklist.set(name, state, detail); },
      shielded: (work) => CancellationScope.nonCancellable(work),
      describe: factsOf,
    });
    checklist.tag([{ key: searchAttributes.outcome, value: result.status }]);
    return result;
  } catch (error) {
    checklist.tag([{ key: searchAttributes.outcome, value: 'failed' }]);
    return throwRestore(error);
  }
}

function stepsOn(host: string): RestoreSteps {
  const quick = (summary: string, timeout: '2 minutes' | '30 minutes' = '30 minutes'): ReturnType<typeof onHost> => onHost(host, summary, { startToCloseTimeout: timeout });
  return {
    planRestore: (input) => quick('choose the backup, check keys, versions, space and destination').planRestore(input),
    buildRestore: (plan) => bulkOnHost(host, `fetch ${plan.chain.length} backup(s) and build ${plan.destination}`).buildRestore(plan),
    verifyRestore: (plan) => bulkOnHost(host, `check ${plan.destination} against the manifest`).verifyRestore(plan),
    stopServices: (plan) => quick(`stop the services of ${plan.target}`).stopServices(plan),
    startServices: (plan) => quick(`start the services of ${plan.target}`).startServices(plan),
    healthCheck: (plan) => quick(`check the health of ${plan.target}`).healthCheck(plan),
    swapIn: (plan) => quick(`swap the restored data in`).swapIn(plan),
    swapBack: (plan) => quick(`bring the old data back`).swapBack(plan),
    settleRestore: (plan) => quick(plan.mode === 'scratch' ? 'remove the scratch copy' : 'make the restored data final').settleRestore(plan),
    discardRestore: (plan) => quick('remove what was built').discardRestore(plan),
    recordRestore: (record) => quick('write the record of this restore').recordRestore(record),
  };
}

/**
 * `restore confirm|rollback`: drops the kept copy of an in-place restore, or brings it back. Runs under `op/<target>`: it waits for what runs, and a rollback
 * ends the base backup that the WAL archive began by itself. Query: `steps`.
 */
export async function finishRestore(input: FinishRestoreInput): Promise<FinishRestoreResult> {
  try {
    const checked = await local.announceFinishRestore(input);
    const { target, action, id } = checked.input;
    // Histories of released versions have no locks in what was announced.
    const { locks = [target] } = checked as Partial<typeof checked>;
    const run = (onBusy: OnBusy): Promise<FinishRestoreResult | typeof skipped> =>
      runLockedAll<typeof finishRestoreRun>('finishRestoreRun', [{ ...checked.input, host: checked.host }], locks, { summary: `${action} restore ${id}`, onBusy });
    if (!patched('finish-restore-waits')) {
      const result = await run('refuse');
      if (result === skipped) throw failure('lockBusy', `another operation on ${target} is running`);
      return result;
    }
    const checklist = new Checklist(`${action} restore ${id} of ${target}`, [action]);
    checklist.set(action, 'in progress');
    let result = await run('skip');
    if (result === skipped) {
      const ended = action === 'rollback' ? await onHost(checked.host, `end an automatic backup of ${target}`).endAutomaticBackup({ target }) : null;
      checklist.set(action, 'in progress', ended === null ? `waits for ${lockIds.operation(target)}: another operation on ${target} is running` : `waits until ${ended} has stopped: a base backup of data that goes away`);
      result = await run('wait');
    }
    if (result === skipped) throw failure('lockBusy', `another operation on ${target} is running`);
    checklist.set(action, 'completed', result.detail);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

export async function finishRestoreRun(input: FinishRestoreInput & { readonly host: string }): Promise<FinishRestoreResult> {
  const checklist = new Checklist(`${input.action} restore ${input.id} of ${input.target}`, [input.action]);
  return checklist.run(input.action, () => onHost(input.host, `${input.action} restore ${input.id}`, { startToCloseTimeout: '30 minutes' }).finishInPlace(input), (result) => result.detail);
}
