import { ActivityCancellationType, proxyActivities, proxyLocalActivities, type ActivityOptions } from '@temporalio/workflow';
import { taskQueues } from '../domain/task-queues.ts';
import type { Activities } from '../activities/index.ts';

/**
 * Every activity sends heartbeats (activities/failure-mapping.ts): a dead worker is noticed after this, and a cancel is heard. A cancelled step is
 * waited for, so that nothing of it is at work any more when what it did is swept and the lock is given back.
 */
const lively = { heartbeatTimeout: '15 seconds', cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED } as const;

/**
 * Activity options by effect, made once (architecture: durability rule 1). Whether an error is tried again is decided by its
 * code (`domain/errors.ts`), which the activity boundary turns into `nonRetryable`.
 */
const light: ActivityOptions = {
  ...lively,
  taskQueue: taskQueues.main,
  startToCloseTimeout: '10 minutes',
  scheduleToStartTimeout: '5 minutes',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '10 seconds', maximumAttempts: 6 },
};

/** Bulk work. Waiting behind other bulk work is legitimate, hence the long schedule-to-start. */
const long: ActivityOptions = {
  ...lively,
  taskQueue: taskQueues.heavy,
  startToCloseTimeout: '7 days',
  scheduleToStartTimeout: '24 hours',
  retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '1 minute', maximumAttempts: 8 },
};

export const profiles = { light, long } as const;

/** Quick, idempotent steps: reads, small writes that converge. On the host named, else on any worker. */
export const lightOn = (host: string | null, summary: string, options: ActivityOptions = {}): Activities =>
  host === null ? proxyActivities<Activities>({ ...light, summary, ...options }) : onHost(host, summary, options);

/** A quick step that must run on the host that holds a run file or a data directory. */
export const onHost = (host: string, summary: string, options: ActivityOptions = {}): Activities =>
  proxyActivities<Activities>({ ...light, taskQueue: taskQueues.host(host), summary, ...options });

/** Bulk work on the host named, else on any worker that takes bulk work. */
export const heavyOn = (host: string | null, summary: string): Activities => (host === null ? proxyActivities<Activities>({ ...long, summary }) : bulkOnHost(host, summary));

/** Bulk work bound to one host. It may wait behind other bulk work there; a host that is gone is told by the quick step before it, or after an hour. */
export const bulkOnHost = (host: string, summary: string, options: ActivityOptions = {}): Activities =>
  proxyActivities<Activities>({ ...long, taskQueue: taskQueues.hostHeavy(host), scheduleToStartTimeout: '1 hour', summary, ...options });

/** Watching for ever: a dead worker is noticed in seconds, and whatever fails is tried again without end. */
export const watchOn = (host: string | null, summary: string, forMs: number): Activities =>
  proxyActivities<Activities>({
    taskQueue: host === null ? taskQueues.watch : taskQueues.hostWatch(host),
    summary,
    heartbeatTimeout: '5 seconds',
    startToCloseTimeout: forMs + 10 * 60_000,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { initialInterval: '1 second', backoffCoefficient: 1.5, maximumInterval: '2 seconds' },
  });

/** One activity that goes on for hours and is then handed on: its heartbeats write no history, and a dead worker is noticed by them. */
export const shift = (summary: string): Activities =>
  proxyActivities<Activities>({
    taskQueue: taskQueues.watch,
    startToCloseTimeout: '1 day',
    heartbeatTimeout: '20 seconds',
    retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' },
    summary,
  });

/** Waiting for another run: takes no slot of the bulk work it waits for. */
export const waiting = (summary: string): Activities => proxyActivities<Activities>({ ...long, taskQueue: taskQueues.main, summary });

/** What costs nothing and touches nothing outside the worker. */
export const local = proxyLocalActivities<Activities>({ startToCloseTimeout: '10 seconds', retry: { maximumAttempts: 3 } });
