import { continueAsNew, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { taskQueues } from '../domain/task-queues.ts';
import type { Activities } from '../activities/index.ts';

/**
 * Tells the dead-man switches of the configuration that all is well, or is not. Id: `deadman`; started by every worker that has some, once. One activity
 * heartbeats, so that nothing is written meanwhile; when its worker dies another goes on within seconds. Ends when the configuration has none any more.
 */
export async function deadman(): Promise<void> {
  setCurrentDetails('One activity pings while all is well (`resurgo status` shows the last pings).');
  const { watchHealth } = proxyActivities<Activities>({
    taskQueue: taskQueues.watch,
    startToCloseTimeout: '1 day',
    heartbeatTimeout: '20 seconds',
    retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' },
    summary: 'ping the dead-man switches',
  });
  const { pings } = await watchHealth();
  if (pings > 0) await continueAsNew<typeof deadman>();
}
