/** A restore inside the sandbox of a game day: the same flow, by activities that know only the sandbox. No lock: the sandbox belongs to one game day. */
import { CancellationScope, uuid4, workflowInfo } from '@temporalio/workflow';
import type { Sandbox } from '../domain/gameday.ts';
import { idFromUuid } from '../domain/ids.ts';
import type { FinishRestoreInput, FinishRestoreResult, RestoreInput, RestoreResult } from '../domain/operations.ts';
import { bulkOnHost, onHost } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { Checklist } from './progress.ts';
import { restoreFlow, restoreStepNames, type RestoreSteps } from './restore-flow.ts';
import { throwRestore } from './restore-failure.ts';

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
    return throwRestore(error);
  }
}

export async function sandboxFinishRestore({ sandbox, restore }: { readonly sandbox: Sandbox; readonly restore: FinishRestoreInput }): Promise<FinishRestoreResult> {
  try {
    return (await onHost(sandbox.host, `${restore.action} restore ${restore.id} in the sandbox`, { startToCloseTimeout: '30 minutes' }).sandboxRestoreStep({ sandbox, step: 'finishInPlace', input: restore })) as FinishRestoreResult;
  } catch (error) {
    rethrow(error);
  }
}

const ways: Readonly<Record<keyof RestoreSteps, 'bulk' | 'quick'>> = {
  planRestore: 'quick', buildRestore: 'bulk', verifyRestore: 'bulk', stopServices: 'quick', startServices: 'quick', healthCheck: 'quick', swapIn: 'quick', swapBack: 'quick', settleRestore: 'quick',
  discardRestore: 'quick', recordRestore: 'quick',
};

/** A step that fails is not tried for hours: it is a finding. */
const few = { retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '10 seconds', maximumAttempts: 4 } } as const;

function stepsIn(sandbox: Sandbox): RestoreSteps {
  const call = (step: keyof RestoreSteps) => (input: unknown) => {
    const summary = `${step} in the sandbox`;
    return (ways[step] === 'bulk' ? bulkOnHost(sandbox.host, summary, few) : onHost(sandbox.host, summary, { startToCloseTimeout: '30 minutes', ...few })).sandboxRestoreStep({ sandbox, step, input });
  };
  return Object.fromEntries((Object.keys(ways) as (keyof RestoreSteps)[]).map((step) => [step, call(step)])) as unknown as RestoreSteps;
}
