import { ApplicationFailure, CancellationScope, isCancellation, uuid4, workflowInfo } from '@temporalio/workflow';
import { errors, isErrorCode } from '../domain/errors.ts';
import type { ClusterPlan, FailoverInput, FailoverResult, MemberPlan } from '../domain/failover.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import { local, lightOn, onHost } from './activity-profiles.ts';
import { FailoverFailed, FlowRefusal, failoverFlow, failoverStepNames, type FailoverSteps } from './failover-flow.ts';
import { factsOf, failure, rethrow, type FailureFacts } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes } from './progress.ts';
import type { FlowHost } from './step-log.ts';

export interface FailoverRunInput {
  readonly id: string;
  readonly input: FailoverInput;
  readonly plan: ClusterPlan;
  readonly startedAt: string;
  readonly searchAttributes: boolean;
}

/**
 * Another member becomes the primary because the old one is dead. Public: `{"target":"shop"}`, with `preview`, `to`, `overrideFence`.
 * One operation on a cluster's roles at a time (child `failover/<target>`); it does not wait for backups. Query: `steps`.
 * A failed run fails with the full result in its details; before the promotion everything is undone, after it nothing.
 */
export async function failover(input: FailoverInput): Promise<FailoverResult> {
  try {
    const checklist = new Checklist(`Failover of ${String((input as FailoverInput | undefined)?.target)}`, ['validate input', 'run']);
    const checked = await checklist.run('validate input', () => local.announceFailover(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target } = checked.input;
    checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'failover' }]);
    const run: FailoverRunInput = { id: idFromUuid(uuid4()), input: checked.input, plan: checked.plan, startedAt: new Date(workflowInfo().startTime).toISOString(), searchAttributes: checked.searchAttributes };
    if (checked.input.preview === true) return await checklist.run('run', () => failoverRun(run));
    const result = await checklist.run('run', () => runLocked<typeof failoverRun>('failoverRun', [run], { lockId: lockIds.failover(target), summary: `failover ${run.id} of ${target}`, onBusy: 'refuse' }));
    if (result === skipped) throw failure('lockBusy', `another failover or switchover of ${target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

/** Holds `failover/<target>`. */
export async function failoverRun(run: FailoverRunInput): Promise<FailoverResult> {
  const { target } = run.input;
  const checklist = new Checklist(`Failover ${run.id} of ${target}`, failoverStepNames(run.plan));
  checklist.enableAttributes(run.searchAttributes);
  checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'failover' }]);
  try {
    const epoch = new Date(workflowInfo().startTime).getTime();
    const result = await failoverFlow({ ...run, epoch }, failoverSteps(target, run.id), flowHost(checklist));
    checklist.tag([{ key: searchAttributes.outcome, value: result.status }]);
    return result;
  } catch (error) {
    checklist.tag([{ key: searchAttributes.outcome, value: 'failed' }]);
    failWithResult(error);
  }
}

/** How a flow is driven by Temporal. */
export const flowHost = (checklist: Checklist): FlowHost => ({
  now: () => new Date().toISOString(),
  show: (name, state, detail) => { checklist.set(name, state, detail); },
  shielded: (work) => CancellationScope.nonCancellable(work),
  describe,
  passOn: (error) => {
    if (isCancellation(error)) throw error;
  },
});

function describe(error: unknown): FailureFacts {
  if (!(error instanceof FlowRefusal) || !isErrorCode(error.code)) return factsOf(error);
  return { code: error.code, message: error.message, hint: error.hint ?? errors[error.code].hint };
}

/** The workflow fails with the code, and with all that was done in its details. */
export function failWithResult(error: unknown): never {
  if (!(error instanceof FailoverFailed)) rethrow(error);
  if (isCancellation(error.original) && error.result.error?.code === 'cancelled') throw error.original as Error;
  const { code, message, hint } = error.result.error ?? { code: 'bug', message: error.message };
  const known = isErrorCode(code) ? code : 'bug';
  throw ApplicationFailure.create({ type: known, message, nonRetryable: true, details: [{ hint: hint ?? errors[known].hint, kind: errors[known].kind, result: error.result }] });
}

/** A worker that dies in a step is noticed soon: every second counts here. */
const urgent = { heartbeatTimeout: '8 seconds', retry: { initialInterval: '1 second', backoffCoefficient: 1.5, maximumInterval: '5 seconds', maximumAttempts: 10 } } as const;

export function failoverSteps(target: string, run: string): FailoverSteps {
  const any = (summary: string, options: Parameters<typeof lightOn>[2] = {}) => lightOn(null, summary, { ...urgent, ...options });
  const at = (member: MemberPlan, summary: string, options: Parameters<typeof lightOn>[2] = {}) => lightOn(member.host, summary, { ...urgent, ...options });
  return {
    observe: (input) => any(`ask all members of ${target}, ${String(input.rounds)} times`).observeCluster({ target, ...input }),
    fenceLocal: (member, step) =>
      // A host that is gone takes nothing up: where there is another way, it is not waited for long.
      onHost(member.host ?? '', `fence ${member.name}: end its processes, block its start`, { ...urgent, scheduleToStartTimeout: member.fences.length > 1 ? 8000 : Math.max(8000, member.fenceTimeoutMs), startToCloseTimeout: member.fenceTimeoutMs + 30_000 })
        .fenceLocal({ target, member: member.name, ...step }),
    fenceByCommand: (member, step) => any(`fence ${member.name} by its command`, { startToCloseTimeout: member.fenceTimeoutMs + 30_000, retry: { maximumAttempts: 2 } }).fenceByCommand({ target, member: member.name, ...step }),
    liftFence: (member, step) => at(member, `take the fence of ${member.name} back`).liftFence({ target, member: member.name, ...step }),
    promote: (member, fromTimeline) => any(`promote ${member.name}`, { startToCloseTimeout: '15 minutes' }).promoteMember({ target, member: member.name, fromTimeline }),
    proveWrites: (member, timeline) => any(`prove that ${member.name} takes writes`).proveWrites({ target, member: member.name, run, timeline }),
    follow: (member, primary, timeline) => any(`let ${member.name} follow ${primary}`).followPrimary({ target, member: member.name, primary, timeline }),
    moveClients: (primary) => any(`point the records of ${target} to ${primary.name}, ask the authoritative servers`).moveRecords({ target, member: primary.name }),
    measureLoss: (member, timeline, switchLsn) => at(member, `look for WAL that only ${member.name} has`, { startToCloseTimeout: '30 minutes', scheduleToStartTimeout: '30 seconds', retry: { maximumAttempts: 3 } }).measureLoss({ target, member: member.name, timeline, switchLsn }),
    record: (result) => any('write the record of this failover').recordFailover(result),
  };
}
