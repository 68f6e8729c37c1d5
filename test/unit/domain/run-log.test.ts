/** B13: success rates over 30 days that count what never started. */
import { describe, expect, test } from 'vitest';
import { rememberedDueTimes } from '../../../client/status/health.ts';
import { parseCron, timesBetween, type Cron } from '../../../config/cron.ts';
import { emptyRunLog, healthOf, mergeRunLogs, noteRun, type ExpectedRuns, type LoggedRun, type RunLog } from '../../../domain/run-log.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const [hour, day] = [3_600_000, 86_400_000];
const iso = (ms: number): string => new Date(ms).toISOString();
const nightly: ExpectedRuns = { kind: 'full', cron: '0 2 * * *', timezone: 'UTC', jitterMs: 0 };
const run = (at: number, more: Partial<LoggedRun> = {}): LoggedRun => ({ id: `r${String(at)}`, kind: 'full', at: iso(at), ms: 1000, ok: true, scheduled: true, ...more });
/** Runs noted as they ended, with what the configuration asked for then. */
const log = (runs: readonly LoggedRun[], expected: readonly ExpectedRuns[] = [nightly], begin: RunLog = emptyRunLog): RunLog =>
  runs.reduce((known, one) => noteRun(known, one, expected, Date.parse(one.at) + one.ms), begin);
const health = (of: RunLog, at = now) => healthOf('backup', of, at, rememberedDueTimes(at));
/** 02:00, so many days ago. */
const night = (ago: number): number => Date.parse('2026-11-21T02:00:05Z') - ago * day;
const nights = (days: readonly number[]): LoggedRun[] => days.toSorted((a, b) => b - a).map((ago) => run(night(ago)));

