import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { watchedClusters } from '../config/lookup.ts';
import type { Config } from '../config/schema.ts';
import { taskQueues } from '../domain/task-queues.ts';

/** Starts what runs for ever; one that runs already goes on. */
async function startForGood(client: Client, type: string, workflowId: string, args: unknown[], staticSummary: string): Promise<void> {
  await client.workflow.start(type, { workflowId, taskQueue: taskQueues.main, args, staticSummary, workflowIdConflictPolicy: 'USE_EXISTING' }).catch((error: unknown) => {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  });
}

/** One workflow for the dead-man pings of the whole installation. */
export async function startDeadman(client: Client, config: Pick<Config, 'deadman'>): Promise<void> {
  if (config.deadman?.some(({ on }) => on === 'health') !== true) return;
  await startForGood(client, 'deadman', 'deadman', [], 'ping the dead-man switches');
}

/** One workflow that sends the traces of the whole installation. */
export async function startTraces(client: Client, config: Pick<Config, 'telemetry'>): Promise<void> {
  if (config.telemetry?.traces === undefined) return;
  await startForGood(client, 'traces', 'traces', [null], 'send the traces of runs that have ended');
}

/** One workflow for what any worker may observe, one for each host that monitors name. */
export async function startMonitors(client: Client, config: Config): Promise<void> {
  const hosts = new Set((config.monitors ?? []).map((monitor) => monitor.on ?? null));
  if (watchedClusters(config).length > 0) hosts.add(null);
  for (const host of hosts) {
    const [id, summary] = host === null ? ['monitors', 'watch all monitors'] : [`monitors/${host}`, `watch the monitors of ${host}`];
    await startForGood(client, 'monitors', id, [{ schemaVersion: 1, host }], summary);
  }
}
