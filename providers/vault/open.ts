import type { BackupIndex, BackupRef, FileRecord, Manifest, PartRecord, StreamRecord } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, ExtractOptions, ExtractResult, ObjectStore } from '../../domain/ports.ts';
import { keysOf } from '../repository/layout.ts';
import { release } from './crypto-jobs.ts';
import { cryptoThreads } from './crypto-pool.ts';
import { extractStream } from './extract.ts';
import { openIndex } from './index-file.ts';
import { parseManifest } from './manifest.ts';
import { openKeys, openMetadataKey } from './open-keys.ts';
import type { Credentials } from './open-keys.ts';
import { readParts } from './part-reader.ts';
import type { PartSource } from './part-reader.ts';
import { sha256Hex } from './sums.ts';

export { openKeys } from './open-keys.ts';
export type { Credentials, OpenKeysOptions } from './open-keys.ts';

export interface OpenBackupOptions {
  /** In order of preference. */
  readonly stores: readonly ObjectStore[];
  readonly ref: BackupRef;
  readonly credentials: Credentials;
  /** Public keys of the hosts that may have signed; see {@link parseManifest}. */
  readonly trusted?: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Opens a backup for reading. With an identity or passphrase everything can be read, with the host key only the index.
 * Manifest, index and every part come from the first store whose copy is whole.
 * @throws manifestInvalid, manifestSignature, wrongKey, keyMissing, partMissing, partCorrupt
 */
export async function openBackup(options: OpenBackupOptions): Promise<BackupReader> {
  const { stores, ref, credentials, trusted, signal } = options;
  const objects = keysOf(ref);
  const get = { ...(signal && { signal }) };
  const manifest = await firstGood(stores, async (store) =>
    parseManifest(await getObject(store, objects.manifest, ref, get), { ref, ...(trusted && { trusted }) }),
  );
  const keyOptions = { stores, backup: ref.id, attempt: manifest.attempt, credentials, ...get };
  const onlyHostKey =
    credentials.keys === undefined &&
    (credentials.identities ?? []).length === 0 &&
    credentials.passphrase === undefined;
  const keys = onlyHostKey ? undefined : await openKeys(keyOptions);
  const { metadataKey } = keys ?? (await openMetadataKey(keyOptions));
  const index = await firstGood(stores, async (store) => {
    const bytes = await getObject(store, objects.index, ref, get);
    const found = sha256Hex(bytes);
    if (found !== manifest.digests.index)
      throw new ResurgoError(
        'partCorrupt',
        `${objects.index} in ${store.name}: SHA-256 is ${found}, the manifest says ${manifest.digests.index}`,
      );
    return openIndex(bytes, metadataKey, ref.id, manifest.attempt);
  });
  return new Reader(manifest, index, {
    stores,
    ref,
    attempt: manifest.attempt,
    compression: manifest.compression,
    keys,
  });
}

/** Objects of a published backup: their absence is damage. */
export async function getObject(
  store: ObjectStore,
  key: string,
  ref: BackupRef,
  options: { signal?: AbortSignal },
): Promise<Buffer> {
  try {
    return await store.get(key, options);
  } catch (error) {
    if (isResurgoError(error, 'objectMissing'))
      throw new ResurgoError('partMissing', `${key} of backup ${ref.name} is not in ${store.name}`, { cause: error });
    throw error;
  }
}

async function firstGood<T>(stores: readonly ObjectStore[], read: (store: ObjectStore) => Promise<T>): Promise<T> {
  let problem: ResurgoError | undefined;
  for (const store of stores) {
    try {
      return await read(store);
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
      // "Not here" says less than "here, but bad".
      problem = problem === undefined || isResurgoError(problem, 'partMissing') ? error : problem;
    }
  }
  throw problem ?? new ResurgoError('bug', 'a backup was opened without a store');
}

class Reader implements BackupReader {
  readonly manifest: Manifest;
  readonly index: BackupIndex;
  readonly #source: PartSource;

  constructor(manifest: Manifest, index: BackupIndex, source: PartSource) {
    this.manifest = manifest;
    this.index = index;
    this.#source = source;
  }

  extract(options: ExtractOptions): Promise<ExtractResult> {
    return extractStream(this.#source, this.#stream(options.stream), this.#parts(options.stream), options);
  }

  async read(name: string, path?: string, signal?: AbortSignal): Promise<Buffer> {
    const stream = this.#stream(name);
    const [from, bytes] = path === undefined ? [0, stream.bytes] : range(stream, path);
    const result = Buffer.allocUnsafe(bytes);
    const parts = this.#parts(name).filter(
      (part) => part.offset < from + bytes && part.offset + part.plainBytes > from,
    );
    for await (const { part, plain } of readParts(this.#source, parts, cryptoThreads, signal)) {
      const begin = Math.max(from - part.offset, 0);
      result.set(
        plain.subarray(begin, Math.min(from + bytes - part.offset, part.plainBytes)),
        part.offset + begin - from,
      );
      release(plain);
    }
    if (path === undefined && stream.sha256 !== undefined && sha256Hex(result) !== stream.sha256)
      throw new ResurgoError(
        'contentMismatch',
        `stream ${name} of backup ${this.#source.ref.name}: its SHA-256 is not what was noted when it was written`,
      );
    return result;
  }

  async *stream(name: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
    this.#stream(name);
    for await (const { plain } of readParts(this.#source, this.#parts(name), cryptoThreads + 1, signal))
      yield Buffer.from(plain.buffer, plain.byteOffset, plain.length);
  }

  #stream(name: string): StreamRecord {
    const stream = this.index.streams.find((each) => each.name === name);
    if (stream === undefined)
      throw new ResurgoError(
        'objectMissing',
        `backup ${this.#source.ref.name} has no stream ${name}; it has ${this.index.streams.map((each) => each.name).join(', ')}`,
      );
    return stream;
  }

  #parts(stream: string): PartRecord[] {
    return this.index.parts.filter((part) => part.stream === stream);
  }
}

function range(stream: StreamRecord, path: string): [number, number] {
  let file: FileRecord | undefined = stream.files?.find((each) => each.path === path);
  if (file?.type === 'hardlink')
    file = stream.files?.find((each) => each.type === 'file' && each.path === file?.linkTarget);
  if (file?.type !== 'file')
    throw new ResurgoError('objectMissing', `stream ${stream.name} has no file ${JSON.stringify(path)}`);
  return [file.offset, file.size];
}
