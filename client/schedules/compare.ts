/** A schedule as Temporal has it against the one that is wanted. */
import { createHash } from 'node:crypto';
import type { CalendarSpec, ScheduleDescription, ScheduleSummary, ScheduleUpdateOptions } from '@temporalio/client';
import { canonicalJson } from '../../config/canonical.ts';
import { formatDuration } from '../../config/units.ts';
import type { Calendar, DesiredSchedule } from './desired.ts';

const months = ['JANUARY', 'FEBRUARY', 'MARCH', 'APRIL', 'MAY', 'JUNE', 'JULY', 'AUGUST', 'SEPTEMBER', 'OCTOBER', 'NOVEMBER', 'DECEMBER'] as const;
const weekdays = ['SUNDAY', 'MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY'] as const;

/** Marks a schedule as ours; a schedule without it is never touched. */
export const ownerMemo = { resurgo: 'resurgo schedules apply' } as const;
export const isOurs = (memo: Record<string, unknown> | undefined): boolean => memo?.['resurgo'] === ownerMemo.resurgo;

/** A pause that the configuration asked for says so in its note; any other is a person's. */
const pausedByConfig = 'configuration: ';
export const pauseNote = (reason: string): string => pausedByConfig + reason;

type State = ScheduleDescription['state'];

/** What is to be different, in words; none: nothing. */
export function differences(desired: DesiredSchedule, actual: ScheduleDescription): string[] {
  const { policies, action } = actual;
  return [
    ...specDifferences(desired, actual.spec),
    ...differ('overlap', policies.overlap, desired.overlap),
    ...differ('catch-up window', policies.catchupWindow, desired.catchup, ms),
    ...differ('workflow type', action.workflowType, desired.workflow),
    ...differ('workflow id', action.workflowId, desired.workflowId),
    ...differ('task queue', action.taskQueue, desired.taskQueue),
    ...differ('input', action.args, [desired.input]),
    ...stateDifferences(desired, actual.state),
  ];
}

/** Whether the list of schedules shows it as it should be. The list lags behind; policies and input are not in it, only the mark `apply` made of them. */
export function listedSame(desired: DesiredSchedule, summary: ScheduleSummary): boolean {
  return listedSameButState(desired, summary) && stateDifferences(desired, summary.state).length === 0;
}

export function listedSameButState(desired: DesiredSchedule, { spec, action, memo }: ScheduleSummary): boolean {
  return (
    isOurs(memo) && spec !== undefined && action?.workflowType === desired.workflow && specDifferences(desired, spec).length === 0 &&
    spec.calendars?.every(({ comment }) => comment === commentOf(desired)) === true
  );
}

const commentOf = (desired: DesiredSchedule): string => {
  const { cron, paused: _, ...rest } = desired;
  return `${cron} (resurgo ${createHash('sha256').update(canonicalJson(rest)).digest('hex').slice(0, 12)})`;
};

function differ(what: string, is: unknown, wanted: unknown, shown: (value: unknown) => string = show): string[] {
  return canonicalJson(is) === canonicalJson(wanted) ? [] : [`${what}: ${shown(is)} → ${shown(wanted)}`];
}

function specDifferences(desired: DesiredSchedule, spec: ScheduleDescription['spec']): string[] {
  const times = sortedCalendars((spec.calendars ?? []).map(calendarFrom));
  const extra = (spec.intervals?.length ?? 0) + (spec.skip?.length ?? 0) > 0 || spec.startAt !== undefined || spec.endAt !== undefined;
  return [
    ...(canonicalJson(times) !== canonicalJson(sortedCalendars(desired.calendars)) || extra ? [`times: other than ${desired.cron}`] : []),
    ...differ('time zone', spec.timezone === undefined || spec.timezone === '' ? 'UTC' : spec.timezone, desired.timezone),
    ...differ('jitter', spec.jitter ?? 0, desired.jitter, ms),
  ];
}

