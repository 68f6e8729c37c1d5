import { setTimeout as sleep } from 'node:timers/promises';
import { fromWorkflowError } from '../client/workflow-error.ts';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';

/** Resolves when `workflowId` is closed or was never there. */
export async function waitForClose(client: Client, workflowId: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const { status } = await client.workflow.getHandle(workflowId).describe();
      if (status.name !== 'RUNNING') return;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return;
      throw error;
    }
    await sleep(500, undefined, { signal });
  }
}

/** Whether `workflowId` has a run that is not closed. */
export async function isRunning(client: Client, workflowId: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(workflowId).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

export interface FoundRun {
  readonly workflowId: string;
  /** ms since the epoch */
  readonly startedAt: number;
  readonly running: boolean;
}

/** The run of a type that was started last, of those whose ids begin so. The list of Temporal lags behind by a second or two. */
export async function newestRun(client: Client, type: string, idPrefix: string): Promise<FoundRun | undefined> {
  const quoted = JSON.stringify(idPrefix);
  for await (const { workflowId, startTime, status } of client.workflow.list({ query: `WorkflowType = "${type}" AND WorkflowId STARTS_WITH ${quoted}`, pageSize: 1 }))
    return { workflowId, startedAt: startTime.getTime(), running: status.name === 'RUNNING' };
  return undefined;
}

/** Asks whoever started the open run of `workflowId` to cancel, where its id begins so. @returns its id */
export async function cancelParent(client: Client, workflowId: string, prefix: string): Promise<string | undefined> {
  try {
    const { status, parentExecution } = await client.workflow.getHandle(workflowId).describe();
    const parent = parentExecution?.workflowId;
    if (status.name !== 'RUNNING' || parent?.startsWith(prefix) !== true) return undefined;
    await client.workflow.getHandle(parent).cancel();
    return parent;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** The result of `workflowId`, waiting for its end. @throws what it failed with */
export async function outcomeOf(client: Client, workflowId: string, signal: AbortSignal): Promise<unknown> {
  await waitForClose(client, workflowId, signal);
  try {
    return await client.workflow.getHandle(workflowId).result();
  } catch (error) {
    throw fromWorkflowError(error, workflowId);
  }
}
