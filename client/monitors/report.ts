/** What the watch said last, from its heartbeat: nothing else is written while all is well. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { WatchReport } from '../../domain/monitor.ts';

/** A watch that was not heard of for so long says nothing any more. */
export const staleMs = 60_000;

/** Undefined: no worker watches. */
export async function watchReport(client: Client, host: string | null): Promise<WatchReport | undefined> {
  try {
    const { raw, status } = await client.workflow.getHandle(host === null ? 'monitors' : `monitors/${host}`).describe();
    if (status.name !== 'RUNNING') return undefined;
    const payload = raw.pendingActivities?.find((pending) => pending.activityType?.name === 'watchMonitors')?.heartbeatDetails?.payloads?.[0];
    return payload == null ? undefined : defaultPayloadConverter.fromPayload<WatchReport>(payload);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
