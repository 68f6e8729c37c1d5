import type { Client } from '@temporalio/client';
import { ResurgoError } from '../domain/errors.ts';
import { schedulePrefix } from '../client/schedules/desired.ts';

/** Our schedules as Temporal has them; for a bundle of configuration. @throws temporalUnreachable */
export async function listSchedules(client: Client): Promise<unknown> {
  try {
    const found: unknown[] = [];
    for await (const { scheduleId } of client.schedule.list()) {
      if (!scheduleId.startsWith(schedulePrefix)) continue;
      const { spec, action, policies, state } = await client.schedule.getHandle(scheduleId).describe();
      found.push({ id: scheduleId, spec, action, policies, state });
    }
    return found;
  } catch (error) {
    throw new ResurgoError('temporalUnreachable', `Temporal does not tell its schedules: ${(error as Error).message}`, { cause: error });
  }
}
