/** The typed library behind the CLI: start a run, follow it, get its result. */
import type { WorkflowHandle } from '@temporalio/client';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../domain/errors.ts';
import { taskQueues } from '../domain/task-queues.ts';
import type { ArchiveInput, ArchiveResult } from '../domain/archive.ts';
import type { BackupInput, BackupResult, FinishRestoreInput, FinishRestoreResult, PruneInput, PruneReport, RestoreInput, RestoreResult, UpkeepInput, UpkeepReport, VerifyInput, VerifyReport } from '../domain/operations.ts';
import type { AttachInput, AttachResult } from '../domain/attach.ts';
import type { FailoverInput, FailoverResult } from '../domain/failover.ts';
import type { PlanResult, RecoverInput } from '../domain/plan/result.ts';
import type { DrillInput, DrillResult } from '../domain/drill.ts';
import type { GameDayInput, GameDayResult } from '../domain/gameday.ts';
import { requireWorker, type Connected } from './connect.ts';
import { observe, type FollowState } from './follow.ts';
import { fromWorkflowError } from './workflow-error.ts';

export interface Runs {
  archive: { input: ArchiveInput; result: ArchiveResult };
  backup: { input: BackupInput; result: BackupResult };
  restore: { input: RestoreInput; result: RestoreResult };
  verify: { input: VerifyInput; result: VerifyReport };
  upkeep: { input: UpkeepInput; result: UpkeepReport };
  prune: { input: PruneInput; result: PruneReport };
  recover: { input: RecoverInput; result: PlanResult };
  drill: { input: DrillInput; result: DrillResult };
  gameday: { input: GameDayInput; result: GameDayResult };
  switchover: { input: FailoverInput; result: FailoverResult };
  attachStandby: { input: AttachInput; result: AttachResult };
  failover: { input: FailoverInput; result: FailoverResult };
  finishRestore: { input: FinishRestoreInput; result: FinishRestoreResult };
}

export interface StartedRun<R> {
  readonly workflowId: string;
  readonly handle: WorkflowHandle;
  /** Follows the run to its end; an unreachable Temporal is waited for (the run goes on without us). */
  follow(onState: (state: FollowState) => void, signal?: AbortSignal): Promise<R>;
}

/** Starts a public workflow. @throws workerMissing when nobody would take it up */
export async function startRun<T extends keyof Runs>(connected: Connected, type: T, input: Runs[T]['input'], workflowId?: string): Promise<StartedRun<Runs[T]['result']>> {
  await requireWorker(connected);
  const id = workflowId ?? `${type}-${(input as { target?: string }).target ?? 'run'}-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${randomUUID().slice(0, 6)}`;
  const handle = await connected.client.workflow.start(type, {
    taskQueue: taskQueues.main,
    workflowId: id,
    args: [{ schemaVersion: 1, ...input }],
    staticSummary: [type, (input as { plan?: string }).plan, (input as { target?: string }).target].filter((word) => word !== undefined).join(' '),
  });
  return { workflowId: id, handle, follow: (onState, signal) => followRun(connected, id, onState, signal) };
}

/** Follows a run by its id; see {@link StartedRun.follow}. */
export async function followRun<R>(connected: Connected, workflowId: string, onState: (state: FollowState) => void, signal?: AbortSignal): Promise<R> {
  const handle = connected.client.workflow.getHandle(workflowId);
  const run = { ended: false };
  const result = resultOf<R>(handle).finally(() => {
    run.ended = true;
  });
  result.catch(() => undefined);
  const hasEnded = (): boolean => run.ended;
  const watch = async (): Promise<void> => {
    while (!hasEnded() && signal?.aborted !== true) {
      const state = await observe(connected.client, handle.workflowId);
      if (state !== undefined && !hasEnded()) onState(state);
      await Promise.race([sleep(500), result.catch(() => undefined)]);
    }
  };
  void watch();
  if (signal === undefined) return result;
  const aborted = new Promise<never>((_, reject) => {
    const stop = (): void => {
      reject(new ResurgoError('cancelled', `stopped following ${handle.workflowId}; the run goes on`, { details: { hint: 'See it in the Temporal UI; what it does is not undone by looking away.' } }));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  return Promise.race([result, aborted]);
}

/** The result, across restarts of Temporal: losing the connection is not losing the run. */
async function resultOf<R>(handle: WorkflowHandle): Promise<R> {
  for (let failures = 0; ; ) {
    try {
      return (await handle.result()) as R;
    } catch (error) {
      const mapped = fromWorkflowError(error, handle.workflowId);
      if (mapped.code !== 'temporalUnreachable' || ++failures > 120) throw mapped;
      await sleep(1000);
    }
  }
}
