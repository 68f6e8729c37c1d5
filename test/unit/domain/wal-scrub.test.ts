import { describe, expect, test } from 'vitest';
import { pieceName, type WalLineage, type WalPiece } from '../../../domain/wal.ts';
import { addRead, describeLoss, dueWal, lossesOf, readAt, type ReadStretch } from '../../../domain/wal-scrub.ts';

const mib = 1024n * 1024n;
const block = 16n * mib;
const minute = 60_000;
const day = 24 * 3_600_000;
const now = Date.parse('2026-11-26T12:00:00Z');

const piece = (n: number, time = now - 2 * day + n * minute): WalPiece => {
  const start = BigInt(n) * block;
  return { start, end: start + block, time, key: 'k', name: pieceName({ start, end: start + block, time, key: 'k' }), bytes: 100 };
};
const lineage = (pieces: readonly WalPiece[]): WalLineage => ({ id: 'a', systemId: '7', createdAt: '2026-11-01T00:00:00Z', segmentBytes: Number(block), parent: null, timelines: [{ timeline: 1, ancestors: [], pieces, points: [] }] });

describe('B8 what of the WAL is read back', () => {
  test('addRead keeps disjoint stretches with the newest reading of each byte, whatever is added in whatever order', () => {
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    for (let round = 0; round < 300; round++) {
      const bytes = new Map<number, number>();
      let read: ReadStretch[] = [];
      for (let i = 0; i < 12; i++) {
        const start = random(30);
        const end = start + 1 + random(8);
        const at = random(5) * minute;
        read = addRead(read, [{ start: BigInt(start), end: BigInt(end), at }]);
        for (let b = start; b < end; b++) bytes.set(b, Math.max(bytes.get(b) ?? 0, at));
      }
      for (const [i, { start, end, at }] of read.entries()) {
        expect(start < end && (i === 0 || (read[i - 1] as ReadStretch).end <= start)).toBe(true);
        for (let b = start; b < end; b++) expect(bytes.get(Number(b))).toBe(at);
      }
      expect(read.reduce((sum, { start, end }) => sum + Number(end - start), 0)).toBe(bytes.size);
      for (let b = 0; b < 40; b++) expect(readAt({ start: BigInt(b), end: BigInt(b + 1) }, read)).toBe(bytes.get(b));
    }
  });

  test('what was never read comes first and at once, then the longest unread up to the share of a run', () => {
    const read = [{ start: 0n, end: 10n * block, at: now - 20 * day }, { start: 10n * block, end: 20n * block, at: now - 40 * day }];
    const all = Array.from({ length: 24 }, (_, n) => ({ lineage: 'a', timeline: 1, piece: piece(n), readAt: readAt(piece(n), read) }));
    const due = dueWal(all, { now, scrubMs: 30 * day, everyMs: 5 * day });
    // 4 never read, then of 24 pieces a sixth each run, twice that for what is overdue: in all 8.
    expect(due.map((one) => Number(one.piece.start / block))).toEqual([20, 21, 22, 23, 10, 11, 12, 13]);
    expect(dueWal(all, { now, scrubMs: 30 * day, everyMs: 5 * day, all: true })).toHaveLength(24);
    // An archive older than its reading back: not everything in one run, but all that is new.
    const old = all.map((one) => ({ ...one, readAt: undefined }));
    expect(dueWal(old, { now, scrubMs: 24 * day, everyMs: day / 4 })).toHaveLength(1);
    expect(dueWal(old, { now, scrubMs: 24 * day, everyMs: 2 * day })).toHaveLength(24);
    expect(dueWal(all.map((one) => ({ ...one, readAt: now - day })), { now, scrubMs: 30 * day, everyMs: 5 * day })).toEqual([]);
  });

  test('losses: damage and holes, also at the end, with the points they cost and the backup behind them', () => {
    const pieces = Array.from({ length: 8 }, (_, n) => piece(n)).filter((_, n) => n !== 2);
    const good = pieces.filter(({ start }) => start !== 4n * block && start !== 7n * block);
    const backup = { id: 'b1', name: 'b1', startLsn: '0/3000000', stopLsn: '0/3000100', timeline: 1, endedAt: '2026-11-25T00:00:00Z' };
    const losses = lossesOf([lineage(good)], [lineage(pieces)], [backup], now);
    expect(losses).toMatchObject([
      { why: 'missing', fromLsn: '0/2000000', toLsn: '0/3000000', from: new Date(now - 2 * day + minute).toISOString(), to: new Date(now - 2 * day + 3 * minute).toISOString(), reachableAgainFrom: 'b1' },
      { why: 'damaged', fromLsn: '0/4000000', toLsn: '0/5000000', reachableAgainFrom: null },
      { why: 'damaged', fromLsn: '0/7000000', toLsn: '0/8000000', to: null, reachableAgainFrom: null },
    ]);
    expect(describeLoss(losses[0] as (typeof losses)[number])).toMatch(/is missing .* cannot be reached up to the end of backup b1/);
    expect(lossesOf([lineage(pieces.slice(2))], [lineage(pieces.slice(2))], [], now)).toEqual([]);
  });
});