describe('B13 rates', () => {
  test('every run ended well', () => {
    expect(health(log(nights([3, 2, 1, 0])))).toEqual([{ operation: 'backup', kind: 'full', since: iso(night(3)), succeeded: 4, failed: 0, missed: 0, rate: 1, lastSuccess: iso(night(0)), lastFailure: null }]);
  });

  test('a run that failed, and two that never started', () => {
    const known = log([...nights([9, 8, 7]), run(night(6), { ok: false }), ...nights([5, 2, 1, 0])]);
    expect(health(known)).toMatchObject([{ succeeded: 7, failed: 1, missed: 2, rate: 0.7, lastFailure: iso(night(6)) }]);
  });

  test('nothing has run for days: each night counts, and the one that may still start does not', () => {
    const known = log(nights([5, 4]));
    expect(health(known)).toMatchObject([{ succeeded: 2, missed: 4 }]);
    expect(health(known, night(0) + 5 * 60_000)).toMatchObject([{ succeeded: 2, missed: 3 }]);
    expect(health(known, night(0) + 11 * 60_000)).toMatchObject([{ succeeded: 2, missed: 4 }]);
  });

  test('a run that started late is not missed; a run by hand stands for none, and counts as a run', () => {
    expect(health(log([...nights([3, 2]), run(night(1) + 9 * hour), ...nights([0])]))).toMatchObject([{ succeeded: 4, missed: 0 }]);
    expect(health(log([...nights([3, 2]), run(night(1) + 9 * hour, { scheduled: false }), ...nights([0])]))).toMatchObject([{ succeeded: 4, missed: 1, rate: 0.8 }]);
  });

  test('a new schedule has missed nothing; before the first run of one nothing is expected', () => {
    expect(health(log([run(now - hour, { scheduled: false })]))).toMatchObject([{ succeeded: 1, missed: 0, rate: 1 }]);
    const both: ExpectedRuns[] = [nightly, { kind: 'incremental', cron: '0 * * * *', timezone: 'UTC', jitterMs: 0 }];
    expect(health(log(nights([3, 2, 1, 0]), both)).map(({ kind, missed }) => [kind, missed])).toEqual([['full', 0]]);
  });

  test('another schedule is counted from its own beginning', () => {
    const hourly: ExpectedRuns = { ...nightly, cron: '0 * * * *' };
    const before = log(nights([10, 9, 8, 7]));
    const known = log([run(night(6)), ...[3, 2, 1, 0].map((ago) => run(now - ago * hour - 30 * 60_000))], [hourly], before);
    // From the night of the change on: every hour.
    const [one] = health(known);
    expect(one?.missed).toBe(timesBetween(parseCron('0 * * * *') as Cron, 'UTC', night(6), now - 10 * 60_000).length - 4);
    // What was taken out of the configuration ends with the next run.
    expect(health(log([run(now - 2 * hour)], [], before))).toMatchObject([{ missed: timesBetween(parseCron(nightly.cron) as Cron, 'UTC', night(7), now - 2 * hour).length - 1 }]);
  });

  test('an hourly schedule with jitter: each run stands for one hour', () => {
    const jittery: ExpectedRuns = { kind: 'full', cron: '0 * * * *', timezone: 'UTC', jitterMs: 50 * 60_000 };
    const runs = [8, 7, 6, 5, 4, 3, 2].map((ago, i) => run(now - ago * hour + (i % 2 === 0 ? 49 : 1) * 60_000));
    expect(health(log(runs, [jittery]))).toMatchObject([{ succeeded: 7, missed: 0 }]);
    expect(health(log(runs.toSpliced(3, 1), [jittery]))).toMatchObject([{ succeeded: 6, missed: 1 }]);
  });

  test('only 30 days count, and the log does not grow without end', () => {
    const old = log(nights(Array.from({ length: 60 }, (_, i) => i)));
    expect(health(old)).toMatchObject([{ succeeded: 30, missed: 0, rate: 1 }]);
    expect(old.runs.length).toBeLessThanOrEqual(37);
    const busy = Array.from({ length: 5000 }, (_, i) => run(now - (5000 - i) * 60_000, { scheduled: false }));
    expect(log(busy.slice(0, 10)).runs).toHaveLength(10);
    expect(noteRun({ schemaVersion: 1, runs: busy, expects: [] }, run(now), [], now).runs).toHaveLength(4000);
  });

  test('the same run noted twice is one; logs of two repositories complete each other', () => {
    const all = nights([4, 3, 2, 1, 0]);
    const twice = noteRun(log(all), all[4] as LoggedRun, [nightly], now);
    expect(health(twice)).toMatchObject([{ succeeded: 5 }]);
    expect(health(mergeRunLogs([log(all.slice(0, 2)), log(all.slice(0, 4)), log(all.slice(2))]))).toMatchObject([{ succeeded: 5, missed: 0 }]);
    // One that was away when the schedule was taken out does not bring it back.
    const ended = log([run(now - hour, { scheduled: false })], [], log(all));
    expect(mergeRunLogs([log(all), ended]).expects).toEqual(ended.expects);
    expect(mergeRunLogs([])).toEqual(emptyRunLog);
  });
});

describe('B12 due times', () => {
  const times = (text: string, zone: string, from: string, to: string): string[] => timesBetween(parseCron(text) as Cron, zone, Date.parse(from), Date.parse(to)).map(iso);
  test('by the clock of the time zone, also over its changes', () => {
    expect(times('0 2 * * *', 'Asia/Seoul', '2026-11-19T17:00:00Z', '2026-11-21T17:00:00Z')).toEqual(['2026-11-20T17:00:00.000Z', '2026-11-21T17:00:00.000Z']);
    expect(times('0 4 * * *', 'Europe/Berlin', '2026-10-23T12:00:00Z', '2026-10-26T12:00:00Z')).toEqual(['2026-10-24T02:00:00.000Z', '2026-10-25T03:00:00.000Z', '2026-10-26T03:00:00.000Z']);
    expect(times('0 4 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z', '2026-03-30T12:00:00Z')).toEqual(['2026-03-28T03:00:00.000Z', '2026-03-29T02:00:00.000Z', '2026-03-30T02:00:00.000Z']);
    expect(times('0 0 1 * *', 'Pacific/Kiritimati', '2026-09-01T00:00:00Z', '2026-11-21T00:00:00Z')).toEqual(['2026-09-30T10:00:00.000Z', '2026-10-31T10:00:00.000Z']);
    expect(times('0 */6 * * *', 'UTC', '2026-11-21T00:00:00Z', '2026-11-21T18:00:00Z')).toEqual(['2026-11-21T06:00:00.000Z', '2026-11-21T12:00:00.000Z', '2026-11-21T18:00:00.000Z']);
  });
});
