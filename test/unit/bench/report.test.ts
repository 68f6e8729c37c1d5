import { expect, test } from 'vitest';
import { parseOptions, UsageError } from '../../../bench/options.ts';
import { measureOf, table } from '../../../bench/report.ts';
import { median } from '../../../bench/statistics.ts';

const spec = { name: 'physical-full', what: 'full', unit: 's', bar: 1, peerName: 'peer' };
const samples = (...values: number[]) => values.map((value) => ({ value, storedBytes: value * 1e6 }));

test('the median of odd and even numbers, and of nothing', () => {
  expect(median([5, 1, 9])).toBe(5);
  expect(median([4, 1, 9, 2])).toBe(3);
  expect(median([])).toBeNaN();
});

test('a ratio is ours by the peer of the medians, and is held against the bar', () => {
  const fast = measureOf(spec, samples(8, 4, 100), samples(10, 16, 1));
  expect(fast).toMatchObject({ ratio: 0.8, passed: true, ours: [8, 4, 100], stored: { ours: 8e6, peer: 10e6 } });
  expect(measureOf(spec, samples(11), samples(10)).passed).toBe(false);
});

test('an absent peer gives no ratio and no verdict, only its reason', () => {
  const measure = measureOf({ ...spec, reason: 'not installed' }, samples(8), undefined);
  expect(measure).toMatchObject({ ratio: null, passed: null, peer: [], reason: 'not installed' });
  expect(table([measure])).toContain('peer: not installed');
});

test('without a peer by nature the median itself is held against the bar', () => {
  const steps = { ...spec, name: 'step-overhead-ms', unit: 'ms', bar: 60, peerName: null };
  expect(measureOf(steps, samples(50), undefined)).toMatchObject({ ratio: null, passed: true });
  expect(measureOf(steps, samples(70), undefined).passed).toBe(false);
});

test('options: what is not understood is refused in words', () => {
  expect(parseOptions([], ['a'])).toEqual({ only: [], rounds: 3, size: 1536, json: false });
  expect(parseOptions(['--only', 'a', '--rounds', '1', '--size', '20', '--json'], ['a'])).toMatchObject({
    only: ['a'],
  });
  expect(() => parseOptions(['--only', 'b'], ['a'])).toThrow(UsageError);
  expect(() => parseOptions(['--rounds', '0'], ['a'])).toThrow(/whole number from 1/);
  expect(() => parseOptions(['--fast'], ['a'])).toThrow(UsageError);
});
