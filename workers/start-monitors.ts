import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { watchedClusters } from '../config/lookup.ts';
import type { Config } from '../config/schema.ts';
import { taskQueues } from '../domain/task-queues.ts';

/** One workflow for the dead-man pings of the whole installation. */
export async function startDeadman(client: Client, config: Pick<Config, 'deadman'>): Promise<void> {
  if (config.deadman?.some(({ on }) => on === 'health') !== true) return;
  await client.workflow
    .start('deadman', { workflowId: 'deadman', taskQueue: taskQueues.main, args: [], staticSummary: 'ping the dead-man switches', workflowIdConflictPolicy: 'USE_EXISTING' })
    .catch((error: unknown) => {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    });
}

/** One workflow for what any worker may observe, one for each host that monitors name. Those that run already go on. */
export async function startMonitors(client: Client, config: Config): Promise<void> {
  const hosts = new Set((config.monitors ?? []).map((monitor) => monitor.on ?? null));
  if (watchedClusters(config).length > 0) hosts.add(null);
  for (const host of hosts) {
    await client.workflow
      .start('monitors', {
        workflowId: host === null ? 'monitors' : `monitors/${host}`, taskQueue: taskQueues.main, args: [{ schemaVersion: 1, host }],
        staticSummary: host === null ? 'watch all monitors' : `watch the monitors of ${host}`, workflowIdConflictPolicy: 'USE_EXISTING',
      })
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      });
  }
}
