import { longestWait } from '../../config/longest-wait.ts';
import { objectivesOf, policiesOf } from '../../config/lookup.ts';
import { formatDuration } from '../../config/units.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

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
