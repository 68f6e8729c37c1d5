import { describe, expect, test } from 'vitest';
import { checklistOf, judgePerformance, latencies, median, rpoOf, type GroupedCheck, type SourceMoment } from '../../../domain/drill.ts';
import { recommendationsOf, type DrillFacts } from '../../../domain/drill-advice.ts';
import { sparkline } from '../../../client/describe-drill.ts';

const minute = 60_000;
const hour = 60 * minute;
const source = (changes: Partial<SourceMoment> = {}): SourceMoment => ({ at: '2026-11-25T12:00:00.000Z', reachable: true, marker: null, records: null, ...changes });
const nothing = { marker: null, records: null, lastCommit: null };

describe('D1 latencies', () => {
  test('nearest rank: of 100 runs of 1 to 100 ms, p95 is 95 ms', () => {
    expect(latencies(Array.from({ length: 100 }, (_, i) => 100 - i))).toEqual({ runs: 100, p50Ms: 50, p95Ms: 95, p99Ms: 99, maxMs: 100 });
    expect(latencies([7])).toEqual({ runs: 1, p50Ms: 7, p95Ms: 7, p99Ms: 7, maxMs: 7 });
    expect(() => latencies([])).toThrow(RangeError);
    expect([median([]), median([3]), median([4, 1, 3, 2])]).toEqual([undefined, 3, 2.5]);
  });
  test('above the limit fails, half as slow again as before warns, a few milliseconds do not', () => {
    const of = (p95Ms: number, limitP95Ms: number | null, baselineP95Ms: number | null) => judgePerformance({ name: 'q', runs: 10, p50Ms: 1, p95Ms, p99Ms: p95Ms, maxMs: p95Ms, limitP95Ms, baselineP95Ms }).outcome;
    expect([of(51, 50, null), of(50, 50, null), of(40, 50, 20), of(4, 50, 1), of(29, null, 20), of(31, null, 20)]).toEqual(['failed', 'passed', 'warning', 'passed', 'passed', 'warning']);
  });
});

describe('D1 RPO from the data', () => {
  test('a marker as new as the source: nothing is lost, however old it is', () => {
    const marker = '2026-11-20T00:00:00.000Z';
    expect(rpoOf(source({ marker }), { ...nothing, marker }, null)).toMatchObject({ rpoMs: 0, basis: 'marker', recoveredTo: marker });
  });
  test('an older marker: the time from it to the disaster; also where the source could not be asked', () => {
    const restored = { ...nothing, marker: '2026-11-25T11:30:00.000Z' };
    expect(rpoOf(source({ marker: '2026-11-25T11:59:00.000Z' }), restored, null)).toMatchObject({ rpoMs: 30 * minute });
    expect(rpoOf(source({ reachable: false }), restored, '2026-11-25T11:45:00.000Z')).toMatchObject({ rpoMs: 30 * minute, basis: 'marker' });
  });
  test('without a marker the later of newest commit and moment of consistency; nothing at all is not zero', () => {
    expect(rpoOf(source(), { ...nothing, lastCommit: '2026-11-25T11:50:00.000Z' }, '2026-11-25T11:00:00.000Z')).toMatchObject({ rpoMs: 10 * minute, basis: 'commit-time' });
    expect(rpoOf(source(), { ...nothing, lastCommit: '2026-11-25T10:50:00.000Z' }, '2026-11-25T11:00:00.000Z')).toMatchObject({ rpoMs: hour, basis: 'backup-time' });
    expect(rpoOf(source(), nothing, null)).toMatchObject({ rpoMs: null, basis: 'none' });
    // Clocks differ: never below zero.
    expect(rpoOf(source(), nothing, '2026-11-25T12:00:05.000Z').rpoMs).toBe(0);
  });
  test('the share of missing records; more than the source is no loss', () => {
    const ratio = (there: number, here: number) => rpoOf(source({ records: there }), { ...nothing, records: here }, null).dataLossRatio;
    expect([ratio(1000, 990), ratio(1000, 1001), ratio(0, 0)]).toEqual([0.01, 0, 0]);
    expect(rpoOf(source(), { ...nothing, records: 5 }, null).dataLossRatio).toBeNull();
  });
});

const facts = (changes: Partial<DrillFacts> = {}): DrillFacts => ({
  objectives: { rtoMs: 4 * hour, rpoMs: hour }, rto: { detect: 0, decide: 1000, fetch: 2000, restore: 3000, verify: 1000 }, rtoMs: 7000,
  rpo: { rpoMs: 10 * minute, basis: 'marker', recoveredTo: null, dataLossRatio: 0, detail: '' }, checks: [], scheduleGapMs: 30 * minute, chainLength: 1, repositories: ['local', 'remote'],
  tablesWithoutStatistics: 0, hasMarker: true, hasFunctionChecks: true, hasPerformance: true, cleanedUp: true, ...changes,
});

describe('D1 recommendations', () => {
  test('nothing to say where everything is as it should be', () => {
    expect(recommendationsOf(facts())).toEqual([]);
  });
  test.each<[string, Partial<DrillFacts>, RegExp]>([
    ['a schedule that cannot keep the RPO', { scheduleGapMs: 4 * hour }, /4h 00m between two backups: an RPO of 1h 00m cannot be met/],
    ['no schedule', { scheduleGapMs: null }, /Nothing is scheduled/],
    ['a missed RPO', { rpo: { rpoMs: 2 * hour, basis: 'marker', recoveredTo: null, dataLossRatio: null, detail: '' } }, /2h 00m of data would have been lost/],
    ['fetch dominates', { rto: { detect: 0, decide: 0, fetch: 2 * hour, restore: minute, verify: 0 }, rtoMs: 2 * hour + minute }, /99 % of the recovery time is fetching/],
    ['a missed RTO', { rto: { detect: 0, decide: 0, fetch: hour, restore: 4 * hour, verify: 0 }, rtoMs: 5 * hour }, /Recovery took 5h 00m/],
    ['one repository', { repositories: ['local'] }, /one repository only \(local\)/],
    ['statistics', { tablesWithoutStatistics: 3 }, /3 table\(s\) have no statistics/],
    ['a failed check', { checks: [{ group: 'integrity', name: 'x', outcome: 'failed', detail: 'broken' }] }, /Do not rely on this backup/],
    ['an error', { error: { code: 'partMissing', message: 'gone', hint: 'Use another.' } }, /partMissing.*not recoverable/],
    ['no checks', { hasFunctionChecks: false }, /No functional check is configured/],
  ])('%s', (_name, changes, expected) => {
    expect(recommendationsOf(facts(changes)).join('\n')).toMatch(expected);
  });
});

test('D3 checklist: failed wins, nothing is not covered', () => {
  const check = (group: GroupedCheck['group'], outcome: GroupedCheck['outcome']): GroupedCheck => ({ group, outcome, name: '', detail: '' });
  expect(checklistOf([check('restore', 'passed'), check('integrity', 'warning'), check('function', 'passed'), check('function', 'failed')])).toEqual({ integrity: 'passed', databaseRestore: 'passed', fileRestore: 'not covered', applicationFunction: 'failed', performance: 'not covered' });
});

test('D3 sparkline: oldest left, a gap where nothing was measured', () => {
  expect(sparkline([0, 50, null, 100])).toBe('▁▄·█');
  expect(sparkline([0, 0])).toBe('▁▁');
});
