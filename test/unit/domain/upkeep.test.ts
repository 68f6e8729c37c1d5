import { describe, expect, test } from 'vitest';
import { planUpkeep, type UpkeepCopy, type UpkeepRepository } from '../../../domain/upkeep.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const day = 86_400_000;
const options = { now, scrubMs: 30 * day, everyMs: day, most: 100 };
const copy = (id: string, ageDays: number, more: Partial<UpkeepCopy> = {}): UpkeepCopy => ({
  id, name: `${new Date(now - ageDays * day).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z-full-${id}`, systemId: '1', kind: 'full', startedAt: new Date(now - ageDays * day).toISOString(), chain: [], bytes: 100, held: false,
  state: 'verified', verifiedAt: now - day, ...more,
});
const repository = (name: string, copies: UpkeepCopy[], more: Partial<UpkeepRepository> = {}): UpkeepRepository => ({ name, copies, rules: [{ last: 2 }], kinds: ['full', 'incremental'], ...more });
const told = (...all: UpkeepRepository[]): string[] => planUpkeep(all, options).items.map(({ action, backup, repository: where, from }) => `${action} ${backup} ${where}${from.length === 0 ? '' : ` from ${from.join(',')}`}`);

describe('B8 upkeep of repositories', () => {
  test('a late repository gets what its own rules would keep, and what that builds on, parents first', () => {
    const inc = copy('inc', 1, { kind: 'incremental', chain: ['old'] });
    expect(told(repository('a', [copy('new', 0), inc, copy('old', 5), copy('older', 9)]), repository('b', []))).toEqual(['copy old b from a', 'copy inc b from a', 'copy new b from a']);
    expect(told(repository('a', [copy('new', 0)]), repository('b', [copy('new', 0)]))).toEqual([]);
    expect(told(repository('a', [copy('new', 0)]), repository('b', [], { kinds: ['incremental'] }))).toEqual([]);
    // What retention put aside stays aside; a copy that was begun is finished, or forgotten when nobody wants it.
    expect(told(repository('a', [copy('new', 0)]), repository('b', [copy('new', 0, { state: 'deleted' })]))).toEqual([]);
    expect(told(repository('a', [copy('new', 0)]), repository('b', [copy('new', 0, { state: 'copying', chain: null })]))).toEqual(['copy new b from a']);
    expect(told(repository('a', [copy('new', 0), copy('mid', 1)]), repository('b', [copy('new', 0), copy('mid', 1), copy('gone', 9, { state: 'copying', chain: null })]))).toEqual(['forget gone b']);
  });
  test('an incremental whose parent nobody has whole is not copied', () => {
    expect(told(repository('a', [copy('inc', 0, { kind: 'incremental', chain: ['lost'] })]), repository('b', []))).toEqual([]);
  });
  test('damage is healed from those who have it whole, or named as hopeless', () => {
    expect(told(repository('a', [copy('x', 0, { state: 'damaged' })]), repository('b', [copy('x', 0)]), repository('c', [copy('x', 0, { state: 'unverified', verifiedAt: now })]))).toContain('heal x a from b,c');
    expect(planUpkeep([repository('a', [copy('x', 0, { state: 'damaged' })])], options)).toMatchObject({ items: [], hopeless: [{ backup: 'x', repository: 'a' }] });
  });
  test('the longest unread are read back, a share at a time; within the scrub time everything comes round', () => {
    let copies = Array.from({ length: 60 }, (_, i) => copy(`b${String(i)}`, i, { verifiedAt: now - 20 * day }));
    const read = new Set<string>();
    for (let d = 0; d < 30; d++) {
      const { items } = planUpkeep([repository('a', copies)], { ...options, now: now + d * day });
      expect(items.length).toBeLessThanOrEqual(4);
      for (const { backup } of items) read.add(backup);
      copies = copies.map((each) => (items.some(({ backup }) => backup === each.id) ? { ...each, verifiedAt: now + d * day } : each));
      for (const each of copies) expect(now + d * day - (each.verifiedAt ?? 0)).toBeLessThan(options.scrubMs + 21 * day);
    }
    expect(read.size).toBe(60);
    expect(told(repository('a', [copy('never', 3, { state: 'unverified', verifiedAt: null })]))).toEqual(['read back never a']);
  });
});
