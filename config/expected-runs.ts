/** Which runs of an operation the schedules of the configuration ask for. The schedules themselves: client/schedules/desired.ts. */
import type { ExpectedRuns, LoggedOperation } from '../domain/run-log.ts';
import { archiveRuleOf, drillOf, policiesOf, prunedRepositories } from './lookup.ts';
import type { Config } from './schema.ts';

/** Old backups go once a day, spread over an hour. */
export const pruneSchedule = { cron: '15 4 * * *', jitter: 3_600_000 } as const;

/** The clock of what has no schedule of its own. */
export const timezoneOf = (config: Config, target: string): string => policiesOf(config, target).find((policy) => policy.schedule !== undefined)?.timezone ?? 'UTC';

type Timed = { readonly timezone: string; readonly jitter?: number | undefined; readonly paused?: string | undefined; readonly schedule?: string | undefined };

const one = ({ timezone, jitter, paused, schedule }: Timed): ExpectedRuns[] => (schedule === undefined || paused !== undefined ? [] : [{ cron: schedule, timezone, jitterMs: jitter ?? 0 }]);

/** What is paused in the configuration is not expected. */
export function expectedRuns(config: Config, target: string, operation: LoggedOperation): ExpectedRuns[] {
  const timezone = timezoneOf(config, target);
  switch (operation) {
    case 'backup':
      return policiesOf(config, target).flatMap((policy) => one(policy).map((each) => ({ ...each, kind: policy.kind })));
    case 'drill':
      return [drillOf(config, target)].flatMap((drill) => (drill === undefined ? [] : one(drill)));
    case 'archive':
      return [archiveRuleOf(config, target)].flatMap((rule) => (rule === undefined ? [] : one(rule)));
    case 'prune':
      return prunedRepositories(config, target).length === 0 ? [] : [{ ...pruneSchedule, timezone }].map(({ cron, jitter }) => ({ cron, timezone, jitterMs: jitter }));
    case 'upkeep':
      return config.upkeep.enabled && policiesOf(config, target).some(({ schedule }) => schedule !== undefined) ? [{ cron: config.upkeep.schedule, timezone, jitterMs: pruneSchedule.jitter }] : [];
  }
}
