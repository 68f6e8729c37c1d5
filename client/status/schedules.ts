import type { Client, ScheduleSummary } from '@temporalio/client';
import { parseCron, previousTime } from '../../config/cron.ts';
import type { Config } from '../../config/schema.ts';
import { desiredSchedules, schedulePrefix, type DesiredSchedule } from '../schedules/desired.ts';
import type { ScheduleFacts } from './judge.ts';

/** A start is missed when it is this late, beyond the jitter. */
const lateMs = 10 * 60_000;

/** Per target what the list of Temporal Schedules says about its backups. */
export async function scheduleFacts(client: Client, config: Config, now: number): Promise<Map<string, ScheduleFacts>> {
  const listed = new Map<string, ScheduleSummary>();
  for await (const summary of client.schedule.list({ pageSize: 1000 })) if (summary.scheduleId.startsWith(schedulePrefix)) listed.set(summary.scheduleId, summary);
  return collectSchedules(desiredSchedules(config), listed, now);
}

/** Pure part of {@link scheduleFacts}. */
export function collectSchedules(desired: readonly DesiredSchedule[], listed: ReadonlyMap<string, Pick<ScheduleSummary, 'state' | 'info'>>, now: number): Map<string, ScheduleFacts> {
  const byTarget = new Map<string, DesiredSchedule[]>();
  for (const one of desired) byTarget.set(one.target, [...(byTarget.get(one.target) ?? []), one]);
  return new Map([...byTarget].map(([target, wanted]) => [target, factsOf(wanted, listed, now)]));
}

function factsOf(wanted: readonly DesiredSchedule[], listed: ReadonlyMap<string, Pick<ScheduleSummary, 'state' | 'info'>>, now: number): ScheduleFacts {
  const next: number[] = [];
  const last: number[] = [];
  const paused: { id: string; note?: string }[] = [];
  const missed: { id: string; due: string }[] = [];
  let notApplied = 0;
  for (const one of wanted) {
    const summary = listed.get(one.id);
    if (summary === undefined) {
      notApplied++;
      continue;
    }
    const { state, info } = summary;
    const lastAction = info.recentActions.at(-1);
    if (one.workflow === 'backup') {
      if (!state.paused && info.nextActionTimes[0] !== undefined) next.push(info.nextActionTimes[0].getTime());
      if (lastAction !== undefined) last.push(lastAction.takenAt.getTime());
    }
    if (state.paused) paused.push({ id: one.id, ...(state.note === undefined || state.note === '' ? {} : { note: state.note }) });
    else if (lastAction !== undefined) {
      const cron = parseCron(one.cron);
      const due = typeof cron === 'string' ? undefined : previousTime(cron, one.timezone, now - lateMs - one.jitter);
      // One that never started anything may be younger than its last due time.
      if (due !== undefined && lastAction.takenAt.getTime() < due) missed.push({ id: one.id, due: new Date(due).toISOString() });
    }
  }
  return { next: next.length === 0 ? null : new Date(Math.min(...next)).toISOString(), last: last.length === 0 ? null : new Date(Math.max(...last)).toISOString(), notApplied, paused, missed };
}
