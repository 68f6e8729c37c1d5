import type { AttemptKeys, BackupIndex, BackupRef, Manifest, StreamRecord, VerifyDepth } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore, VerifyResult } from '../../domain/ports.ts';
import { throwIfAborted } from '../repository/abort.ts';
import { mapBounded } from '../repository/bounded.ts';
import { keysOf, partName } from '../repository/layout.ts';
import { BlobDigest } from './blob-digest.ts';
import { release } from './crypto-jobs.ts';
import { cryptoThreads } from './crypto-pool.ts';
import { openIndex } from './index-file.ts';
import { checkKeyFiles } from './key-files.ts';
import type { KeyFileDigests } from './key-files.ts';
import { parseManifest } from './manifest.ts';
import { getObject } from './open.ts';
import { readPart, readParts, readStored } from './part-reader.ts';
import { parseSha256Sums, sha256Hex } from './sums.ts';

/** Sees the plaintext of every stream, whole and in order, and says what is wrong by throwing `contentMismatch`. */
export interface ContentChecker {
  /** `chunk` is valid only until the call returns or its promise settles. */
  write(stream: StreamRecord, chunk: Uint8Array): void | Promise<void>;
  /** After the last byte of a stream; also for empty ones. */
  endStream?(stream: StreamRecord): void | Promise<void>;
  /** After the last stream. */
  end?(): void | Promise<void>;
}
/** Makes the checker of one verification. */
export type EngineCheck = (context: {
  readonly manifest: Manifest;
  readonly index: BackupIndex;
}) => ContentChecker | Promise<ContentChecker>;

export interface VerifyOptions {
  readonly store: ObjectStore;
  readonly ref: BackupRef;
  /** Signed manifest to verify against: before publishing it is not in the store yet. */
  readonly manifestBytes: Uint8Array;
  /** Public keys of trusted hosts; see {@link parseManifest}. */
  readonly trusted?: readonly string[];
  /** Needed for `authenticated` and `content`; for `checksum` they let the index be opened too. */
  readonly keys?: AttemptKeys;
  readonly depth: VerifyDepth;
  /** What the wrapped keys must be, where that is known; see {@link checkKeyFiles}. */
  readonly keyFiles?: KeyFileDigests;
  /** The engine's own check; depth `content` only. */
  readonly engineCheck?: EngineCheck;
  readonly signal?: AbortSignal;
  /** Called with stored bytes read since the last call. */
  readonly onProgress?: (bytes: number) => void;
}

/**
 * Reads a stored backup back, every byte, from the store itself. Every depth looks for the wrapped keys too.
 * `checksum`: size and SHA-256 of every object against SHA256SUMS, whose own digest and that of the index stand in the signed manifest;
 * `authenticated`: also every GCM tag, so that it is known to open with its keys;
 * `content`: also decompressed, blobs against their SHA-256 and everything against the engine's check.
 * @throws manifestInvalid, manifestSignature, partMissing, partCorrupt, contentMismatch, keyMissing, cancelled
 */
export async function verifyStored(options: VerifyOptions): Promise<VerifyResult> {
  const { store, ref, depth, keys, signal } = options;
  throwIfAborted(signal, 'The verification');
  if (depth !== 'checksum' && keys === undefined)
    throw new ResurgoError(
      'keyMissing',
      `backup ${ref.name}: depth "${depth}" needs the data key; without it only "checksum" is possible`,
    );
  const manifest = parseManifest(options.manifestBytes, { ref, ...(options.trusted && { trusted: options.trusted }) });
  if (keys !== undefined && (keys.backup !== manifest.id || keys.attempt !== manifest.attempt))
    throw new ResurgoError(
      'wrongKey',
      `backup ${ref.name}: the keys given are those of backup ${keys.backup}, attempt ${keys.attempt}`,
    );
  await checkPublished(options);
  await checkKeyFiles(store, manifest, options.keyFiles, signal);
  const { parts, indexBytes } = await readSums(options, manifest);
  const source = { stores: [store], ref, attempt: manifest.attempt, compression: manifest.compression, keys };
  const storedBytes = indexBytes.length;
  if (keys === undefined)
    return { depth, parts: parts.length, bytes: storedBytes + (await checkSums(options, manifest, parts)) };

  const index = openIndex(indexBytes, keys.metadataKey, ref.id, manifest.attempt);
  checkAgainst(index, manifest, parts);
  const bytes = storedBytes + index.parts.reduce((sum, part) => sum + part.storedBytes, 0);
  if (depth === 'content') await checkContent(options, source, manifest, index);
  else
    await mapBounded(index.parts, cryptoThreads + 1, async (part) => {
      await readPart(source, part, depth, signal);
      options.onProgress?.(part.storedBytes);
    });
  return { depth, parts: parts.length, bytes };
}

