/** The schedules a configuration asks for. Pure. */
import { parseCron, type Cron } from '../../config/cron.ts';
import { pruneSchedule as daily, timezoneOf } from '../../config/expected-runs.ts';
import { prunedRepositories } from '../../config/lookup.ts';
import type { ArchiveRuleConfig, Config, PolicyConfig } from '../../config/schema.ts';
import type { DrillConfig } from '../../config/schema-drill.ts';
import type { GameDayConfig } from '../../config/schema-gameday.ts';
import { taskQueues } from '../../domain/task-queues.ts';

export interface DesiredSchedule {
  /** `resurgo/<target>/<kind, prune or drill>/<n>` */
  readonly id: string;
  readonly target: string;
  /** Public workflow type. */
  readonly workflow: 'archive' | 'backup' | 'prune' | 'upkeep' | 'drill' | 'gameday' | 'evaluatePlans';
  readonly input: object;
  /** Prefix of the ids of its runs; Temporal appends the time. */
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly cron: string;
  readonly calendars: readonly Calendar[];
  readonly timezone: string;
  /** ms; 0: none. */
  readonly jitter: number;
  readonly overlap: 'SKIP' | 'BUFFER_ONE';
  /** ms */
  readonly catchup: number;
  /** Why it is paused. */
  readonly paused?: string;
}

/** Sorted lists of what has to fit; month 1–12, weekday 0 = Sunday. */
export interface Calendar {
  readonly minute: readonly number[];
  readonly hour: readonly number[];
  readonly dayOfMonth: readonly number[];
  readonly month: readonly number[];
  readonly dayOfWeek: readonly number[];
}

/** All ids begin with this. */
export const schedulePrefix = 'resurgo/';

export function desiredSchedules(config: Config): DesiredSchedule[] {
  const desired: DesiredSchedule[] = [];
  const counts = new Map<string, number>();
  for (const policy of config.policies ?? []) {
    if (policy.schedule === undefined) continue;
    for (const target of policy.targets) {
      const n = (counts.get(`${target}/${policy.kind}`) ?? 0) + 1;
      counts.set(`${target}/${policy.kind}`, n);
      desired.push(backupSchedule(policy, policy.schedule, target, n));
    }
  }
  // What is backed up by schedule is kept whole by schedule.
  const counted = new Set(desired.map(({ target }) => target));
  for (const target of Object.keys(config.targets)) {
    const repositories = prunedRepositories(config, target);
    if (repositories.length > 0) desired.push(pruneSchedule(config, target, repositories));
    if (config.upkeep.enabled && counted.has(target)) desired.push(upkeepSchedule(config, target));
  }
  for (const drill of config.drills ?? []) if (drill.schedule !== undefined) desired.push(drillSchedule(drill, drill.schedule));
  for (const day of config.gamedays ?? []) if (day.schedule !== undefined) desired.push(gameDaySchedule(day, day.schedule));
  for (const rule of config.archives ?? []) if (rule.schedule !== undefined) desired.push(archiveSchedule(rule, rule.schedule));
  if (Object.keys(config.plans ?? {}).length > 0) desired.push(evaluationSchedule());
  return desired;
}

/** When it runs: the words of the configuration that all schedules share. */
interface When {
  readonly timezone: string;
  readonly jitter?: number | undefined;
  readonly catchup: number;
  readonly paused?: string | undefined;
}

function scheduled(what: Pick<DesiredSchedule, 'id' | 'target' | 'workflow' | 'input' | 'workflowId'>, cron: string, when: When, overlap: DesiredSchedule['overlap'] = 'SKIP'): DesiredSchedule {
  return {
    ...what,
    id: `${schedulePrefix}${what.id}`,
    taskQueue: taskQueues.main,
    cron,
    calendars: calendarsOf(cron),
    timezone: when.timezone,
    jitter: when.jitter ?? 0,
    overlap,
    catchup: when.catchup,
    ...(when.paused === undefined ? {} : { paused: when.paused }),
  };
}

const drillSchedule = (drill: DrillConfig, cron: string): DesiredSchedule => {
  const { target } = drill;
  return scheduled({ id: `${target}/drill/1`, target, workflow: 'drill', input: { schemaVersion: 1, target, startedBy: 'schedule' }, workflowId: `drill-${target}-1` }, cron, drill);
};

const gameDaySchedule = (day: GameDayConfig, cron: string): DesiredSchedule => {
  const { target, plan } = day;
  return scheduled({ id: `${target}/gameday/${plan}`, target, workflow: 'gameday', input: { schemaVersion: 1, plan, target, startedBy: 'schedule' }, workflowId: `gameday-${target}-${plan}` }, cron, day);
};

const backupSchedule = (policy: PolicyConfig, cron: string, target: string, n: number): DesiredSchedule => {
  const { kind, overlap } = policy;
  const input = { schemaVersion: 1, target, kind, onBusy: overlap, startedBy: 'schedule' };
  return scheduled({ id: `${target}/${kind}/${String(n)}`, target, workflow: 'backup', input, workflowId: `backup-${target}-${kind}-${String(n)}` }, cron, policy, overlap === 'skip' ? 'SKIP' : 'BUFFER_ONE');
};

const archiveSchedule = (rule: ArchiveRuleConfig, cron: string): DesiredSchedule => {
  const { target } = rule;
  return scheduled({ id: `${target}/archive/1`, target, workflow: 'archive', input: { schemaVersion: 1, target, onBusy: 'wait', startedBy: 'schedule' }, workflowId: `archive-${target}-1` }, cron, rule);
};

/** Of what runs daily by itself. */
const dailyWhen = (config: Config, target: string): When => ({ timezone: timezoneOf(config, target), jitter: daily.jitter, catchup: 3_600_000 });

const upkeepSchedule = (config: Config, target: string): DesiredSchedule =>
  scheduled({ id: `${target}/upkeep/1`, target, workflow: 'upkeep', input: { schemaVersion: 1, target, startedBy: 'schedule' }, workflowId: `upkeep-${target}-1` }, config.upkeep.schedule, dailyWhen(config, target));

const pruneSchedule = (config: Config, target: string, repositories: readonly string[]): DesiredSchedule =>
  scheduled({ id: `${target}/prune/1`, target, workflow: 'prune', input: { schemaVersion: 1, target, repositories, onBusy: 'wait', startedBy: 'schedule' }, workflowId: `prune-${target}-1` }, daily.cron, dailyWhen(config, target));

/** Could the plans work? (I11) */
const evaluationSchedule = (): DesiredSchedule =>
  scheduled({ id: 'plans/evaluate/1', target: 'plans', workflow: 'evaluatePlans', input: {}, workflowId: 'evaluate-plans' }, '*/30 * * * *', { timezone: 'UTC', jitter: 60_000, catchup: 60_000 });

/** Temporal's own cron wants both of two restricted day fields to fit, cron as everybody knows it either of them. */
function calendarsOf(text: string): Calendar[] {
  const cron = parseCron(text) as Cron;
  return cron.days.map((days) => ({ minute: cron.minutes, hour: cron.hours, dayOfMonth: days.monthDays, month: days.months, dayOfWeek: days.weekdays }));
}
