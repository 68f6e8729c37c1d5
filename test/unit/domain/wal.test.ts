import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLsn, parseLsn, parseSegmentFile, segmentFile } from '../../../domain/lsn.ts';
import { planRecovery, type RecoveryBackup } from '../../../domain/recovery.ts';
import { cover, coverage, gapsOf, parsePieceName, pieceName, sortPieces, type WalLineage, type WalPiece, type WalTimeline } from '../../../domain/wal.ts';
import { decideWal } from '../../../domain/wal-retention.ts';
import { parseHistory } from '../../../providers/wal/position.ts';

const block = 16n * 1024n * 1024n;
const t0 = Date.parse('2026-11-01T00:00:00Z');
const minute = 60_000;

const piece = (start: bigint, end: bigint, time?: number): WalPiece => {
  const key = start === end ? undefined : 'walkey';
  const name = pieceName({ start, end, time, key });
  return { start, end, time, key, name, bytes: Number(end - start) };
};
const timeline = (number: number, pieces: readonly WalPiece[], more: Partial<WalTimeline> = {}): WalTimeline => ({ timeline: number, ancestors: [], points: [], ...more, pieces: sortPieces(pieces) });
const lineage = (id: string, timelines: readonly WalTimeline[], more: Partial<WalLineage> = {}): WalLineage => ({ id, systemId: '7', createdAt: '2026-11-01T00:00:00.000Z', segmentBytes: Number(block), parent: null, timelines, ...more });
const backup = (id: string, start: bigint, stop: bigint, at: number, number = 1): RecoveryBackup => ({ id, name: id, startLsn: formatLsn(start), stopLsn: formatLsn(stop), timeline: number, endedAt: new Date(at).toISOString() });
/** Blocks 0…n of timeline 1, one a minute. */
const blocks = (from: number, to: number): WalPiece[] => Array.from({ length: to - from }, (_, i) => piece(BigInt(from + i) * block, BigInt(from + i + 1) * block, t0 + (from + i + 1) * minute));
const code = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return { code: (error as { code?: string }).code, message: (error as Error).message };
  }
};

describe('WAL names', () => {
  test('positions, segments and pieces survive their names', () => {
    expect(formatLsn(parseLsn('16/B374D848'))).toBe('16/B374D848');
    expect(segmentFile(2, parseLsn('1/2000028'), 16777216)).toBe('000000020000000100000002');
    expect(parseSegmentFile('000000020000000100000002', 16777216)).toEqual({ timeline: 2, start: parseLsn('1/2000000') });
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }), fc.bigInt({ min: 0n, max: 1n << 30n }), fc.option(fc.integer({ min: t0, max: t0 * 2 }), { nil: undefined }), (start, length, time) => {
      const one = piece(start, start + length, time);
      expect(parsePieceName(one.name, one.bytes)).toEqual(one);
    }));
    expect(parsePieceName('0000000000000002-0000000000000001-none-abc')).toBeUndefined();
    expect(parseHistory('1\t0/3000000\tno recovery target specified\n\n2\t0/5000148\tbefore 2026')).toEqual([{ timeline: 1, lsn: 0x3000000n }, { timeline: 2, lsn: 0x5000148n }]);
  });

  test('B3 a cover is contiguous and holds what the coverage says, whatever pieces overlap', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 20 })), { maxLength: 25 }), (ranges) => {
      const pieces = ranges.map(([start, length]) => piece(BigInt(start), BigInt(start + length)));
      for (const { start, end } of coverage(pieces)) {
        const chosen = cover(pieces, start, end) ?? [];
        let at = start;
        for (const one of chosen) {
          expect(one.start <= at && one.end > at).toBe(true);
          at = one.end;
        }
        expect(at >= end).toBe(true);
      }
      const whole = coverage(pieces);
      if (whole.length > 1) expect(cover(pieces, whole[0]?.start ?? 0n, whole.at(-1)?.end ?? 0n)).toBeUndefined();
    }));
  });
});

