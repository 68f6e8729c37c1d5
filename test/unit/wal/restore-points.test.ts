import { describe, expect, test } from 'vitest';
import { crc32c } from '../../../providers/vault/crc32c.ts';
import { newPoints } from '../../../providers/wal/seal-job.ts';

const page = 8192;

/** The record of pg_create_restore_point, as xlogrecord.h has it. */
function record(name: string): Buffer {
  const bytes = Buffer.alloc(98);
  bytes.writeUInt32LE(98, 0);
  bytes[16] = 0x70;
  bytes[24] = 0xff;
  bytes[25] = 72;
  bytes.writeBigInt64LE(123_456n, 26);
  bytes.write(name, 34, 'utf8');
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 20), crc32c(bytes.subarray(24))), 20);
  return bytes;
}

/** Puts it at `at`, with the header of the next page in its middle where it crosses one. */
function place(wal: Buffer, at: number, bytes: Buffer): number {
  const left = Math.min(bytes.length, page - (at % page));
  bytes.copy(wal, at, 0, left);
  if (left === bytes.length) return (at + left + 7) & ~7;
  const rest = at + left + 24;
  bytes.copy(wal, rest, left);
  return (rest + bytes.length - left + 7) & ~7;
}

describe('R4 restore points in passing WAL', () => {
  test('are found wherever they lie in a page, also across its end, and not what was found before', () => {
    for (const at of [40, page - 104, page - 96, page - 24, page - 16, page - 8, 3 * page + 24]) {
      const wal = Buffer.alloc(5 * page, 0xa5);
      const end = place(wal, at, record('before the accident'));
      expect(newPoints(wal, 0, true), String(at)).toEqual([{ name: 'before the accident', end }]);
      // Looked through in two goes, cut anywhere: found by the one that saw its end.
      for (const cut of [at, at + 8, at + 50, end - 1, end, end + 8]) {
        const found = [...newPoints(wal.subarray(0, cut), 0, true), ...newPoints(wal, cut, true)];
        // Twice where only the padding behind it was cut off: the object it becomes is the same.
        expect([...new Set(found.map((one) => JSON.stringify(one)))], `${String(at)} cut at ${String(cut)}`).toEqual([JSON.stringify({ name: 'before the accident', end })]);
      }
    }
  });

  test('what only looks like one is none: wrong sum, other record, data that repeats its first bytes', () => {
    const wal = Buffer.alloc(2 * page);
    for (let at = 0; at < wal.length; at += 8) wal[at] = 98;
    const bad = record('x');
    bad[40] = 1;
    place(wal, 4096, bad);
    expect(newPoints(wal, 0, true)).toEqual([]);
    const end = place(wal, 1024, record('ü'));
    expect(newPoints(wal, 0, true)).toEqual([{ name: 'ü', end }]);
    // Not at a multiple of four in memory.
    const odd = Buffer.alloc(wal.length + 3).subarray(3);
    wal.copy(odd);
    expect(newPoints(odd, 0, true)).toEqual([{ name: 'ü', end }]);
  });
});
