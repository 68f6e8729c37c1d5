import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultRetention, keptByRule, type RetentionRule } from '../../../domain/retention-rules.ts';
import { decideRetention, removalOrder, type RetentionDecision, type RetentionEntry } from '../../../domain/retention.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.parse('2026-11-21T12:00:00Z');

const entry = (id: string, at: string | number, more: Partial<RetentionEntry> = {}): RetentionEntry => {
  const startedAt = new Date(at).toISOString();
  const kind = more.kind ?? 'full';
  return { id, kind, startedAt, systemId: '7001', name: `${startedAt.slice(0, 19).replaceAll(/[-:]/g, '')}Z-${kind}-${id}`, chain: [], verified: true, held: false, ...more };
};
const ids = (decisions: readonly RetentionDecision[], action: 'keep' | 'remove'): string[] =>
  decisions.filter((decision) => decision.action === action).map((decision) => decision.entry.id).sort();
const why = (decisions: readonly RetentionDecision[], id: string): string => decisions.find((decision) => decision.entry.id === id)?.reasons.join('; ') ?? '';

describe('B11 rules', () => {
  const times = (...texts: string[]): number[] => texts.map((text) => Date.parse(text));

  test('count periods that have backups, the newest of each', () => {
    const kept = keptByRule(times('2026-11-21T10:00Z', '2026-11-21T02:00Z', '2026-11-14T02:00Z', '2026-10-01T02:00Z'), { daily: 2, monthly: 2 }, now);
    expect(kept).toEqual([
      ['newest of 2026-11-21 (daily 2)', 'newest of 2026-11 (monthly 2)'], [],
      ['newest of 2026-11-14 (daily 2)'], ['newest of 2026-10 (monthly 2)'],
    ]);
  });

  test('weeks begin on Monday, also across a year', () => {
    const kept = keptByRule(times('2027-01-03T23:00Z', '2026-12-28T00:00Z', '2026-12-27T23:00Z'), { weekly: 9 }, now);
    expect(kept.map((reasons) => reasons.length)).toEqual([1, 0, 1]);
    expect(kept[0]).toEqual(['newest of the week of 2026-12-28 (weekly 9)']);
  });

  test('days are those of the time zone', () => {
    const at = times('2026-11-20T16:00Z', '2026-11-20T14:00Z');
    expect(keptByRule(at, { daily: 2 }, now).map((reasons) => reasons.length)).toEqual([1, 0]);
    expect(keptByRule(at, { daily: 2, timezone: 'Asia/Seoul' }, now).map((reasons) => reasons.length)).toEqual([1, 1]);
  });

  test('an hour that a clock has twice is two hours', () => {
    expect(keptByRule(times('2026-11-01T06:30Z', '2026-11-01T05:30Z'), { hourly: 5, timezone: 'America/New_York' }, now).flat()).toHaveLength(2);
  });

  test('age counts from now, and a backup from the future is young', () => {
    expect(keptByRule([now + day, now - 29 * day, now - 30 * day], { age: 30 * day }, now)).toEqual([['younger than 30d'], ['younger than 30d'], []]);
  });
});