describe('R4 planning', () => {
  const base = [backup('b1', block, block + 100n, t0 + 2 * minute), backup('b2', 10n * block, 10n * block + 100n, t0 + 11 * minute)];

  test('chooses the newest backup before the point, and the WAL between', () => {
    const one = lineage('a', [timeline(1, blocks(0, 20))]);
    expect(planRecovery([one], base, { lsn: formatLsn(15n * block) })).toMatchObject({ backup: 'b2', endLsn: formatLsn(15n * block), timeline: 1, segments: 5 });
    expect(planRecovery([one], base, { lsn: formatLsn(9n * block) })).toMatchObject({ backup: 'b1' });
    expect(planRecovery([one], base, { time: new Date(t0 + 15 * minute).toISOString() })).toMatchObject({ backup: 'b2', stopTime: new Date(t0 + 15 * minute).toISOString() });
    expect(planRecovery([one], base, { time: 'latest' })).toMatchObject({ backup: 'b2', endLsn: formatLsn(20n * block) });
  });

  test('a time after the last commit is reached by a mark, one behind it is not', () => {
    const one = lineage('a', [timeline(1, [...blocks(0, 12), piece(12n * block, 12n * block, t0 + 60 * minute)])]);
    expect(planRecovery([one], base, { time: new Date(t0 + 50 * minute).toISOString() })).toMatchObject({ backup: 'b2', endLsn: formatLsn(12n * block) });
    expect(code(() => planRecovery([one], base, { time: new Date(t0 + 61 * minute).toISOString() }))).toMatchObject({ code: 'recoveryTargetUnreachable' });
  });

  test('inside and behind a gap is refused with the missing WAL; from a backup behind it all is well again', () => {
    const one = lineage('a', [timeline(1, [...blocks(0, 12), ...blocks(14, 20)])]);
    expect(gapsOf([one])).toEqual([{ lineage: 'a', timeline: 1, start: 12n * block, end: 14n * block }]);
    expect(code(() => planRecovery([one], base, { lsn: formatLsn(13n * block) }))).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining('is missing') as string });
    expect(code(() => planRecovery([one], base, { lsn: formatLsn(18n * block) }))).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining(`WAL from ${formatLsn(12n * block)} to ${formatLsn(14n * block)}`) as string });
    expect(planRecovery([one], [...base, backup('b3', 15n * block, 15n * block + 9n, t0 + 16 * minute)], { lsn: formatLsn(18n * block) })).toMatchObject({ backup: 'b3' });
    expect(planRecovery([one], base, { lsn: formatLsn(11n * block) })).toMatchObject({ backup: 'b2' });
    // The newest that can be had is before the gap, and that there is more is said.
    expect(planRecovery([one], base, { time: 'latest' })).toMatchObject({ endLsn: formatLsn(12n * block), window: { behindHole: { toLsn: formatLsn(20n * block), to: new Date(t0 + 20 * minute).toISOString() } } });
    expect(planRecovery([lineage('a', [timeline(1, blocks(0, 20))])], base, { time: 'latest' }).window).not.toHaveProperty('behindHole');
  });

  test('the end is where nothing is missing: what a crash left behind a hole, stored out of order, is not waited for', () => {
    const one = lineage('a', [timeline(1, [...blocks(0, 14), ...blocks(15, 16)])]);
    expect(planRecovery([one], base, { time: 'latest' })).toMatchObject({ backup: 'b2', endLsn: formatLsn(14n * block), endTime: new Date(t0 + 14 * minute).toISOString(), window: { toLsn: formatLsn(14n * block) } });
  });

  test('across a failover, and after a restore to an earlier point: ambiguous positions are refused until the timeline is named', () => {
    const left = 12n * block + 500n;
    const two = (from: bigint, minutes: number): WalPiece[] => [piece(12n * block, from + block, t0 + minutes * minute), piece(from + block, from + 5n * block, t0 + (minutes + 5) * minute)];
    const failover = lineage('a', [timeline(1, [...blocks(0, 12), piece(12n * block, left, t0 + 13 * minute)]), timeline(2, two(left, 14), { ancestors: [{ timeline: 1, lsn: left }] })]);
    expect(planRecovery([failover], base, { lsn: formatLsn(left + 2n * block) })).toMatchObject({ timeline: 2, steps: [{ timeline: 1 }, { timeline: 2 }] });
    expect(planRecovery([failover], base, { time: new Date(t0 + 12 * minute).toISOString() })).toMatchObject({ timeline: 1 });
    expect(planRecovery([failover], base, { time: new Date(t0 + 16 * minute).toISOString() })).toMatchObject({ timeline: 2 });

    const old = lineage('a', [timeline(1, blocks(0, 20))]);
    const restored = lineage('b', [timeline(2, two(left, 31), { ancestors: [{ timeline: 1, lsn: left }] })], { createdAt: '2026-11-01T00:30:00.000Z', parent: { lineage: 'a', timeline: 1, lsn: left } });
    const both = [restored, old];
    expect(code(() => planRecovery(both, base, { lsn: formatLsn(15n * block) }))).toMatchObject({ code: 'recoveryTargetAmbiguous' });
    expect(planRecovery(both, base, { lsn: formatLsn(15n * block), timeline: 1 })).toMatchObject({ lineage: 'a' });
    expect(planRecovery(both, base, { lsn: formatLsn(15n * block), timeline: 2 })).toMatchObject({ lineage: 'b' });
    expect(planRecovery(both, base, { time: new Date(t0 + 18 * minute).toISOString() })).toMatchObject({ lineage: 'a' });
    expect(planRecovery(both, base, { time: new Date(t0 + 33 * minute).toISOString() })).toMatchObject({ lineage: 'b', steps: [{ timeline: 1, to: formatLsn(left) }, { timeline: 2 }] });
    expect(planRecovery(both, base, { time: 'latest' })).toMatchObject({ lineage: 'b' });
  });
});

