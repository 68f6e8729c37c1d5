import { longestGap, parseCron } from '../../config/cron.ts';
import { objectivesOf, policiesOf } from '../../config/lookup.ts';
import type { Config } from '../../config/schema.ts';
import type { BackupKind } from '../../domain/backup.ts';
import { formatDuration } from '../../config/units.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** The longest time between two scheduled backups of a target (of these kinds, when given), ms; undefined when fewer than two are scheduled. */
export function longestWait(config: Config, target: string, kinds?: readonly BackupKind[]): number | undefined {
  const schedules = policiesOf(config, target).flatMap(({ schedule, timezone, kind }) => {
    const cron =
      schedule === undefined || (kinds !== undefined && !kinds.includes(kind)) ? undefined : parseCron(schedule);
    return cron === undefined || typeof cron === 'string' ? [] : [{ cron, timezone }];
  });
  return longestGap(schedules, Date.now());
}

/** Whether the schedules of a target can keep its recovery point objective. */
export function checkSchedules({ loaded }: Pick<CheckScope, 'loaded'>, target: string): Finding[] {
  const findings = new Findings('schedule', target);
  const { rpo } = objectivesOf(loaded.config, target);
  const policies = policiesOf(loaded.config, target);
  const wait = longestWait(loaded.config, target);
  if (policies.every((policy) => policy.schedule === undefined))
    findings.note('no schedule: it is backed up by hand only', 'Add a policy with a schedule.');
  else if (wait === undefined)
    findings.warn(
      `it is scheduled less than twice in a year: an RPO of ${formatDuration(rpo)} cannot be met`,
      'Schedule it more often, or set objectives.rpo to what is meant.',
    );
  else if (wait > rpo) {
    findings.warn(
      `up to ${formatDuration(wait)} lie between two backups: an RPO of ${formatDuration(rpo)} cannot be met`,
      'Schedule it more often, or set objectives.rpo to what is meant.',
    );
  } else findings.ok(`at most ${formatDuration(wait)} between two backups; the RPO is ${formatDuration(rpo)}`);
  if (policies.length > 0 && policies.every((policy) => policy.kind !== 'full')) {
    findings.warn('no policy takes full backups, which the others build on', 'Add a policy with kind: full.');
  }
  return findings.list;
}
