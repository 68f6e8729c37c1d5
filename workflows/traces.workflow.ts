import { continueAsNew, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { taskQueues } from '../domain/task-queues.ts';
import type { TraceMark } from '../domain/trace.ts';
import type { Activities } from '../activities/index.ts';

/**
 * Sends every run that ends to the collector of `telemetry.traces`. Id: `traces`; started by every worker that has one configured, once. One activity heartbeats how
 * far it is; when its worker dies another goes on from there. Ends when the configuration has none any more.
 */
export async function traces(from: TraceMark | null): Promise<void> {
  setCurrentDetails('One activity sends the traces of runs that have ended (docs/guides/traces.md).');
  const { sendTraces } = proxyActivities<Activities>({
    taskQueue: taskQueues.watch,
    startToCloseTimeout: '1 day',
    heartbeatTimeout: '20 seconds',
    retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '15 seconds' },
    summary: 'send traces',
  });
  const mark = await sendTraces(from);
  if (mark !== null) await continueAsNew<typeof traces>(mark);
}
