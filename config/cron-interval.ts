import { longestGap, parseCron } from './cron.ts';

/** The longest time between two runs of a schedule, ms; a day where it cannot be told. */
export function intervalOf(schedule: string, now: number): number {
  const cron = parseCron(schedule);
  return typeof cron === 'string' ? 86_400_000 : (longestGap([{ cron, timezone: 'UTC' }], now, 40) ?? 86_400_000);
}
