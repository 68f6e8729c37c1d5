import { Client, Connection } from '@temporalio/client';
import { ResurgoError } from '../domain/errors.ts';
import { taskQueues } from '../domain/task-queues.ts';
import type { TemporalTarget } from './temporal-address.ts';

export interface Connected {
  readonly client: Client;
  readonly connection: Connection;
  readonly namespace: string;
  readonly ui?: string;
}

/** @throws temporalUnreachable naming the address */
export async function connect(target: TemporalTarget): Promise<Connected> {
  try {
    const connection = await Connection.connect({ ...target.connection, connectTimeout: 10_000 });
    const client = new Client({ connection, namespace: target.namespace });
    return { client, connection, namespace: target.namespace, ...(target.ui === undefined ? {} : { ui: target.ui }) };
  } catch (error) {
    throw new ResurgoError('temporalUnreachable', `Temporal at ${target.connection.address} does not answer: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** @throws workerMissing when nobody polls the main queue: a run would wait for ever */
export async function requireWorker({ connection, namespace }: Connected, waitMs = 15_000): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum is in no package of ours
    const { pollers } = await connection.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueues.main }, taskQueueType: 1 });
    const minuteAgo = Date.now() - 70_000;
    if (pollers.some((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000 > minuteAgo)) return;
    if (Date.now() > deadline) throw new ResurgoError('workerMissing', `no worker polls the task queue "${taskQueues.main}" of namespace ${namespace}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

export const workflowLink = ({ ui, namespace }: Pick<Connected, 'ui' | 'namespace'>, workflowId: string): string | undefined =>
  ui === undefined ? undefined : `${ui}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}`;
