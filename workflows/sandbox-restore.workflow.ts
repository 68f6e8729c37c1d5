/** A restore inside the sandbox of a game day: the same flow, by activities that know only the sandbox. No lock: the sandbox belongs to one game day. */
import { ApplicationFailure, CancellationScope, isCancellation, uuid4, workflowInfo } from '@temporalio/workflow';
import type { SandboxRestoreStep } from '../activities/gameday.activities.ts';
import { errors } from '../domain/errors.ts';
import type { Sandbox } from '../domain/gameday.ts';
import { idFromUuid } from '../domain/ids.ts';
import type { FinishRestoreInput, FinishRestoreResult, RestoreInput, RestoreResult } from '../domain/operations.ts';
import { bulkOnHost, onHost } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { Checklist } from './progress.ts';
import { RestoreFailed, restoreFlow, restoreStepNames, type RestoreSteps } from './restore-flow.ts';

export async function sandboxRestore({ sandbox, restore }: { readonly sandbox: Sandbox; readonly restore: RestoreInput }): Promise<RestoreResult> {
  const id = idFromUuid(uuid4());
  const checklist = new Checklist(`Restore ${id} in game day ${sandbox.id}`, restoreStepNames(restore.mode));
  try {
    return await restoreFlow({ ...restore, id, startedAt: new Date(workflowInfo().startTime).toISOString() }, stepsIn(sandbox), {
      now: () => new Date().toISOString(),
      show: (name, state, detail) => { checklist.set(name, state, detail); },
      shielded: (work) => CancellationScope.nonCancellable(work),
      describe: factsOf,
    });
  } catch (error) {
    if (!(error instanceof RestoreFailed)) rethrow(error);
    if (isCancellation(error.original) && error.result.error?.code !== 'compensationFailed') throw error.original;
    const { code, message } = error.result.error ?? { code: 'bug', message: error.message };
    const known = code as keyof typeof errors;
    throw ApplicationFailure.create({ type: code, message, nonRetryable: true, details: [{ hint: error.result.error?.hint ?? errors[known].hint, kind: errors[known].kind, result: error.result }] });
  }
}

export async function sandboxFinishRestore({ sandbox, restore }: { readonly sandbox: Sandbox; readonly restore: FinishRestoreInput }): Promise<FinishRestoreResult> {
  try {
    return (await onHost(sandbox.host, `${restore.action} restore ${restore.id} in the sandbox`, { startToCloseTimeout: '30 minutes' }).sandboxRestoreStep({ sandbox, step: 'finishInPlace', input: restore })) as FinishRestoreResult;
  } catch (error) {
    rethrow(error);
  }
}

const bulk: readonly SandboxRestoreStep[] = ['buildRestore', 'verifyRestore'];
const names: readonly SandboxRestoreStep[] = ['planRestore', 'buildRestore', 'verifyRestore', 'stopServices', 'startServices', 'healthCheck', 'swapIn', 'swapBack', 'settleRestore', 'discardRestore', 'recordRestore'];

/** A step that fails is not tried for hours: it is a finding. */
const few = { retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '10 seconds', maximumAttempts: 4 } } as const;

function stepsIn(sandbox: Sandbox): RestoreSteps {
  const steps = names.map((step) => [step, (input: unknown) => {
    const summary = `${step} in the sandbox`;
    return (bulk.includes(step) ? bulkOnHost(sandbox.host, summary, few) : onHost(sandbox.host, summary, { startToCloseTimeout: '30 minutes', ...few })).sandboxRestoreStep({ sandbox, step, input });
  }]);
  return Object.fromEntries(steps);
}
