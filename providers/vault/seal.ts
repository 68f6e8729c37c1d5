import type { AttemptKeys, Compression, PartRecord, StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter, StreamSink } from '../../domain/ports.ts';
import { cancelled } from '../repository/abort.ts';
import { seal } from './crypto-pool.ts';
import { SealingLine } from './sealing-line.ts';
import { StreamCutter } from './stream-cutter.ts';

/** zstd level: see docs/repository-format.md#compression for the measurement behind it. */
export const defaultCompressionLevel = 1;

export interface BackupWriterOptions {
  readonly keys: AttemptKeys;
  readonly compression: Compression;
  /** zstd level 1…19; default 1. */
  readonly level?: number;
  /** Plain bytes of a part; default 16 MiB. Tests lower it. */
  readonly partBytes?: number;
  /** Part buffers in memory at once: filling, being sealed, being stored. Default: threads + 2. */
  readonly inFlight?: number;
  /**
   * Stores one object; parts may arrive out of order and several at once. `object` is valid only until the returned
   * promise settles: its memory is used again.
   */
  readonly sink: (n: number, object: Uint8Array, sha256: string) => Promise<void>;
  readonly signal?: AbortSignal;
  /** Called after every part stored. */
  readonly onProgress?: () => void;
}

export interface SealedStreams {
  readonly streams: StreamRecord[];
  readonly parts: PartRecord[];
  readonly sourceBytes: number;
  readonly storedBytes: number;
}

export interface SealingWriter extends BackupWriter {
  /** Waits until every part is stored. The first error of any part is thrown here, if no write threw it before. */
  finish(): Promise<SealedStreams>;
  /** Gives up: writers get `reason`. Returns when no sink is running any more. Safe to call at any time, also twice. */
  abort(reason?: unknown): Promise<void>;
}

/**
 * Cuts streams into parts, and compresses, encrypts, hashes and stores them, several at once.
 * @throws cancelled (from write, end and finish) when the signal fires
 */
export function createBackupWriter(options: BackupWriterOptions): SealingWriter {
  const { keys, compression, level = defaultCompressionLevel, sink, signal, onProgress } = options;
  const parts: PartRecord[] = [];
  const streams: StreamRecord[] = [];
  let sourceBytes = 0;
  let storedBytes = 0;
  let current: StreamCutter | undefined;
  let finished = false;

  const line = new SealingLine({
    partBytes: options.partBytes,
    inFlight: options.inFlight,
    work: async (slot, part) => {
      const sealed = await seal({
        type: 'seal',
        slot,
        plainBytes: part.plainBytes,
        name: { backup: keys.backup, attempt: keys.attempt, n: part.n },
        key: keys.dataKey,
        compression,
        level,
      });
      line.assertAlive();
      await sink(part.n, Buffer.from(sealed.slot, 0, sealed.storedBytes), sealed.sha256);
      storedBytes += sealed.storedBytes;
      parts.push({ ...part, storedBytes: sealed.storedBytes, sha256: sealed.sha256 });
      onProgress?.();
      return sealed.slot;
    },
  });
  const onAbort = (): void => line.fail(cancelled('The backup', signal?.reason));
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });

  return {
    get sourceBytes() {
      return sourceBytes;
    },
    get storedBytes() {
      return storedBytes;
    },
    openStream(name: string, kind: 'tar' | 'blob'): StreamSink {
      line.assertAlive();
      if (finished) throw new ResurgoError('bug', `stream ${name} opened after the end of the backup`);
      if (current !== undefined)
        throw new ResurgoError('bug', `stream ${name} opened before stream ${current.name} has ended`);
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
        throw new ResurgoError('bug', `${JSON.stringify(name)} is not a stream name`);
      if (streams.some((stream) => stream.name === name)) throw new ResurgoError('bug', `stream ${name} opened twice`);
      const cutter = new StreamCutter(name, kind, line);
      current = cutter;
      return {
        write(chunk) {
          sourceBytes += chunk.length;
          return cutter.write(chunk);
        },
        async end() {
          streams.push(await cutter.end());
          current = undefined;
        },
        async abandon() {
          streams.push(await cutter.abandon());
          current = undefined;
        },
      };
    },
    async finish() {
      finished = true;
      try {
        if (current !== undefined) line.fail(new ResurgoError('bug', `stream ${current.name} has not ended`));
        await line.drain();
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
      parts.sort((a, b) => a.n - b.n);
      return { streams, parts, sourceBytes, storedBytes };
    },
    async abort(reason) {
      finished = true;
      line.fail(reason instanceof Error ? reason : cancelled('The backup', reason));
      await line.drain().catch(() => undefined);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}
