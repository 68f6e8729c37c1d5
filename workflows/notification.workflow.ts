import { isCancellation, ParentClosePolicy, proxyActivities, startChild, WorkflowIdReusePolicy } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { Notification, NotificationOutcome } from '../domain/notification.ts';
import { taskQueues } from '../domain/task-queues.ts';
import type { Activities } from '../activities/index.ts';
import { local } from './activity-profiles.ts';
import { factsOf } from './failures.ts';
import { Checklist } from './progress.ts';

/** A message nobody took for this long is given up; the incident's timeline and the log of this run keep it. */
const patience = proxyActivities<Activities>({
  taskQueue: taskQueues.main,
  startToCloseTimeout: '2 minutes',
  scheduleToCloseTimeout: '6 hours',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '5 minutes' },
  summary: 'tell people',
});

/**
 * Says one thing on every channel it is for, each on its own: a channel that is down holds up no other. Runs apart from what it tells about, so
 * that no recovery waits for it or fails by it. Id: `notify/<dedupe key>`, once. Ends with an outcome per channel, never with an error.
 */
export async function notification(message: Notification): Promise<NotificationOutcome[]> {
  const checklist = new Checklist(message.subject, []);
  const channels = await local.routeNotification(message);
  return Promise.all(
    channels.map(async (channel): Promise<NotificationOutcome> => {
      checklist.set(channel, 'in progress');
      try {
        const outcome = await patience.sendNotification({ channel, notification: message });
        checklist.set(channel, 'completed', outcome.detail);
        return outcome;
      } catch (error) {
        if (isCancellation(error)) throw error;
        const { message: detail } = factsOf(error);
        checklist.set(channel, 'failed', detail);
        return { channel, status: 'failed', detail };
      }
    }),
  );
}

/**
 * Starts {@link notification} as an abandoned child. Resolves when the server has it, which is all the caller may wait for, and only before it
 * closes or continues as new. Said already is said.
 */
export async function tell(message: Notification): Promise<void> {
  try {
    await startChild(notification, {
      args: [message],
      workflowId: `notify/${message.dedupeKey}`,
      taskQueue: taskQueues.main,
      staticSummary: message.subject.slice(0, 200),
      parentClosePolicy: ParentClosePolicy.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
