import type { AttemptKeys, BackupRef, Compression, PartRecord } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { keysOf } from '../repository/layout.ts';
import { SealError } from './crypto-jobs.ts';
import type { OpenJob, OpenResult } from './crypto-jobs.ts';
import { open } from './crypto-pool.ts';
import type { Extent } from './write-extents.ts';

export interface PartSource {
  readonly stores: readonly ObjectStore[];
  readonly ref: BackupRef;
  readonly attempt: string;
  readonly compression: Compression;
  /** Undefined when only the metadata key is at hand. */
  readonly keys: AttemptKeys | undefined;
}

/** How deep a part is looked at: stored checksum, also its tag, or its content. */
export type PartDepth = 'checksum' | 'authenticated' | 'plain' | WriteDepth;

/** The content goes to files. */
export interface WriteDepth {
  readonly write: readonly Extent[];
  /** Also compute the CRC-32C of every extent. */
  readonly crc32c?: boolean;
}

/** @throws keyMissing when only the metadata key is at hand */
export function requireKeys(source: PartSource): void {
  if (source.keys === undefined)
    throw new ResurgoError(
      'keyMissing',
      `backup ${source.ref.name}: only the metadata key is at hand, its content needs the identity or passphrase`,
    );
}

/**
 * Reads one part from the first store whose copy is whole.
 * @returns plain bytes for depth `plain`, else undefined
 * @throws keyMissing, partMissing, partCorrupt, or the error of the store
 */
export async function readPart(
  source: PartSource,
  part: PartRecord,
  depth: PartDepth,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  return (await openFromStores(source, part, depth, signal)).plain;
}

/**
 * Reads one part and writes it to files.
 * @returns CRC-32C of every extent, or nothing when not asked for
 * @throws like {@link readPart}, and the errors of the file system
 */
export async function writePart(
  source: PartSource,
  part: PartRecord,
  depth: WriteDepth,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  return (await openFromStores(source, part, depth, signal)).crc32c ?? [];
}

async function openFromStores(
  source: PartSource,
  part: PartRecord,
  depth: PartDepth,
  signal?: AbortSignal,
): Promise<OpenResult> {
  if (depth !== 'checksum') requireKeys(source);
  let problem: ResurgoError | undefined;
  for (const store of source.stores) {
    try {
      return await readStored(store, source, part, depth, signal);
    } catch (error) {
      // Only what another copy can mend is worth another store; a full disk at the destination is not.
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
      problem = problem === undefined || isResurgoError(problem, 'partMissing') ? error : problem;
    }
  }
  throw problem ?? new ResurgoError('bug', 'a backup was opened without a store');
}

/** What is known of a part from SHA256SUMS alone. */
type ListedPart = Pick<PartRecord, 'n' | 'sha256'> & Partial<PartRecord>;

/** Reads one part from one store. @throws partMissing, partCorrupt, or the error of the store */
export async function readStored(
  store: ObjectStore,
  source: PartSource,
  part: ListedPart,
  depth: PartDepth,
  signal?: AbortSignal,
): Promise<OpenResult & { readonly storedBytes: number }> {
  const key = keysOf(source.ref).part(source.attempt, part.n);
  const what = `part ${String(part.n)} (${key})`;
  const corrupt = (why: string, cause?: unknown) =>
    new ResurgoError('partCorrupt', `${what} in ${store.name}: ${why}`, { cause });
  let object: Buffer;
  try {
    object = await store.get(key, signal && { signal });
  } catch (cause) {
    if (!isResurgoError(cause, 'objectMissing')) throw cause;
    const expected = part.storedBytes === undefined ? part.sha256 : `${String(part.storedBytes)} bytes`;
    throw new ResurgoError('partMissing', `${what} is not in ${store.name}, expected ${expected}`, { cause });
  }
  const storedBytes = object.length;
  if (part.storedBytes !== undefined && storedBytes !== part.storedBytes)
    throw corrupt(`it has ${String(storedBytes)} bytes, expected ${String(part.storedBytes)}`);
  try {
    return { ...(await open(jobFor(source, part, depth, object))), storedBytes };
  } catch (error) {
    if (error instanceof SealError) throw corrupt(error.message, error);
    throw error;
  }
}

function jobFor(source: PartSource, part: ListedPart, depth: PartDepth, object: Buffer): OpenJob {
  const { keys, attempt, compression } = source;
  const job = { type: 'open', object, sha256: part.sha256 } as const;
  if (depth === 'checksum' || keys === undefined) return job;
  const tag = { ...job, key: keys.dataKey, name: { backup: keys.backup, attempt, n: part.n } };
  if (depth === 'authenticated') return tag;
  const content = { compression, plainBytes: part.plainBytes ?? 0 };
  return { ...tag, content: depth === 'plain' ? content : { ...content, ...depth } };
}

/** Parts in order, read ahead by a bounded number; the consumer's pace is the pace. */
export async function* readParts(
  source: PartSource,
  parts: readonly PartRecord[],
  ahead: number,
  signal?: AbortSignal,
): AsyncGenerator<{ part: PartRecord; plain: Uint8Array }> {
  const window: { part: PartRecord; plain: Promise<Uint8Array | undefined> }[] = [];
  let next = 0;
  const refill = (): void => {
    while (window.length < ahead && next < parts.length) {
      const part = parts[next++];
      if (part === undefined) return;
      const plain = readPart(source, part, 'plain', signal);
      plain.catch(() => undefined); // met when its turn comes
      window.push({ part, plain });
    }
  };
  try {
    refill();
    for (let head = window.shift(); head !== undefined; head = window.shift()) {
      yield { part: head.part, plain: (await head.plain) ?? new Uint8Array() };
      refill();
    }
  } finally {
    await Promise.allSettled(window.map((each) => each.plain));
  }
}
