/** How activities reach incidents and people: through Temporal, like a gateway. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { ActivityDeps } from '../activities/deps.ts';
import { groupAlerts, temporalSubmit } from '../client/gateway/submit.ts';
import { taskQueues } from '../domain/task-queues.ts';

export function alerting(client: Client): Required<Pick<ActivityDeps, 'submitAlert' | 'startNotification' | 'startRun'>> {
  const submit = temporalSubmit(client, { deadlineMs: 5000 });
  /** Once for an id, whatever became of it. */
  const startOnce = async (type: string, workflowId: string, input: object, summary: string): Promise<void> => {
    await client.workflow
      .start(type, { workflowId, taskQueue: taskQueues.main, args: [input], staticSummary: summary.slice(0, 200), workflowIdReusePolicy: 'REJECT_DUPLICATE' })
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      });
  };
  return {
    submitAlert: async (alert) => {
      for (const group of groupAlerts([alert])) await submit(group);
    },
    startRun: startOnce,
    startNotification: (notification) => startOnce('notification', `notify/${notification.dedupeKey}`, notification, notification.subject),
  };
}
