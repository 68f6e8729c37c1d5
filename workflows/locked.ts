import { ChildWorkflowCancellationType, type ChildWorkflowOptions, executeChild, ParentClosePolicy, WorkflowIdReusePolicy, type Workflow } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { OnBusy } from '../domain/operations.ts';
import { lockIds } from '../domain/ids.ts';
import { failure, rethrow } from './failures.ts';
import { waiting } from './activity-profiles.ts';
import { taskQueues } from '../domain/task-queues.ts';

export interface LockedOptions {
  /** The lock: the child's workflow id. It exists once, and is free again the moment the child is closed, however it ended. */
  readonly lockId: string;
  readonly summary: string;
  readonly onBusy: OnBusy;
}

/**
 * Runs `workflow` under several locks of targets at once, taken in the order given: each lock is a child in the one before it. With `refuse` the first that is
 * busy gives all back; whoever waits holds what it has, so everybody must take them in one order.
 */
export async function runLockedAll<W extends Workflow>(workflow: string, args: Parameters<W>, targets: readonly string[], options: Omit<LockedOptions, 'lockId'>): Promise<Awaited<ReturnType<W>> | typeof skipped> {
  const [first, ...rest] = targets;
  if (first === undefined) throw failure('bug', 'no lock was named');
  if (rest.length === 0) return runLocked<W>(workflow, args, { ...options, lockId: lockIds.operation(first) });
  const result = await runLocked<typeof holdLocks>('holdLocks', [{ workflow, args, targets: rest, summary: options.summary, onBusy: options.onBusy }], { ...options, lockId: lockIds.operation(first) });
  return result === skipped || result.skipped ? skipped : (result.value as Awaited<ReturnType<W>>);
}

export interface HoldLocksInput {
  readonly workflow: string;
  readonly args: readonly unknown[];
  readonly targets: readonly string[];
  readonly summary: string;
  readonly onBusy: OnBusy;
}

/** Holds one lock by its id, and takes the next. */
export async function holdLocks({ workflow, args, targets, summary, onBusy }: HoldLocksInput): Promise<{ readonly skipped: boolean; readonly value?: unknown }> {
  try {
    const value = await runLockedAll<(...args: unknown[]) => Promise<unknown>>(workflow, [...args], targets, { summary, onBusy });
    return value === skipped ? { skipped: true } : { skipped: false, value };
  } catch (error) {
    rethrow(error);
  }
}

/** By name: the type of the child is told by the caller's type argument, and importing it would make a cycle. */
const startChild = executeChild as unknown as (type: string, options: ChildWorkflowOptions & { args: unknown[] }) => Promise<unknown>;

export const skipped: unique symbol = Symbol('skipped');

/**
 * Runs `workflow` as the child whose id is the lock.
 * Cancelling the caller cancels the child and waits for its compensation; the caller's end by force asks the child to cancel.
 * @throws lockBusy when another run holds the lock and `onBusy` is `refuse`
 */
export async function runLocked<W extends Workflow>(workflow: string, args: Parameters<W>, options: LockedOptions): Promise<Awaited<ReturnType<W>> | typeof skipped> {
  for (;;) {
    try {
      return (await startChild(workflow, {
        args,
        workflowId: options.lockId,
        taskQueue: taskQueues.main,
        staticSummary: options.summary,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      })) as Awaited<ReturnType<W>>;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      if (options.onBusy === 'skip') return skipped;
      if (options.onBusy === 'refuse') throw failure('lockBusy', `${options.lockId} is held by another run`);
      await waiting(`wait for ${options.lockId}`).waitForOperation({ workflowId: options.lockId });
    }
  }
}
