import { uuid4, workflowInfo } from '@temporalio/workflow';
import type { AttachInput, AttachResult } from '../domain/attach.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import { bulkOnHost, local, onHost } from './activity-profiles.ts';
import { flowHost } from './failover.workflow.ts';
import { failure, rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes } from './progress.ts';
import { StepLog } from './step-log.ts';

export interface AttachRunInput {
  readonly id: string;
  readonly input: AttachInput;
  readonly host: string;
  readonly startedAt: string;
  readonly searchAttributes: boolean;
}

/**
 * A member becomes a standby: built, rebuilt, or an old primary brought back. Public: `{"target":"shop","member":"a","by":"rewind"}`.
 * One member of a cluster at a time (child `standby/<target>`). Query: `steps`. What was done when it fails stays: the member is blocked or down, and the
 * same command goes on.
 */
export async function attachStandby(input: AttachInput): Promise<AttachResult> {
  try {
    const checklist = new Checklist('Bring a member back', ['validate input', 'run']);
    const checked = await checklist.run('validate input', () => local.announceAttach(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target, member } = checked.input;
    checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'attachStandby' }]);
    const run: AttachRunInput = { id: idFromUuid(uuid4()), input: checked.input, host: checked.host, startedAt: new Date(workflowInfo().startTime).toISOString(), searchAttributes: checked.searchAttributes };
    const result = await checklist.run('run', () => runLocked<typeof attachStandbyRun>('attachStandbyRun', [run], { lockId: lockIds.standby(target), summary: `${checked.input.by} ${member} of ${target}`, onBusy: 'refuse' }));
    if (result === skipped) throw failure('lockBusy', `another member of ${target} is being worked on`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

/** Where starting it again does not help it is replaced: that is not put off for long. */
const briefly = { scheduleToStartTimeout: '1 minute', retry: { initialInterval: '1 second', maximumAttempts: 2 } } as const;

/** Holds `standby/<target>`. */
export async function attachStandbyRun(run: AttachRunInput): Promise<AttachResult> {
  const { target, member, by } = run.input;
  const checklist = new Checklist(`${by} ${member} of ${target}`, ['check', 'stop', by, 'start', 'wait until it streams']);
  checklist.enableAttributes(run.searchAttributes);
  const step = { target, member, by, run: run.id, epoch: new Date(workflowInfo().startTime).getTime() };
  const log = new StepLog(flowHost(checklist));
  const quick = (summary: string) => onHost(run.host, summary, { startToCloseTimeout: '30 minutes', ...(by === 'reattach' ? briefly : {}) });
  try {
    const before = await log.run('check', () => quick(`find the primary of ${target}, look at ${member}`).checkAttach(step), { detail: (found) => found.note });
    let kept: string | null = null;
    if (before.attached && by !== 'rebuild') for (const name of ['stop', by, 'start']) log.skip(name, 'it streams already');
    else {
      await log.run('stop', () => quick(`stop ${member}`).stopMember(step), { detail: (line) => line });
      kept = (await log.run(by, () => bulkOnHost(run.host, `${by} ${member}`, by === 'reattach' ? briefly : {}).refitMember(step), { detail: (done) => done.detail })).kept;
      await log.run('start', () => quick(`start ${member}`).startMember(step), { detail: (line) => line });
    }
    const end = await log.run('wait until it streams', () => quick(`wait until ${member} streams`).awaitStreaming(step), { detail: (done) => done.detail });
    const endedAt = new Date().toISOString();
    return { schemaVersion: 1, id: run.id, target, member, by, status: 'attached', primary: end.primary, timeline: end.timeline, kept, startedAt: run.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(run.startedAt), steps: log.steps };
  } catch (error) {
    rethrow(error);
  }
}