describe('B11 decisions', () => {
  test('the default keeps 7 days, 4 weeks, 12 months of daily backups', () => {
    const entries = Array.from({ length: 800 }, (_, i) => entry(`b${String(i)}`, now - i * day));
    const kept = decideRetention(entries, defaultRetention, now).filter(({ action }) => action === 'keep');
    expect(kept.length).toBeGreaterThanOrEqual(7 + 2 + 10);
    expect(kept.length).toBeLessThanOrEqual(7 + 4 + 12);
    expect(new Set(kept.map(({ entry: { startedAt } }) => startedAt.slice(0, 7))).size).toBe(12);
  });

  test('a kept incremental keeps its whole chain, and says for whom', () => {
    const entries = [
      entry('full', now - 9 * day), entry('a', now - 8 * day, { kind: 'incremental', chain: ['full'] }),
      entry('b', now - 7 * day, { kind: 'incremental', chain: ['full', 'a'] }), entry('old', now - 10 * day),
    ];
    const decided = decideRetention(entries, [{ last: 1 }], now);
    expect(ids(decided, 'remove')).toEqual(['old']);
    expect(why(decided, 'a')).toBe('b (incremental) needs it');
  });

  test('a hold keeps a backup and what it builds on', () => {
    const entries = [entry('new', now), entry('f', now - 40 * day), entry('i', now - 39 * day, { kind: 'incremental', chain: ['f'], held: true }), entry('x', now - 38 * day)];
    const decided = decideRetention(entries, [{ last: 1 }], now);
    expect(ids(decided, 'remove')).toEqual(['x']);
    expect(why(decided, 'i')).toBe('held');
  });

  test('a rule that keeps nothing still leaves the newest verified backup, and what is newer', () => {
    const entries = [entry('unsure', now, { verified: false }), entry('good', now - 90 * day), entry('older', now - 91 * day)];
    const decided = decideRetention(entries, [{ age: day }], now);
    expect(ids(decided, 'keep')).toEqual(['good', 'unsure']);
  });

  test('where nothing is verified nothing goes', () => {
    expect(ids(decideRetention([entry('a', now - 900 * day, { verified: false }), entry('b', now, { verified: false })], [{ last: 1 }], now), 'remove')).toEqual([]);
  });

  test('B2 what was given up is never the newest verified one, takes no place, and goes when its place would have gone', () => {
    const entries = [entry('given', now - hour, { givenUp: 'rrr' }), entry('true', now - day), entry('older', now - 2 * day), entry('oldest', now - 3 * day), entry('long', now - 40 * day, { givenUp: 'qqq' })];
    const decided = decideRetention(entries, [{ last: 2 }], now);
    expect(why(decided, 'true')).toContain('the newest verified backup');
    expect(why(decided, 'given')).toContain('restore rrr, which was rolled back');
    expect(ids(decided, 'keep')).toEqual(['given', 'older', 'true']);
    expect(why(decided, 'long')).toContain('restore qqq');
    // Alone they are no backup of what there is: nothing goes.
    expect(ids(decideRetention([entry('a', now - 90 * day, { givenUp: 'rrr' }), entry('b', now - 91 * day, { verified: false })], [{ age: day }], now), 'remove')).toEqual([]);
    expect(ids(decideRetention([entry('a', now - 80 * day, { givenUp: 'rrr' }), entry('b', now - 91 * day)], [{ age: day }], now), 'keep')).toContain('b');
  });

  test('damaged ones stay for a person to see, take no place, and keep what they may need', () => {
    const entries = [
      entry('new', now), entry('lost', now - day, { chain: null }), entry('good', now - 2 * day), entry('inc', now - 3 * day, { kind: 'incremental', chain: null }),
      entry('base', now - 4 * day), entry('older', now - 5 * day), entry('orphan', now - 6 * day, { kind: 'incremental', chain: ['gone'] }),
    ];
    const decided = decideRetention(entries, [{ last: 2 }], now);
    expect(ids(decided, 'remove')).toEqual(['older']);
    expect(why(decided, 'base')).toBe('inc (incremental) may need it');
    expect(why(decided, 'orphan')).toContain('gone is gone');
  });

  test('another database system goes by the same rules, and it is said', () => {
    const decided = decideRetention([entry('new', now), entry('old', now - day, { systemId: '6000' })], [{ last: 1 }], now);
    expect(why(decided, 'old')).toContain('of another database system (6000)');
    expect(ids(decideRetention([entry('new', now), entry('old', now - day, { systemId: '6000' })], [{ last: 2 }], now), 'remove')).toEqual([]);
  });

  test('the same chain ids in two systems are two chains', () => {
    const entries = [entry('i', now, { kind: 'incremental', chain: ['f'] }), entry('f', now - day), entry('f', now - day, { systemId: '6000' })];
    expect(decideRetention(entries, [{ last: 1 }], now).filter(({ action }) => action === 'remove').map((d) => d.entry.systemId)).toEqual(['6000']);
  });
});

/** Random histories as they come about: chains grow on what is there, some copies are damaged, unverified or held. */
const historyArb = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.integer({ min: 0, max: 2 * 24 * 3600 }), fc.integer({ min: 0, max: 40 * 24 * 3600 })), kind: fc.constantFrom('full', 'full', 'full', 'differential', 'incremental', 'incremental'), system: fc.constantFrom(0, 0, 0, 0, 1),
      fate: fc.constantFrom(...Array<'good'>(20).fill('good'), 'unverified', 'damaged', 'gone', 'held'), given: fc.constantFrom(false, false, false, false, true),
    }),
    { maxLength: 24 },
  )
  .map((steps) => {
    const entries: RetentionEntry[] = [];
    const built: RetentionEntry[] = [];
    let time = now - steps.reduce((sum, step) => sum + step.gap * 1000, 0);
    for (const [i, step] of steps.entries()) {
      time += step.gap * 1000;
      const systemId = String(7000 + step.system);
      // What was given up builds on anything; nothing else builds on it.
      const here = built.filter((other) => other.systemId === systemId && (step.given || other.givenUp === undefined));
      const parent = step.kind === 'full' ? undefined : here.findLast((other) => step.kind === 'incremental' || other.kind === 'full');
      const made = entry(`id${String(i)}`, time, { systemId, kind: parent === undefined ? 'full' : (step.kind), chain: parent === undefined ? [] : [...(parent.chain ?? []), parent.id], ...(step.given ? { givenUp: 'rrr' } : {}) });
      built.push(made);
      if (step.fate !== 'gone') entries.push({ ...made, verified: step.fate !== 'unverified', held: step.fate === 'held', chain: step.fate === 'damaged' ? null : made.chain });
    }
    return entries;
  });
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const count = sometimes(fc.integer({ min: 0, max: 6 }));
const ruleArb = fc
  .record({ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count, age: sometimes(fc.integer({ min: 1, max: 100 * 24 * 3600_000 })), timezone: fc.constantFrom('UTC', 'UTC', 'UTC', 'Asia/Seoul') })
  .map((rule) => Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as RetentionRule);

