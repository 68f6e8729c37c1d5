import { uuid4, workflowInfo } from '@temporalio/workflow';
import type { FailoverInput, FailoverResult } from '../domain/failover.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import { local, onHost, lightOn } from './activity-profiles.ts';
import { failWithResult, failoverSteps, flowHost, type FailoverRunInput } from './failover.workflow.ts';
import { failure, rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes } from './progress.ts';
import { switchoverFlow, switchoverStepNames, type SwitchoverSteps } from './switchover-flow.ts';

/** The roles change as planned, without loss. Public: `{"target":"shop"}`, with `to`, `preview`. Holds `failover/<target>`. Query: `steps`. */
export async function switchover(input: FailoverInput): Promise<FailoverResult> {
  try {
    const checklist = new Checklist('Switchover', ['validate input', 'run']);
    const checked = await checklist.run('validate input', () => local.announceFailover(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target } = checked.input;
    checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'switchover' }]);
    const run: FailoverRunInput = { id: idFromUuid(uuid4()), input: checked.input, plan: checked.plan, startedAt: new Date(workflowInfo().startTime).toISOString(), searchAttributes: checked.searchAttributes };
    if (checked.input.preview === true) return await checklist.run('run', () => switchoverRun(run));
    const result = await checklist.run('run', () => runLocked<typeof switchoverRun>('switchoverRun', [run], { lockId: lockIds.failover(target), summary: `switchover ${run.id} of ${target}`, onBusy: 'refuse' }));
    if (result === skipped) throw failure('lockBusy', `another failover or switchover of ${target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

export async function switchoverRun(run: FailoverRunInput): Promise<FailoverResult> {
  const { target } = run.input;
  const checklist = new Checklist(`Switchover ${run.id} of ${target}`, switchoverStepNames);
  checklist.enableAttributes(run.searchAttributes);
  const epoch = new Date(workflowInfo().startTime).getTime();
  const at = (host: string | null, summary: string) => (host === null ? lightOn(null, summary, { startToCloseTimeout: '30 minutes' }) : onHost(host, summary, { startToCloseTimeout: '30 minutes' }));
  const steps: SwitchoverSteps = {
    ...failoverSteps(target, run.id),
    retire: (member) => at(member.host, `stop ${member.name} cleanly`).retirePrimary({ target, member: member.name, run: run.id, epoch }),
    reinstate: (member) => at(member.host, `start ${member.name} as the primary again`).reinstatePrimary({ target, member: member.name, run: run.id, epoch }),
    awaitEverything: (member, checkpoint) => at(null, `wait until ${member.name} has all WAL`).awaitEverything({ target, member: member.name, checkpoint }),
    demote: (member) => at(member.host, `start ${member.name} as a standby`).demoteMember({ target, member: member.name, run: run.id, epoch }),
  };
  try {
    const result = await switchoverFlow({ ...run, epoch }, steps, flowHost(checklist));
    checklist.tag([{ key: searchAttributes.outcome, value: result.status }]);
    return result;
  } catch (error) {
    checklist.tag([{ key: searchAttributes.outcome, value: 'failed' }]);
    failWithResult(error);
  }
}
