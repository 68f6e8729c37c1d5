import { connect } from '../client/connect.ts';
import { type FollowState, observe } from '../client/follow.ts';
import { lockIds } from '../domain/ids.ts';
import type { AllInOne } from './all-in-one.ts';

/** How often an activity of a run was scheduled, and which attempt ended it, by name. */
export type Executions = ReadonlyMap<string, { scheduled: number; attempt: number }>;

/** What Temporal knows of the operation that works, or worked last, on a target. */
export class Evidence {
  private readonly connected: Awaited<ReturnType<typeof connect>>;
  private readonly workflowId: string;

  private constructor(connected: Awaited<ReturnType<typeof connect>>, target: string) {
    this.connected = connected;
    this.workflowId = lockIds.operation(target);
  }

  static async of(up: AllInOne, target: string): Promise<Evidence> {
    const { address, namespace } = up.state;
    return new Evidence(await connect({ connection: { address }, namespace }), target);
  }

  now(): Promise<FollowState | undefined> {
    return observe(this.connected.client, this.workflowId);
  }

  /** From the run's history, which nobody can make up afterwards. */
  async executions(): Promise<Executions> {
    const { events } = await this.connected.client.workflow.getHandle(this.workflowId).fetchHistory();
    const names = new Map<string, string>();
    const found = new Map<string, { scheduled: number; attempt: number }>();
    for (const event of events ?? []) {
      const scheduled = event.activityTaskScheduledEventAttributes;
      const started = event.activityTaskStartedEventAttributes;
      if (scheduled) {
        const name = scheduled.activityType?.name ?? '?';
        names.set(String(event.eventId), name);
        found.set(name, { scheduled: (found.get(name)?.scheduled ?? 0) + 1, attempt: found.get(name)?.attempt ?? 0 });
      }
      if (started) {
        const name = names.get(String(started.scheduledEventId)) ?? '?';
        const before = found.get(name) ?? { scheduled: 0, attempt: 0 };
        found.set(name, { ...before, attempt: Math.max(before.attempt, started.attempt ?? 1) });
      }
    }
    return found;
  }

  close(): Promise<void> {
    return this.connected.connection.close();
  }
}