function stateDifferences(desired: DesiredSchedule, actual: State): string[] {
  const state = wantedState(desired, actual);
  if (state.paused === actual.paused && (state.note ?? '') === (actual.note ?? '')) return [];
  return [state.paused ? `is to be paused: ${desired.paused ?? ''}` : 'is to run: the configuration no longer pauses it'];
}

/** The configuration decides where it pauses, or did; else what a person set in Temporal stays. */
function wantedState(desired: DesiredSchedule, actual: State | undefined): State {
  const remaining = actual?.remainingActions === undefined ? {} : { remainingActions: actual.remainingActions };
  if (desired.paused !== undefined) return { ...remaining, paused: true, note: pausedByConfig + desired.paused };
  if (actual === undefined || (actual.paused && actual.note?.startsWith(pausedByConfig) === true)) return { ...remaining, paused: false, note: '' };
  return actual;
}

/** Everything Temporal is told about it; the state is kept where it is a person's. */
export function optionsFor(desired: DesiredSchedule, actual?: State): ScheduleUpdateOptions {
  const state = wantedState(desired, actual);
  return {
    spec: { calendars: desired.calendars.map((calendar) => calendarSpec(calendar, commentOf(desired))), timezone: desired.timezone, ...(desired.jitter === 0 ? {} : { jitter: desired.jitter }) },
    action: {
      type: 'startWorkflow', workflowType: desired.workflow, taskQueue: desired.taskQueue, workflowId: desired.workflowId, args: [desired.input],
      staticSummary: `${desired.workflow} ${desired.target}`,
    },
    policies: { overlap: desired.overlap, catchupWindow: desired.catchup, pauseOnFailure: false },
    state: { paused: state.paused, ...(state.note === undefined ? {} : { note: state.note }), ...(state.remainingActions === undefined ? {} : { remainingActions: state.remainingActions }) },
  };
}

function calendarSpec(calendar: Calendar, comment: string): CalendarSpec {
  return {
    minute: [...calendar.minute],
    hour: [...calendar.hour],
    dayOfMonth: calendar.dayOfMonth.length === 31 ? '*' : [...calendar.dayOfMonth],
    month: calendar.month.length === 12 ? '*' : calendar.month.flatMap((month) => months[month - 1] ?? []),
    dayOfWeek: calendar.dayOfWeek.length === 7 ? '*' : calendar.dayOfWeek.flatMap((day) => weekdays[day] ?? []),
    comment,
  };
}

interface Range { readonly start: unknown; readonly end: unknown; readonly step: number }

function calendarFrom(spec: NonNullable<ScheduleDescription['spec']['calendars']>[number]): object {
  const number = (names: readonly string[], first: number) => (value: unknown): number => (typeof value === 'number' ? value : names.indexOf(String(value)) + first);
  const plain = number([], 0);
  const expand = (ranges: readonly Range[], to: (value: unknown) => number): number[] => {
    const values = new Set<number>();
    for (const { start, end, step } of ranges) for (let value = to(start); value <= to(end); value += Math.max(1, step)) values.add(value);
    return [...values].sort((a, b) => a - b);
  };
  const seconds = expand(spec.second, plain);
  return {
    minute: expand(spec.minute, plain), hour: expand(spec.hour, plain), dayOfMonth: expand(spec.dayOfMonth, plain),
    month: expand(spec.month, number(months, 1)), dayOfWeek: expand(spec.dayOfWeek, number(weekdays, 0)),
    // What we never set; any of it is a change by hand.
    ...(seconds.length === 1 && seconds[0] === 0 ? {} : { seconds }), ...(spec.year.length === 0 ? {} : { year: expand(spec.year, plain) }),
  };
}

const sortedCalendars = (calendars: readonly object[]): string[] => calendars.map((calendar) => canonicalJson(calendar)).sort();
const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const ms = (value: unknown): string => (value === 0 ? 'none' : formatDuration(Number(value)));
