import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLsn } from '../../../domain/lsn.ts';
import { planRecovery, recoveryBackup, type RecoveryBackup } from '../../../domain/recovery.ts';
import { historyAt, historyOfBackup, isGivenUp, mergeSwaps, presentHistory, withHistories, type Swap } from '../../../domain/swaps.ts';
import { pieceName, type WalLineage, type WalPiece } from '../../../domain/wal.ts';
import { decideWal } from '../../../domain/wal-retention.ts';

const block = 16n * 1024n * 1024n;
const minute = 60_000;
const t0 = Date.parse('2026-11-01T00:00:00Z');
const at = (minutes: number): number => t0 + minutes * minute;
const swaps: Swap[] = [{ restore: 'rrr', at: at(20), way: 'in' }, { restore: 'rrr', at: at(30), way: 'back' }];
/** Blocks of a timeline, one a minute. */
const blocks = (from: number, to: number, firstMinute: number): WalPiece[] => Array.from({ length: to - from }, (_, i): WalPiece => {
  const piece = { start: BigInt(from + i) * block, end: BigInt(from + i + 1) * block, time: at(firstMinute + i), key: 'k' };
  return { ...piece, name: pieceName(piece), bytes: 1 };
});
const lineage = (id: string, minutes: number, pieces: readonly WalPiece[], parent: WalLineage['parent'] = null): WalLineage =>
  ({ id, systemId: '7', createdAt: new Date(at(minutes)).toISOString(), segmentBytes: Number(block), parent, timelines: [{ timeline: 1, ancestors: [], pieces, points: [] }] });
const backup = (id: string, minutes: number, lsn: bigint): RecoveryBackup =>
  recoveryBackup({ id, name: id, ...historyOfBackup(swaps, new Date(at(minutes)).toISOString()) }, { startLsn: formatLsn(lsn), stopLsn: formatLsn(lsn + 100n), timeline: 1 }, new Date(at(minutes) + 1000).toISOString());

describe('B2 histories', () => {
  test('from the first note of a swap to the last of its rollback, whatever repository has which', () => {
    expect(mergeSwaps([{ restore: 'a', at: 9, way: 'in' }, { restore: 'a', at: 5, way: 'in' }, { restore: 'a', at: 20, way: 'back' }, { restore: 'a', at: 21, way: 'back' }])).toEqual([{ restore: 'a', at: 5, way: 'in' }, { restore: 'a', at: 21, way: 'back' }]);
    const nested: Swap[] = [{ restore: 'a', at: 10, way: 'in' }, { restore: 'b', at: 20, way: 'in' }, { restore: 'b', at: 30, way: 'back' }];
    expect([5, 15, 25, 35].map((time) => historyAt(nested, time))).toEqual(['', 'a', 'b', 'a']);
    expect(['', 'a', 'b'].map((one) => isGivenUp(nested, one))).toEqual([false, false, true]);
    expect(presentHistory(nested)).toBe('a');
    expect(presentHistory([])).toBeUndefined();
  });

  test('a name tells no more than a second: in doubt it is the younger history', () => {
    const noted: Swap[] = [{ restore: 'a', at: Date.parse('2026-11-10T10:00:00.500Z'), way: 'in' }, { restore: 'a', at: Date.parse('2026-11-10T11:00:00.500Z'), way: 'back' }];
    expect(historyOfBackup(noted, '2026-11-10T09:59:59Z')).toEqual({ history: '' });
    expect(historyOfBackup(noted, '2026-11-10T10:00:00Z')).toEqual({ history: 'a', givenUp: 'a' });
    expect(historyOfBackup(noted, '2026-11-10T11:00:00Z')).toEqual({ history: 'a', givenUp: 'a' });
    expect(historyOfBackup(noted, '2026-11-10T11:00:01Z')).toEqual({ history: '' });
    expect(historyOfBackup([], '2026-11-10T11:00:01Z')).toEqual({});
  });
});

