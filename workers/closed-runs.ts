import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { taskQueues } from '../domain/task-queues.ts';
import type { ClosedRun, Span } from '../domain/trace.ts';
import { spansOfRun } from './run-spans.ts';

/** Our runs that closed at `since` (ms) or later, oldest first, but those of type `except`. Temporal lists a run a second or two late. */
export async function closedRuns(client: Client, since: number, except: string): Promise<ClosedRun[]> {
  const query = `TaskQueue = "${taskQueues.main}" AND WorkflowType != "${except}" AND ExecutionStatus != "Running" AND CloseTime >= "${new Date(since).toISOString()}"`;
  const found: ClosedRun[] = [];
  for await (const { workflowId, runId, closeTime } of client.workflow.list({ query })) {
    if (closeTime !== undefined) found.push({ workflowId, runId, closedAt: closeTime.getTime() });
  }
  return found.sort((a, b) => a.closedAt - b.closedAt);
}

/** Its trace; empty when Temporal has removed its history meanwhile. */
export async function traceOfRun(client: Client, namespace: string, { workflowId, runId }: ClosedRun): Promise<Span[]> {
  try {
    return spansOfRun({ workflowId, runId }, namespace, await client.workflow.getHandle(workflowId, runId).fetchHistory());
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return [];
    throw error;
  }
}
