import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { LoggedOperation } from '../domain/run-log.ts';
import { lightOn } from './activity-profiles.ts';

export interface RecordedRun {
  readonly target: string;
  readonly operation: LoggedOperation;
  readonly host: string | null;
  readonly startedBy?: string | undefined;
}

/** Does `work`, under its lock, and notes how it ended for the rates of `resurgo status`. What could not be noted is no failure. */
export async function recorded<T>(run: RecordedRun, work: () => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  const since = Date.now();
  let ok = false;
  try {
    const result = await work();
    ok = isGood(result);
    return result;
  } finally {
    if (patched('record-run')) await CancellationScope.nonCancellable(() => note(run, since, ok));
  }
}

async function note({ target, operation, host, startedBy }: RecordedRun, since: number, ok: boolean): Promise<void> {
  const entry = { id: workflowInfo().runId, at: new Date(since).toISOString(), ms: Date.now() - since, ok, scheduled: startedBy === 'schedule' };
  await lightOn(host, 'count this run', { retry: { maximumAttempts: 2 }, startToCloseTimeout: '1 minute', scheduleToStartTimeout: '1 minute' }).recordRun({ target, operation, run: entry }).catch(() => undefined);
}
