import { describe, expect, test } from 'vitest';
import { cannotBuildOn } from '../../providers/postgres/parent-check.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { swappedSince } from '../../domain/swaps.ts';
import { readSwaps, writeSwap } from '../../providers/repository/swap-notes.ts';

describe('B2 what a backup may build on after a restore', () => {
  test('a swap ends what was taken before it; its rollback brings that back and ends what was taken meanwhile', async () => {
    const store = new MemoryStore('m');
    expect(await readSwaps(store, 'shop', '7')).toEqual([]);
    await writeSwap(store, 'shop', '7', { restore: 'aaaaaaaaaaaa', at: '2026-11-10T10:00:00.500Z', way: 'in' });
    let swaps = await readSwaps(store, 'shop', '7');
    expect(swappedSince(swaps, '2026-11-10T09:59:59Z')).toContain('aaaaaaaaaaaa');
    expect(swappedSince(swaps, '2026-11-10T10:00:00.500Z')).toContain('aaaaaaaaaaaa');
    expect(swappedSince(swaps, '2026-11-10T10:00:00.700Z')).toBeUndefined();
    await writeSwap(store, 'shop', '7', { restore: 'aaaaaaaaaaaa', at: '2026-11-11T10:00:00Z', way: 'back' });
    swaps = await readSwaps(store, 'shop', '7');
    expect(swappedSince(swaps, '2026-11-10T09:59:59Z')).toBeUndefined();
    expect(swappedSince(swaps, '2026-11-10T12:00:00Z')).toContain('rolled back');
    expect(swappedSince(swaps, '2026-11-11T10:00:01Z')).toBeUndefined();
  });

  test('what the server would refuse is told before it is asked', () => {
    const wal = { startLsn: '0/5000028', stopLsn: '0/5000120', timeline: 1 };
    const summary = (timeline: number, start: bigint, end: bigint) => ({ timeline, start, end });
    expect(cannotBuildOn({ timeline: 1, lsn: 0x6000000n, summaries: [summary(1, 0x4000000n, 0x5500000n)] }, wal)).toBeUndefined();
    expect(cannotBuildOn({ timeline: 1, lsn: 0x5000100n, summaries: [] }, wal)).toContain('set back');
    expect(cannotBuildOn({ timeline: 1, lsn: 0x7000000n, summaries: [summary(1, 0x6000000n, 0x7000000n)] }, wal)).toContain('no WAL summary');
    // The summarizer is late, or the role may not ask: the server decides.
    expect(cannotBuildOn({ timeline: 1, lsn: 0x6000000n, summaries: [summary(1, 0x3000000n, 0x4000000n)] }, wal)).toBeUndefined();
    expect(cannotBuildOn({ timeline: 1, lsn: 0x6000000n, summaries: [] }, wal)).toBeUndefined();
    expect(cannotBuildOn({ timeline: 2, lsn: 0x6000000n, summaries: undefined }, wal)).toBeUndefined();
    // Over a promotion with the summaries of before: allowed. Without: refused.
    expect(cannotBuildOn({ timeline: 2, lsn: 0x6000000n, summaries: [summary(1, 0x4000000n, 0x5500000n), summary(2, 0x5500000n, 0x6000000n)] }, wal)).toBeUndefined();
    expect(cannotBuildOn({ timeline: 2, lsn: 0x6000000n, summaries: [summary(2, 0x5500000n, 0x6000000n)] }, wal)).toContain('timeline 1');
    expect(cannotBuildOn({ timeline: 1, lsn: 0x9000000n, summaries: [] }, { ...wal, timeline: 3 })).toContain('timeline 3');
  });
});