describe('B11 retention of WAL', () => {
  /** A history of a failover and a restore, with backups here and there. */
  const histories = fc.record({
    length: fc.integer({ min: 5, max: 60 }),
    failoverAt: fc.option(fc.integer({ min: 2, max: 50 }), { nil: undefined }),
    restoredTo: fc.option(fc.integer({ min: 2, max: 50 }), { nil: undefined }),
    backups: fc.array(fc.integer({ min: 0, max: 59 }), { maxLength: 6 }),
    cutoff: fc.integer({ min: 0, max: 70 }),
  });

  test('whatever could be reached in the window before can be reached after; twice removes nothing more', () => {
    fc.assert(fc.property(histories, ({ length, failoverAt, restoredTo, backups: at, cutoff }) => {
      const lineages: WalLineage[] = [];
      const fork = failoverAt !== undefined && failoverAt < length ? failoverAt : undefined;
      const timelines = [timeline(1, blocks(0, fork ?? length))];
      if (fork !== undefined) timelines.push(timeline(2, blocks(fork, length), { ancestors: [{ timeline: 1, lsn: BigInt(fork) * block }] }));
      const old = lineage('a', timelines);
      lineages.push(old);
      const last = timelines.at(-1) as WalTimeline;
      const back = restoredTo !== undefined && restoredTo < length && restoredTo > (fork ?? 0) ? restoredTo : undefined;
      if (back !== undefined) {
        const pieces = blocks(back, back + 10).map((one) => piece(one.start, one.end, (one.time ?? 0) + 60 * minute));
        lineages.unshift(lineage('b', [timeline(3, pieces, { ancestors: [...last.ancestors, { timeline: last.timeline, lsn: BigInt(back) * block }] })], { createdAt: '2026-11-01T01:00:00.000Z', parent: { lineage: 'a', timeline: last.timeline, lsn: BigInt(back) * block } }));
      }
      const backups = at.filter((one) => one < length).map((one, i) => backup(`b${String(i)}`, BigInt(one) * block, BigInt(one) * block + 100n, t0 + (one + 1) * minute, fork !== undefined && one >= fork ? 2 : 1));
      const { remove } = decideWal(lineages, backups, t0 + cutoff * minute);
      const gone = new Set(remove.map(({ piece: one }) => one));
      const after = lineages.map((one): WalLineage => ({ ...one, timelines: one.timelines.map((line): WalTimeline => ({ ...line, pieces: line.pieces.filter((each) => !gone.has(each)) })) }));
      for (let at_ = cutoff; at_ <= 140; at_ += 4) {
        const input = { time: new Date(t0 + at_ * minute).toISOString() };
        const before = code(() => planRecovery(lineages, backups, input));
        if ((before as { code?: string }).code !== undefined) continue;
        expect(code(() => planRecovery(after, backups, input)), input.time).toMatchObject({ endLsn: (before as { endLsn: string }).endLsn, backup: (before as { backup: string }).backup });
      }
      const latest = code(() => planRecovery(lineages, backups, { time: 'latest' }));
      if ((latest as { code?: string }).code === undefined) expect(code(() => planRecovery(after, backups, { time: 'latest' }))).toMatchObject({ endLsn: (latest as { endLsn: string }).endLsn });
      expect(decideWal(after, backups, t0 + cutoff * minute).remove).toEqual([]);
      if (backups.length === 0) expect(remove).toEqual([]);
    }), { numRuns: 200 });
  }, 120_000);
});
