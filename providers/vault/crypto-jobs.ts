import { createHash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Compression } from '../../domain/backup.ts';
import { cipherFor, decipherFor, tagBytes } from './part-cipher.ts';
import type { SealedName } from './part-cipher.ts';
import { writeExtents } from './write-extents.ts';
import type { Extent } from './write-extents.ts';

/** Work for one part, done synchronously from beginning to end on one thread while its bytes are warm in the cache. */
export type CryptoJob = SealJob | OpenJob;

export interface SealJob {
  readonly type: 'seal';
  /** Plaintext from `at` on; afterwards the sealed object in its place. Handed over and handed back. */
  readonly slot: ArrayBuffer;
  /** Default 0: room in front of it is for whoever puts a header there. */
  readonly at?: number;
  readonly plainBytes: number;
  readonly name: SealedName;
  readonly key: Uint8Array;
  readonly compression: Compression;
  readonly level: number;
}
export interface SealResult {
  readonly slot: ArrayBuffer;
  readonly storedBytes: number;
  readonly sha256: string;
}

export interface OpenJob {
  readonly type: 'open';
  /** The stored object. */
  readonly object: Uint8Array;
  readonly sha256?: string;
  /** Without a key only size and checksum are looked at. */
  readonly name?: SealedName;
  readonly key?: Uint8Array;
  /** Without, the tag is checked and the content is dropped. */
  readonly content?: {
    readonly compression: Compression;
    readonly plainBytes: number;
    readonly write?: readonly Extent[];
    /** Checksums of what is written. */
    readonly crc32c?: boolean;
  };
}
export interface OpenResult {
  /** Plain bytes, unless they were written to files. */
  readonly plain?: Uint8Array;
  /** Of every extent written, in their order. */
  readonly crc32c?: readonly number[];
}

/** What was wrong with a stored object, without the words that only the caller knows. */
export class SealError extends Error {}

/** Room a sealed part may need: zstd's bound, tag. */
export const slotBytes = (plainBytes: number): number => zstdBound(plainBytes) + tagBytes;
const zstdBound = (plainBytes: number): number => plainBytes + (plainBytes >>> 8) + 1024;

/** Bytes ciphered and hashed at once: small enough to stay in the second-level cache. */
const stepBytes = 256 * 1024;

/**
 * Level 1 looks for matches of 5 bytes instead of zstd's 7. On pages of tables that gives the size of level 3 (or less) in
 * 0.4 of its time; see docs/repository-format.md#compression.
 */
const zstdParameters = (level: number): Record<number, number> => ({
  [constants.ZSTD_c_compressionLevel]: level,
  ...(level === 1 ? { [constants.ZSTD_c_minMatch]: 5 } : {}),
});

/** Gives the memory of a large buffer back at once instead of at some later garbage collection. */
export function release(bytes: Uint8Array): void {
  // Small buffers may lie in Node's shared pool.
  if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength >= 1024 * 1024) bytes.buffer.transfer(0);
}

export function sealPart(job: SealJob): SealResult {
  const begin = job.at ?? 0;
  const plain = new Uint8Array(job.slot, begin, job.plainBytes);
  // One native call: an output buffer of zstd's bound makes it write the frame straight from input to output.
  const packed =
    job.compression === 'none'
      ? plain
      : zstdCompressSync(plain, {
          chunkSize: zstdBound(job.plainBytes),
          params: zstdParameters(job.level),
        });
  const storedBytes = packed.length + tagBytes;
  if (begin + storedBytes > job.slot.byteLength)
    throw new Error(`part of ${String(job.plainBytes)} bytes grew to ${String(storedBytes)}`);
  const object = new Uint8Array(job.slot, begin, storedBytes);
  const cipher = cipherFor(job.key, job.name);
  const hash = createHash('sha256');
  for (let at = 0; at < packed.length; at += stepBytes) {
    // GCM is a stream: each step yields as many bytes as it takes, so writing over the plaintext already packed is safe.
    const step = cipher.update(packed.subarray(at, at + stepBytes));
    object.set(step, at);
    hash.update(step);
    step.buffer.transfer(0);
  }
  cipher.final();
  const tag = cipher.getAuthTag();
  object.set(tag, packed.length);
  if (packed !== plain) release(packed);
  return { slot: job.slot, storedBytes, sha256: hash.update(tag).digest('hex') };
}

/** @throws SealError when checksum, tag or content do not fit */
export function openPart(job: OpenJob): OpenResult {
  const { object, name, key, content } = job;
  if (name === undefined || key === undefined) {
    checkSum(createHash('sha256').update(object).digest('hex'), job.sha256);
    return {};
  }
  const bodyBytes = object.length - tagBytes;
  if (bodyBytes < 0) throw new SealError(`only ${String(object.length)} bytes long`);
  const hash = job.sha256 === undefined ? undefined : createHash('sha256');
  const body = object.subarray(0, bodyBytes);
  const tag = object.slice(bodyBytes);
  const decipher = decipherFor(key, name, tag);
  for (let at = 0; at < bodyBytes; at += stepBytes) {
    const sealed = body.subarray(at, at + stepBytes);
    hash?.update(sealed);
    const opened = decipher.update(sealed);
    sealed.set(opened);
    opened.buffer.transfer(0);
  }
  // The checksum first: it tells damage (a bad disk) from a wrong key or a swapped part.
  if (hash !== undefined) checkSum(hash.update(tag).digest('hex'), job.sha256);
  try {
    decipher.final();
  } catch {
    throw new SealError(
      'its authentication tag does not fit: altered, of another backup or place, or sealed with another key',
    );
  }
  if (content === undefined) return {};
  const plain = content.compression === 'none' ? body : decompress(body, content.plainBytes);
  if (plain.length !== content.plainBytes)
    throw new SealError(`it holds ${String(plain.length)} plain bytes, expected ${String(content.plainBytes)}`);
  if (content.write === undefined) return { plain };
  const crc32c = writeExtents(plain, content.write, content.crc32c);
  if (plain !== body) release(plain);
  return crc32c === undefined ? {} : { crc32c };
}

function decompress(body: Uint8Array, plainBytes: number): Uint8Array {
  try {
    // One byte more than needed: a full output buffer would make Node ask for another one.
    return zstdDecompressSync(body, {
      chunkSize: Math.max(plainBytes + 1, 64),
      maxOutputLength: Math.max(plainBytes, 1),
    });
  } catch (cause) {
    throw new SealError(`it does not decompress: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function checkSum(found: string, expected: string | undefined): void {
  if (expected !== undefined && found !== expected) throw new SealError(`SHA-256 is ${found}, expected ${expected}`);
}
