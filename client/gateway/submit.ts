/** Hands alerts to their incidents. What returns was accepted by Temporal, which does not forget it. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { groupOf, type Alert } from '../../domain/alert.ts';
import { incidentWorkflowId } from '../../domain/incident.ts';
import { taskQueues } from '../../domain/task-queues.ts';
import { fingerprintOf } from '../../providers/alerts/incident-id.ts';
import { Problem } from './problem.ts';

export interface Submission {
  readonly workflowId: string;
  readonly alerts: readonly Alert[];
}

export type Submit = (submission: Submission) => Promise<void>;

/** One signal carries at most this many alerts: they are kept in the history of the incident. */
export const maxBatch = 100;

/** Alerts by the incident they belong to, in their order. */
export function groupAlerts(alerts: readonly Alert[]): Submission[] {
  const groups = new Map<string, Alert[]>();
  for (const alert of alerts) {
    const id = incidentWorkflowId(fingerprintOf(groupOf(alert)));
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [alert]);
    else group.push(alert);
  }
  return [...groups].flatMap(([workflowId, all]) =>
    Array.from({ length: Math.ceil(all.length / maxBatch) }, (_, i) => ({ workflowId, alerts: all.slice(i * maxBatch, (i + 1) * maxBatch) })),
  );
}

/**
 * A firing alert starts the incident's workflow or joins the one that runs, in one atomic step; what is only resolved never starts one.
 * @throws Problem 503 when Temporal has not accepted it within the deadline
 */
export function temporalSubmit(client: Client, options: { deadlineMs: number }): Submit {
  return async ({ workflowId, alerts }) => {
    const firing = alerts.some((alert) => alert.status === 'firing');
    const first = alerts[0];
    if (first === undefined) return;
    try {
      await client.withDeadline(Date.now() + options.deadlineMs, async () => {
        if (firing) {
          await client.workflow.signalWithStart('incident', {
            workflowId,
            taskQueue: taskQueues.main,
            args: [{ schemaVersion: 1 }],
            signal: 'alerts',
            signalArgs: [alerts],
            staticSummary: `incident ${groupOf(first)}`.slice(0, 200),
          });
        } else {
          await client.workflow.getHandle(workflowId).signal('alerts', alerts);
        }
      });
    } catch (error) {
      // Nothing is broken there, so there is nothing to resolve.
      if (!firing && error instanceof WorkflowNotFoundError) return;
      throw new Problem(503, `Temporal has not accepted it: ${error instanceof Error ? error.message : String(error)}`, 5);
    }
  };
}
