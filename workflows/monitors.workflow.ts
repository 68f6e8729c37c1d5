import { continueAsNew, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { taskQueues } from '../domain/task-queues.ts';
import type { Activities } from '../activities/index.ts';

export interface MonitorsInput {
  readonly schemaVersion?: 1;
  /** Worker host that observes; null: any. */
  readonly host: string | null;
}

/**
 * Watches the monitors of the configuration. Id: `monitors` or `monitors/<host>`; started by every worker that has some, once. One activity
 * does all of it and heartbeats, so that nothing is written while all is well; a worker that dies is followed by another within seconds. Ends when
 * the configuration has none any more.
 */
export async function monitors(input: MonitorsInput): Promise<void> {
  const { host } = input;
  setCurrentDetails('One activity watches all monitors; its heartbeat says what is not healthy (`resurgo monitor status`).');
  const { watchMonitors } = proxyActivities<Activities>({
    taskQueue: host === null ? taskQueues.watch : taskQueues.hostWatch(host),
    startToCloseTimeout: '1 day',
    heartbeatTimeout: '20 seconds',
    retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' },
    summary: 'watch the monitors',
  });
  const { monitors: count } = await watchMonitors({ host });
  if (count > 0) await continueAsNew<typeof monitors>(input);
}
