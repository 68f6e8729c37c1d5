import { describe, expect, test } from 'vitest';
import { parseCron, previousTime, type Cron } from '../../../config/cron.ts';
import { judge, type KnownBackup, type TargetFacts } from '../../../client/status/judge.ts';
import { collectSchedules } from '../../../client/status/schedules.ts';
import type { DesiredSchedule } from '../../../client/schedules/desired.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const hour = 3_600_000;
const backup = (agoMs: number, more: Partial<KnownBackup> = {}): KnownBackup => ({
  id: `b${String(agoMs)}`, kind: 'full', startedAt: new Date(now - agoMs).toISOString(), endedAt: new Date(now - agoMs + 60_000).toISOString(), durationMs: 60_000,
  engine: 'physical', sourceBytes: 1000, repositories: ['local', 'remote'], ...more,
});
const facts = (more: Partial<TargetFacts> = {}): TargetFacts => ({
  name: 'shop', rpoMs: hour, maxDurationMs: 600_000, newest: backup(hour / 2), fulls: [], wanted: ['local', 'remote'], unreachable: [], damaged: 0, failedRuns: [], schedules: null, ...more,
});
const codes = (more: Partial<TargetFacts>): string[] => judge(facts(more), now).problems.map(({ code, severity }) => (severity === 'objective' ? code.toUpperCase() : code));

describe('B13 judging a target', () => {
  test('good: no problems; what would be lost counts from where a restore leads', () => {
    expect(judge(facts(), now)).toMatchObject({ rpoMs: hour / 2 - 60_000, newestVerifiedBackup: `b${String(hour / 2)}`, problems: [], objectives: { rpoMs: hour } });
    expect(judge(facts({ newest: backup(hour / 2, { engine: 'logical' }) }), now).rpoMs).toBe(hour / 2);
  });
  test('objectives: too old, none at all, not known', () => {
    expect(codes({ newest: backup(3 * hour) })).toEqual(['RPO']);
    expect(codes({ newest: null })).toEqual(['NOBACKUP']);
    expect(codes({ newest: null, unreachable: [{ name: 'local', message: 'gone' }] })).toEqual(['UNKNOWN', 'unreachable']);
  });
  test('warnings: slow, empty, degraded, unreachable is not degraded, damaged, failed runs', () => {
    expect(codes({ newest: backup(hour / 2, { durationMs: 601_000 }) })).toEqual(['slow']);
    expect(codes({ newest: backup(hour / 2, { sourceBytes: 0 }) })).toEqual(['empty']);
    expect(codes({ newest: backup(hour / 2, { repositories: ['local'] }) })).toEqual(['degraded']);
    expect(codes({ newest: backup(hour / 2, { repositories: ['local'] }), unreachable: [{ name: 'remote', message: 'x' }] })).toEqual(['unreachable']);
    expect(codes({ damaged: 2, failedRuns: [{ startedAt: '2026-11-21T11:50:00Z', message: 'no' }] })).toEqual(['damaged', 'failedRuns']);
  });
  test('room for less than one more full backup', () => {
    expect(codes({ fulls: [backup(hour)], space: [{ name: 'local', freeBytes: 999 }, { name: 'remote', freeBytes: 1000 }] })).toEqual(['headroom']);
  });
  test('too many of the runs of 30 days did not end well', () => {
    const health = (missed: number) => [{ operation: 'backup' as const, kind: 'full' as const, since: '2026-10-22T12:00:00Z', succeeded: 95, failed: 0, missed, rate: 95 / (95 + missed), lastSuccess: null, lastFailure: null }];
    expect(codes({ health: health(5) })).toEqual([]);
    expect(codes({ health: health(6) })).toEqual(['successRate']);
    expect(codes({ health: health(6), minSuccess: 90 })).toEqual([]);
  });
  test('a full backup of less than half of the median of the five before it', () => {
    const sizes = (...all: number[]): KnownBackup[] => all.map((sourceBytes, i) => backup((i + 1) * hour, { sourceBytes }));
    expect(codes({ fulls: sizes(499, 1000, 1000, 1100, 900, 1000) })).toEqual(['shrunk']);
    expect(codes({ fulls: sizes(500, 1000, 1000, 1100, 900, 1000) })).toEqual([]);
    // One large one before does not make the others small; two before say nothing.
    expect(codes({ fulls: sizes(900, 90_000, 1000, 1000) })).toEqual([]);
    expect(codes({ fulls: sizes(1, 1000, 1000) })).toEqual([]);
  });
});

describe('B13 schedules', () => {
  const cron = (text: string): Cron => parseCron(text) as Cron;
  test('the last time a schedule was due', () => {
    const last = (text: string, zone = 'UTC'): string | undefined => {
      const time = previousTime(cron(text), zone, now);
      return time === undefined ? undefined : new Date(time).toISOString();
    };
    expect(last('0 2 * * *')).toBe('2026-11-21T02:00:00.000Z');
    expect(last('0 12 * * *')).toBe('2026-11-20T12:00:00.000Z');
    expect(last('0 20 * * *', 'Asia/Seoul')).toBe('2026-11-21T11:00:00.000Z');
    expect(last('0 1 * * *', 'Pacific/Kiritimati')).toBe('2026-11-21T11:00:00.000Z');
    expect(last('30 23 * * *', 'Pacific/Honolulu')).toBe('2026-11-21T09:30:00.000Z');
    expect(last('0 0 1 1 *')).toBe('2026-01-01T00:00:00.000Z');
  });
  test('missed, paused, not applied; a new one has missed nothing', () => {
    const desired = (n: number, text: string): DesiredSchedule => ({ id: `resurgo/shop/full/${String(n)}`, target: 'shop', workflow: 'backup', input: {}, workflowId: 'x', taskQueue: 'resurgo', cron: text, calendars: [], timezone: 'UTC', jitter: 0, overlap: 'SKIP', catchup: hour });
    const summary = (paused: boolean, takenAt?: string) => ({ state: { paused, ...(paused ? { note: 'why' } : {}) }, info: { nextActionTimes: [new Date(now + hour)], recentActions: takenAt === undefined ? [] : [{ takenAt: new Date(takenAt), scheduledAt: new Date(takenAt), action: {} as never }] } });
    const result = collectSchedules(
      [desired(1, '0 2 * * *'), desired(2, '0 2 * * *'), desired(3, '0 2 * * *'), desired(4, '0 2 * * *'), desired(5, '0 2 * * *')],
      new Map([['resurgo/shop/full/1', summary(false, '2026-11-21T02:00:01Z')], ['resurgo/shop/full/2', summary(false, '2026-11-20T02:00:01Z')], ['resurgo/shop/full/3', summary(true, '2026-11-20T02:00:01Z')], ['resurgo/shop/full/4', summary(false)]]),
      now,
    ).get('shop');
    expect(result).toEqual({
      next: '2026-11-21T13:00:00.000Z', last: '2026-11-21T02:00:01.000Z', notApplied: 1, paused: [{ id: 'resurgo/shop/full/3', note: 'why' }], missed: [{ id: 'resurgo/shop/full/2', due: '2026-11-21T02:00:00.000Z' }],
    });
    expect(codes({ schedules: result ?? null })).toEqual(['notScheduled', 'paused', 'missed']);
  });
});