describe('R4 recovery over a restore that was rolled back, all on one timeline', () => {
  const before = backup('before', 5, 5n * block);
  const given = backup('given', 25, 14n * block);
  // Set back to 8, written to 16, and given up; the one before goes on from 12 to 40.
  const of = (last: number): WalLineage[] => withHistories([lineage('b', 21, blocks(9, 16, 22), { lineage: 'a', timeline: 1, lsn: 9n * block }), lineage('a', 0, [...blocks(0, 12, 1), ...blocks(12, last, 31)])], swaps);

  test('the newest is the one of before, also until anything new is archived', () => {
    for (const last of [12, 13, 40]) expect(planRecovery(of(last), [before], { time: 'latest' })).toMatchObject({ backup: 'before', lineage: 'a', endLsn: formatLsn(BigInt(last) * block), steps: [{ lineage: 'a' }] });
    expect(of(12)[0]?.id).toBe('a');
  });

  test('its backup is combined with its own WAL only, and only when it is named', () => {
    expect(planRecovery(of(40), [given], { time: 'latest' })).toMatchObject({ backup: 'given', lineage: 'b', endLsn: formatLsn(16n * block) });
    // Both are there: that of before is never replaced, nor its end moved.
    expect(planRecovery(of(40), [before, given], { lsn: formatLsn(30n * block) })).toMatchObject({ backup: 'before', lineage: 'a' });
    expect(() => planRecovery(of(40), [given], { lsn: formatLsn(30n * block) })).toThrow(/cannot be reached/);
  });

  test('retention of WAL: a backup that was given up holds no place in another history', () => {
    const removed = decideWal(of(40), [before, given], at(1000)).remove;
    expect(removed.filter((one) => one.lineage === 'a' && one.piece.start >= 5n * block)).toEqual([]);
  });

  test('a restore that stays: what was taken before it goes with its own history only', () => {
    const stays = swaps.slice(0, 1);
    const lines = withHistories([lineage('b', 21, blocks(9, 40, 22), { lineage: 'a', timeline: 1, lsn: 9n * block }), lineage('a', 0, blocks(0, 12, 1))], stays);
    const old = { ...before, history: '', stopLsn: formatLsn(10n * block + 5n), startLsn: formatLsn(10n * block) };
    const own = recoveryBackup({ id: 'own', name: 'own', history: 'rrr' }, { startLsn: formatLsn(9n * block), stopLsn: formatLsn(9n * block + 9n), timeline: 1 }, new Date(at(24)).toISOString());
    expect(planRecovery(lines, [old, own], { time: 'latest' })).toMatchObject({ backup: 'own', lineage: 'b', steps: [{ lineage: 'b' }] });
    expect(() => planRecovery(lines, [old], { time: 'latest' })).toThrow(/no backup belongs/);
    expect(planRecovery(lines, [old, own], { time: new Date(at(12)).toISOString() })).toMatchObject({ backup: 'before', lineage: 'a' });
  });

  test('whatever positions the two have: no backup is ever combined with the WAL of another history', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 39 }), fc.integer({ min: 0, max: 39 }), fc.integer({ min: 12, max: 40 }), fc.boolean(), fc.integer({ min: 0, max: 60 }), (a, b, last, named, minutes) => {
      const [one, two] = [backup('before', 5, BigInt(a) * block), backup('given', 25, BigInt(b) * block)];
      for (const input of [{ time: 'latest' }, { time: new Date(at(minutes)).toISOString() }, { lsn: formatLsn(BigInt(minutes) * block) }]) {
        try {
          const plan = planRecovery(of(last), named ? [one, two] : [one], input);
          const wanted = plan.backup === 'given' ? 'b' : 'a';
          expect(plan.steps.every((step) => step.lineage === wanted), JSON.stringify(plan)).toBe(true);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^recoveryTarget/);
        }
      }
    }), { numRuns: 2000 });
  });
});
