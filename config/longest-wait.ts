import type { BackupKind } from '../domain/backup.ts';
import { longestGap, parseCron } from './cron.ts';
import { policiesOf } from './lookup.ts';
import type { Config } from './schema.ts';

/** The longest time between two scheduled backups of a target (of these kinds, when given), ms; undefined when fewer than two are scheduled. */
export function longestWait(config: Config, target: string, kinds?: readonly BackupKind[]): number | undefined {
  const schedules = policiesOf(config, target).flatMap(({ schedule, timezone, kind }) => {
    const cron =
      schedule === undefined || (kinds !== undefined && !kinds.includes(kind)) ? undefined : parseCron(schedule);
    return cron === undefined || typeof cron === 'string' ? [] : [{ cron, timezone }];
  });
  return longestGap(schedules, Date.now());
}