const wholeIn = (entries: readonly RetentionEntry[], one: RetentionEntry): boolean =>
  one.chain !== null && one.chain.every((id) => entries.some((other) => other.id === id && other.systemId === one.systemId && other.chain !== null));

const plan = (entries: readonly RetentionEntry[], rules: readonly RetentionRule[]): RetentionEntry[] => removalOrder(decideRetention(entries, rules, now)).map((decision) => decision.entry);

test('B11 10,000 random histories: kept is restorable, last verified stays, same in any order, when run twice, and when killed half-way', { timeout: 600_000 }, () => {
  let removedAtAll = 0;
  fc.assert(
    fc.property(historyArb, fc.array(ruleArb, { minLength: 1, maxLength: 2 }), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 1000 }), (entries, rules, cut, seed) => {
      const decided = decideRetention(entries, rules, now);
      const removed = removalOrder(decided).map((decision) => decision.entry);
      removedAtAll += removed.length;
      const gone = new Set(removed);
      const left = entries.filter((one) => !gone.has(one));
      // Every entry is decided once, with a reason.
      expect(new Set(decided.map((decision) => decision.entry))).toEqual(new Set(entries));
      expect(decided.every((decision) => decision.reasons.length > 0)).toBe(true);
      // What was restorable and is kept still is; also at every point in between.
      for (let n = 0; n <= removed.length; n++) {
        const half = entries.filter((one) => !removed.slice(0, n).includes(one));
        expect(half.filter((one) => wholeIn(entries, one) && !wholeIn(half, one))).toEqual([]);
      }
      // The newest verified chain, holds, damaged ones, and whatever is newer stay.
      const sound = entries.filter((one) => one.givenUp === undefined && wholeIn(entries, one) && [one.id, ...(one.chain ?? [])].every((id) => entries.some((other) => other.id === id && other.systemId === one.systemId && other.verified)));
      const newest = Math.max(...sound.map((one) => Date.parse(one.startedAt)));
      if (sound.length > 0) expect(left.some((one) => sound.includes(one) && Date.parse(one.startedAt) === newest)).toBe(true);
      else expect(removed).toEqual([]);
      for (const one of removed) {
        expect(one.held || one.chain === null || !wholeIn(entries, one)).toBe(false);
        expect(Date.parse(one.startedAt)).toBeLessThanOrEqual(newest);
      }
      // What was given up takes no place: without it what is left goes or stays all the same, but for what it builds on.
      const live = entries.filter((one) => one.givenUp === undefined);
      const alone = plan(live, rules);
      if (entries.every((one) => one.chain !== null)) expect(removed.filter((one) => one.givenUp === undefined).every((one) => alone.includes(one))).toBe(true);
      if (live.length < entries.length && sound.length > 0 && entries.every((one) => one.chain !== null && (one.givenUp === undefined || one.chain.length === 0))) expect(removed.filter((one) => one.givenUp === undefined).map((one) => one.id)).toEqual(alone.map((one) => one.id));
      // Any rule alone keeps no more than all rules together.
      for (const rule of rules.length > 1 ? rules : []) {
        const byOne = plan(entries, [rule]);
        expect(removed.every((one) => byOne.includes(one))).toBe(true);
      }
      // Order of the listing does not matter.
      const mixed = [...entries].map((one, i) => ({ one, key: (i * 7919 + seed) % 31 })).sort((a, b) => a.key - b.key).map(({ one }) => one);
      expect(plan(mixed, rules)).toEqual(removed);
      // Twice is once.
      expect(plan(left, rules)).toEqual([]);
      // Killed after some deletions, in the middle of the next (its state is gone, its manifest is not): the rest goes, nothing else.
      const done = removed.slice(0, cut % (removed.length + 1));
      const torn = removed[done.length];
      const after = entries.filter((one) => !done.includes(one)).map((one) => (one === torn ? { ...one, verified: false } : one));
      expect(plan(after, rules).map((one) => one.id).sort()).toEqual(removed.slice(done.length).map((one) => one.id).sort());
    }),
    { numRuns: 10_000 },
  );
  expect(removedAtAll).toBeGreaterThan(10_000);
});
