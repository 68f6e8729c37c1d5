/** Starts and stops the WAL archives of a configuration: a workflow each, whose id is the lock. */
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/common';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { Config } from '../config/schema.ts';
import { lockIds } from '../domain/ids.ts';
import { taskQueues } from '../domain/task-queues.ts';

export const walTargets = (config: Config): string[] => Object.entries(config.targets).filter(([, target]) => target.type === 'postgres' && target.wal === true && target.engine === 'physical').map(([name]) => name);

/** Starts what does not run yet; what runs is left alone. */
export async function startWalArchives(client: Client, targets: readonly string[], startedBy: string): Promise<void> {
  for (const target of targets) {
    await client.workflow.start('walArchive', {
      taskQueue: taskQueues.main,
      workflowId: lockIds.wal(target),
      args: [{ schemaVersion: 1, target, startedBy }],
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      staticSummary: `WAL archive of ${target}`,
    });
  }
}

/** @returns false when none was running */
export async function stopWalArchive(client: Client, target: string, waitMs = 60_000): Promise<boolean> {
  const handle = client.workflow.getHandle(lockIds.wal(target));
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return false;
    await handle.cancel();
    await Promise.race([handle.result().catch(() => undefined), new Promise((resolve) => setTimeout(resolve, waitMs).unref())]);
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
