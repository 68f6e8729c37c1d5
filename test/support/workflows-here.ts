/**
 * The workflows themselves, run in this process without Temporal, for sweeps of hundreds of runs. A test file stands this in for the SDK:
 * `vi.mock('@temporalio/workflow', () => import('../support/workflows-here.ts'))`. Activities are tried again as their profile says, without
 * the pauses. It must import nothing of ours, or workflows would be loaded before it. What goes in and out passes through JSON, as it does in a history. Cancellation and versions are not its business.
 */
import * as common from '@temporalio/common';
import { randomUUID } from 'node:crypto';
import type { Activities } from '../../activities/index.ts';

// Constants, not re-exports: those of a CommonJS module are lost where a mock is made of this one.
export const { ActivityFailure, ApplicationFailure, CancelledFailure, ChildWorkflowFailure, TimeoutFailure, WorkflowExecutionAlreadyStartedError } = common;
const { RetryState } = common;

type Run = (input: never) => Promise<unknown>;

interface Here {
  readonly activities: Record<string, Run>;
  readonly children: Readonly<Record<string, Run>>;
  readonly startTime: Date;
  /** Ids of children that run. */
  readonly busy: Set<string>;
  /** Ids of all children, in the order in which they were started. */
  readonly taken: string[];
}
let here: Here | undefined;
const now = (): Here => {
  if (here === undefined) throw new Error('no workflow runs here');
  return here;
};

/** Runs a workflow function (one at a time) whose children are among `children`; `startedAt` is what its backups are named by. */
export async function runHere<I, R>(workflow: (input: I) => Promise<R>, input: I, options: { readonly activities: Activities; readonly children?: Readonly<Record<string, unknown>>; readonly startedAt?: Date; /** Ids that others hold. */ readonly busy?: readonly string[]; /** Gets the ids of the children. */ readonly taken?: string[] }): Promise<R> {
  if (here !== undefined) throw new Error('one workflow at a time');
  here = { activities: options.activities as unknown as Record<string, Run>, children: (options.children ?? {}) as Record<string, Run>, startTime: options.startedAt ?? new Date(), busy: new Set(options.busy), taken: options.taken ?? [] };
  try {
    return json(await workflow(json(input)));
  } finally {
    here = undefined;
  }
}

const json = <T>(value: T): T => (value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T));

interface Profile {
  readonly retry?: { readonly maximumAttempts?: number };
}

const defaultAttempts = 6;

export const proxyActivities = (profile: Profile): unknown =>
  new Proxy({}, {
    get: (_, name: string) => async (input: never) => {
      const run = now().activities[name];
      if (run === undefined) throw new Error(`there is no activity ${name}`);
      for (let attempt = 1; ; attempt++) {
        try {
          return json(await run(json(input)));
        } catch (error) {
          if (error instanceof CancelledFailure) throw error;
          if (!(error instanceof ApplicationFailure)) throw new Error(`activity ${name} threw past its boundary`, { cause: error });
          const last = error.nonRetryable === true || attempt >= (profile.retry?.maximumAttempts ?? defaultAttempts);
          if (last) throw new ActivityFailure(`activity ${name} failed`, name, randomUUID(), error.nonRetryable === true ? RetryState.NON_RETRYABLE_FAILURE : RetryState.MAXIMUM_ATTEMPTS_REACHED, 'here', error);
        }
      }
    },
  });
export const proxyLocalActivities = proxyActivities;

export const executeChild = async (type: string, { args: [input], workflowId }: { args: [never]; workflowId: string }): Promise<unknown> => {
  const { children, busy, taken } = now();
  const child = children[type];
  if (child === undefined) throw new Error(`there is no child ${type}`);
  // An id that runs already: that is what locks are made of.
  if (busy.has(workflowId)) throw new WorkflowExecutionAlreadyStartedError('it runs already', workflowId, type);
  busy.add(workflowId);
  taken.push(workflowId);
  try {
    return json(await child(json(input)));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new ChildWorkflowFailure('default', { workflowId, runId: type }, type, RetryState.NON_RETRYABLE_FAILURE, error);
  } finally {
    busy.delete(workflowId);
  }
};

export const workflowInfo = (): { startTime: Date; workflowId: string; runId: string } => ({ startTime: now().startTime, workflowId: 'here', runId: now().startTime.toISOString() });
export const uuid4 = (): string => randomUUID();
export const patched = (): boolean => true;
export const isCancellation = (error: unknown): boolean => error instanceof CancelledFailure || ((error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) && isCancellation(error.cause));
const scope = { consideredCancelled: false };
export const CancellationScope = { current: () => scope, nonCancellable: <T>(work: () => Promise<T>): Promise<T> => work() };
const nothing = (): void => undefined;
export const setHandler = nothing;
export const setCurrentDetails = nothing;
export const upsertSearchAttributes = nothing;
export const defineQuery = (name: string): { name: string } => ({ name });
export const ActivityCancellationType = { WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED' } as const;
export const ChildWorkflowCancellationType = { WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED' } as const;
export const ParentClosePolicy = { REQUEST_CANCEL: 'REQUEST_CANCEL' } as const;
export const WorkflowIdReusePolicy = { ALLOW_DUPLICATE: 'ALLOW_DUPLICATE' } as const;
