import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { ResurgoError } from '../../../domain/errors.ts';
import { closeCryptoPool } from '../../../providers/vault/crypto-pool.ts';
import { generateAttemptKeys } from '../../../providers/vault/keys.ts';
import { growFromPart, partBytesOf, slotsFor } from '../../../providers/vault/part-size.ts';
import { createBackupWriter } from '../../../providers/vault/seal.ts';
import type { BackupWriterOptions } from '../../../providers/vault/seal.ts';
import { testBytes } from './sealed-backup.ts';

afterAll(closeCryptoPool);

const writerWith = (options: Partial<BackupWriterOptions>) =>
  createBackupWriter({
    keys: generateAttemptKeys('b', 'a'),
    compression: 'zstd',
    partBytes: 1000,
    sink: () => Promise.resolve(),
    ...options,
  });

describe('B9 B10 sealing', () => {
  test('an error of a sink reaches the writer and ends the backup; nothing is stored after it', async () => {
    let calls = 0;
    const writer = writerWith({
      sink: (n) => {
        calls++;
        return n === 3 ? Promise.reject(new ResurgoError('repositoryFull', 'full')) : Promise.resolve();
      },
    });
    const sink = writer.openStream('s', 'blob');
    const writing = (async () => {
      for (let i = 0; i < 500; i++) {
        await sink.write(testBytes(500));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await expect(writing).rejects.toMatchObject({ code: 'repositoryFull' });
    const after = calls;
    await expect(sink.end()).rejects.toMatchObject({ code: 'repositoryFull' });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'repositoryFull' });
    expect(() => writer.openStream('t', 'blob')).toThrow('full');
    expect(calls - after).toBe(0);
  });

  test('an error after the last write surfaces in finish', async () => {
    const writer = writerWith({
      sink: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        throw new ResurgoError('repositoryDenied', 'denied');
      },
    });
    const sink = writer.openStream('s', 'blob');
    await sink.write(testBytes(10));
    await sink.end();
    await expect(writer.finish()).rejects.toMatchObject({ code: 'repositoryDenied' });
  });

  test('a slow sink holds the writer back: never more parts under way than buffers', async () => {
    let running = 0;
    let most = 0;
    const writer = writerWith({
      inFlight: 3,
      sink: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running--;
      },
    });
    const sink = writer.openStream('s', 'blob');
    let waited = 0;
    for (let i = 0; i < 100; i++) {
      const wait = sink.write(testBytes(700));
      if (wait !== undefined) {
        waited++;
        await wait;
      }
    }
    await sink.end();
    const sealed = await writer.finish();
    expect(most).toBeLessThanOrEqual(3);
    expect(waited).toBeGreaterThan(0);
    expect(sealed.parts.map((part) => part.n)).toEqual(Array.from({ length: 70 }, (_, i) => i + 1));
    expect(sealed.parts.map((part) => part.offset)).toEqual(Array.from({ length: 70 }, (_, i) => i * 1000));
    expect(sealed.sourceBytes).toBe(70_000);
  });

  test('a writer that does not wait loses nothing, and its buffer may be used again at once', async () => {
    const objects: Buffer[] = [];
    const writer = writerWith({
      compression: 'none',
      keys: generateAttemptKeys('b', 'a'),
      sink: async (n, object) => {
        await new Promise((resolve) => setImmediate(resolve));
        objects[n] = Buffer.from(object);
      },
    });
    const sink = writer.openStream('s', 'blob');
    const chunk = Buffer.alloc(333);
    for (let i = 0; i < 100; i++) void sink.write(chunk.fill(i));
    await sink.end();
    const sealed = await writer.finish();
    const expected = Buffer.concat(Array.from({ length: 100 }, (_, i) => Buffer.alloc(333, i)));
    expect(sealed.streams[0]?.sha256).toBe(
      (await import('node:crypto')).createHash('sha256').update(expected).digest('hex'),
    );
    expect(sealed.parts).toHaveLength(34);
  });

  test('cancel and abort: the writer hears it, no sink runs on', async () => {
    const stop = new AbortController();
    let running = 0;
    const slow = async () => {
      running++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
    };
    const writer = writerWith({ signal: stop.signal, sink: slow, inFlight: 2 });
    const sink = writer.openStream('s', 'blob');
    const writing = (async () => {
      for (;;) await sink.write(testBytes(900));
    })();
    setTimeout(() => {
      stop.abort(new Error('no longer wanted'));
    }, 3);
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
    await writer.abort();
    expect(running).toBe(0);
    expect(() => sink.write(testBytes(1))).toThrow(expect.objectContaining({ code: 'cancelled' }) as Error);
    expect(() => writerWith({ signal: AbortSignal.abort() }).openStream('s', 'blob')).toThrow(
      expect.objectContaining({ code: 'cancelled' }) as Error,
    );
    const aborted = writerWith({});
    await aborted.abort(new ResurgoError('dumpFailed', 'the server went away'));
    await expect(aborted.finish()).rejects.toMatchObject({ code: 'dumpFailed' });
  });

  test('a broken tar stream fails the backup', async () => {
    const writer = writerWith({});
    const sink = writer.openStream('base.tar', 'tar');
    expect(() => sink.write(testBytes(600))).toThrow(expect.objectContaining({ code: 'dumpFailed' }) as Error);
    await expect(writer.finish()).rejects.toMatchObject({ code: 'dumpFailed' });
    const empty = writerWith({});
    await expect(empty.openStream('base.tar', 'tar').end()).rejects.toMatchObject({ code: 'dumpFailed' });
  });

  test('misuse is named: two streams at once, one twice, one left open, a path as name', async () => {
    const writer = writerWith({});
    const sink = writer.openStream('s', 'blob');
    expect(() => writer.openStream('t', 'blob')).toThrow(/before stream s has ended/);
    await sink.end();
    expect(() => writer.openStream('s', 'blob')).toThrow(/twice/);
    expect(() => writer.openStream('../s', 'blob')).toThrow(/not a stream name/);
    writer.openStream('open', 'blob');
    await expect(writer.finish()).rejects.toThrow(/has not ended/);
  });

  test('what cannot be compressed does not grow by more than a few bytes', async () => {
    const writer = writerWith({ partBytes: 1024 * 1024 });
    const sink = writer.openStream('s', 'blob');
    await sink.write(randomBytes(2 * 1024 * 1024));
    await sink.end();
    const sealed = await writer.finish();
    expect(sealed.storedBytes - sealed.sourceBytes).toBeLessThan(200);
  });

  test('parts grow, the memory for them does not', () => {
    expect([partBytesOf(1), partBytesOf(growFromPart - 1), partBytesOf(growFromPart)]).toEqual([
      2 ** 24,
      2 ** 24,
      2 ** 25,
    ]);
    for (const threads of [1, 2, 4])
      for (const n of [1, growFromPart, 10 ** 6])
        expect(slotsFor(threads, partBytesOf(n)) * partBytesOf(n)).toBeLessThanOrEqual(6 * 2 ** 24);
  });
});