/** Where the store has the manifest already, it must be this very one. */
async function checkPublished({ store, ref, manifestBytes, signal }: VerifyOptions): Promise<void> {
  const key = keysOf(ref).manifest;
  if ((await store.head(key, signal)) === undefined) return;
  const published = await getObject(store, key, ref, signal ? { signal } : {});
  if (!published.equals(manifestBytes))
    throw new ResurgoError('manifestInvalid', `${key} in ${store.name} is not the manifest that was to be verified`);
}

interface SumsPart {
  readonly n: number;
  readonly sha256: string;
}

/** SHA256SUMS and index, both against the digests in the manifest. */
async function readSums(
  { store, ref, signal }: VerifyOptions,
  manifest: Manifest,
): Promise<{ parts: SumsPart[]; indexBytes: Buffer }> {
  const objects = keysOf(ref);
  const digest = async (key: string, expected: string): Promise<Buffer> => {
    const bytes = await getObject(store, key, ref, signal ? { signal } : {});
    const found = sha256Hex(bytes);
    if (found !== expected)
      throw new ResurgoError(
        'partCorrupt',
        `${key} in ${store.name}: SHA-256 is ${found}, the manifest says ${expected} (${String(bytes.length)} bytes)`,
      );
    return bytes;
  };
  const sumsBytes = await digest(objects.sums, manifest.digests.sha256sums);
  const indexBytes = await digest(objects.index, manifest.digests.index);
  const entries = parseSha256Sums(sumsBytes, objects.sums);
  const bad = (why: string) => new ResurgoError('manifestInvalid', `${objects.sums}: ${why}`);
  const last = entries.pop();
  if (last?.path !== 'index' || last.sha256 !== manifest.digests.index)
    throw bad('its last line is not the index of the manifest');
  const parts = entries.map(({ path, sha256 }, i) => {
    if (path !== `parts/${partName(manifest.attempt, i + 1)}`)
      throw bad(`line ${String(i + 1)} names ${path}, not part ${String(i + 1)} of attempt ${manifest.attempt}`);
    return { n: i + 1, sha256 };
  });
  if (parts.length !== manifest.counts.parts)
    throw bad(`it lists ${String(parts.length)} parts, the manifest says ${String(manifest.counts.parts)}`);
  return { parts, indexBytes };
}

/** Without keys the sizes of single parts are unknown, but not their sum. */
async function checkSums(
  { store, ref, signal, onProgress }: VerifyOptions,
  manifest: Manifest,
  parts: readonly SumsPart[],
): Promise<number> {
  let total = 0;
  const source = {
    stores: [store],
    ref,
    attempt: manifest.attempt,
    compression: manifest.compression,
    keys: undefined,
  };
  await mapBounded(parts, cryptoThreads + 1, async (part) => {
    throwIfAborted(signal, 'The verification');
    const { storedBytes } = await readStored(store, source, part, 'checksum', signal);
    total += storedBytes;
    onProgress?.(storedBytes);
  });
  if (total !== manifest.bytes.stored)
    throw new ResurgoError(
      'partCorrupt',
      `backup ${ref.name} in ${store.name}: its parts have ${String(total)} bytes together, the manifest says ${String(manifest.bytes.stored)}`,
    );
  return total;
}

/** Index, checksum list and manifest must tell the same story. */
function checkAgainst(index: BackupIndex, manifest: Manifest, sums: readonly SumsPart[]): void {
  const bad = (why: string) => new ResurgoError('manifestInvalid', `backup ${manifest.name}: ${why}`);
  if (index.parts.length !== sums.length)
    throw bad(`the index lists ${String(index.parts.length)} parts, SHA256SUMS ${String(sums.length)}`);
  for (const [i, part] of index.parts.entries())
    if (part.n !== sums[i]?.n || part.sha256 !== sums[i].sha256)
      throw bad(`index and SHA256SUMS differ about part ${String(part.n)}`);
  const stored = index.parts.reduce((sum, part) => sum + part.storedBytes, 0);
  const source = index.streams.reduce((sum, stream) => sum + stream.bytes, 0);
  if (stored !== manifest.bytes.stored || source !== manifest.bytes.source)
    throw bad(
      `the index says ${String(source)} bytes in ${String(stored)}, the manifest ${String(manifest.bytes.source)} in ${String(manifest.bytes.stored)}`,
    );
  if (index.engine.engine !== manifest.engine)
    throw bad(`the index is of a ${index.engine.engine} backup, the manifest of a ${manifest.engine} one`);
}

async function checkContent(
  options: VerifyOptions,
  source: Parameters<typeof readParts>[0],
  manifest: Manifest,
  index: BackupIndex,
): Promise<void> {
  const checker = await options.engineCheck?.({ manifest, index });
  for (const stream of index.streams) {
    const digest = new BlobDigest(stream);
    const parts = index.parts.filter((part) => part.stream === stream.name);
    for await (const { part, plain } of readParts(source, parts, cryptoThreads + 1, options.signal)) {
      throwIfAborted(options.signal, 'The verification');
      digest.write(plain);
      await checker?.write(stream, plain);
      release(plain);
      options.onProgress?.(part.storedBytes);
    }
    digest.end();
    await checker?.endStream?.(stream);
  }
  await checker?.end?.();
}
