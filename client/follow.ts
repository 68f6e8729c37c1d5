/** Follows a running workflow: the steps of its deepest child and the heartbeat of what works just now. */
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { ProgressReport } from '../domain/ports.ts';
import type { CheckItem } from '../workflows/progress.ts';

export interface FollowState {
  readonly steps: readonly CheckItem[];
  readonly active: readonly { readonly activity: string; readonly attempt: number; readonly progress?: ProgressReport; readonly lastFailure?: string }[];
}

/** What the run `workflowId` is doing now; undefined where nothing can be said (between steps, no worker). */
export async function observe(client: Client, workflowId: string): Promise<FollowState | undefined> {
  let handle = client.workflow.getHandle(workflowId);
  let description: WorkflowExecutionDescription;
  try {
    description = await handle.describe();
    // The public workflow is thin; the work is in the child that holds the lock, or the last of several.
    for (let depth = 0; depth < 16; depth++) {
      const child = description.raw.pendingChildren?.[0];
      if (child?.workflowId == null) break;
      handle = client.workflow.getHandle(child.workflowId, child.runId ?? undefined);
      description = await handle.describe();
    }
  } catch {
    return undefined;
  }
  const steps = await handle.query<CheckItem[]>('steps').catch(() => [] as CheckItem[]);
  const active = (description.raw.pendingActivities ?? []).map((pending) => {
    const payload = pending.heartbeatDetails?.payloads?.[0];
    const progress = payload == null ? undefined : decode(payload);
    const lastFailure = pending.lastFailure?.message;
    return {
      activity: pending.activityType?.name ?? '?',
      attempt: pending.attempt ?? 1,
      ...(progress === undefined ? {} : { progress }),
      ...(lastFailure == null ? {} : { lastFailure }),
    };
  });
  return { steps, active };
}

function decode(payload: Parameters<typeof defaultPayloadConverter.fromPayload>[0]): ProgressReport | undefined {
  try {
    return defaultPayloadConverter.fromPayload<ProgressReport>(payload);
  } catch {
    return undefined;
  }
}
