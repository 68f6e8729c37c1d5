import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { pieceName, type Ancestor, type WalPiece } from '../../../domain/wal.ts';
import type { ArchivedLineage, ArchivedTimeline } from '../../../providers/wal/archive-read.ts';
import { decidePosition, type ServerPosition } from '../../../providers/wal/position.ts';

const segment = 0x1000000n;
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const piece = (start: bigint, end: bigint): WalPiece => ({ start, end, time: undefined, key: 'k', name: pieceName({ start, end, time: undefined, key: 'k' }), bytes: 1 });
const line = (number: number, from: bigint, to: bigint, history?: string, ancestors: readonly Ancestor[] = []): ArchivedTimeline => ({ timeline: number, ancestors, pieces: from < to ? [piece(from, to)] : [], points: [], damaged: [], hasHistory: history !== undefined, historySha256: history === undefined ? undefined : sha(history) });
const lineage = (id: string, timelines: readonly ArchivedTimeline[], createdAt = '2026-11-01T00:00:00Z', first = 1): ArchivedLineage => ({
  id, systemId: '7', createdAt, segmentBytes: Number(segment), parent: null, timelines,
  facts: { format: 1, id, target: 't', systemId: '7', createdAt, segmentBytes: Number(segment), version: '18', timeline: first, start: '0000000001000000', parent: null, reason: '' },
});
const server = (timeline: number, flushLsn: bigint, history?: string): ServerPosition => ({ timeline, flushLsn, history, historySha256: history === undefined ? undefined : sha(history) });
const history2 = '1\t0/5000100\tno recovery target specified\n';
const left = { timeline: 1, lsn: 0x5000100n };

describe('B3 where archiving goes on', () => {
  test('the first time, after a crash, and where only the lineage was written', () => {
    expect(decidePosition([], server(1, 0x3000000n))).toMatchObject({ kind: 'begin', parent: null, reason: 'the first' });
    expect(decidePosition([lineage('a', [line(1, segment, 0x4000010n)])], server(1, 0x4000010n))).toMatchObject({ kind: 'continue', timeline: 1, stored: 0x4000010n, leavesAt: undefined });
    expect(decidePosition([lineage('a', [])], server(1, 0x4000010n))).toMatchObject({ kind: 'continue', stored: segment });
  });

  test('over a failover: first the rest of the old timeline, then the new one from the beginning of its segment', () => {
    const old = lineage('a', [line(1, segment, 0x4000010n)]);
    expect(decidePosition([old], server(2, 0x6000000n, history2))).toMatchObject({ kind: 'continue', timeline: 1, stored: 0x4000010n, leavesAt: 0x5000100n });
    const entered = lineage('a', [line(1, segment, 0x5000100n), line(2, 0n, 0n, history2, [left])]);
    expect(decidePosition([entered], server(2, 0x6000000n, history2))).toMatchObject({ kind: 'continue', timeline: 2, stored: 0x5000000n });
  });

  test('a failover that lost a tail, or a restore to an earlier point, begins another lineage there', () => {
    const old = lineage('a', [line(1, segment, 0x7000000n)]);
    expect(decidePosition([old], server(2, 0x6000000n, history2))).toMatchObject({ kind: 'begin', parent: { lineage: 'a', timeline: 1, lsn: 0x5000100n }, start: 0x5000100n });
    // The same number, another history.
    const other = lineage('a', [line(1, segment, 0x4000000n), line(2, 0x4000000n, 0x8000000n, 'x', [{ timeline: 1, lsn: 0x4000000n }])]);
    expect(decidePosition([other], server(2, 0x9000000n, history2))).toMatchObject({ kind: 'begin', parent: { timeline: 1, lsn: 0x5000100n } });
  });

  test('a restore that was rolled back goes on in the lineage it had left', () => {
    const before = lineage('a', [line(1, segment, 0x7000000n)]);
    const after = lineage('b', [line(2, 0x5000000n, 0x6000000n, history2, [left])], '2026-11-02T00:00:00Z', 2);
    expect(decidePosition([after, before], server(1, 0x7000200n))).toMatchObject({ kind: 'continue', lineage: { id: 'a' }, stored: 0x7000000n });
    expect(decidePosition([after, before], server(2, 0x6000000n, history2))).toMatchObject({ kind: 'continue', lineage: { id: 'b' } });
  });

  test('a server that was set back without a new timeline is told apart', () => {
    expect(decidePosition([lineage('a', [line(1, segment, 0x7000000n)])], server(1, 0x6000000n))).toMatchObject({ kind: 'begin', parent: { lineage: 'a', lsn: 0x6000000n }, start: 0x6000000n, reason: expect.stringContaining('set back') as string });
  });
});
