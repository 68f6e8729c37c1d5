import type { AttemptKeys, BackupRef, Compression, PartRecord } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { keysOf } from '../repository/layout.ts';
import { SealError } from './crypto-jobs.ts';
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
export type PartDepth = 'checksum' | 'authenticated' | 'plain' | { readonly write: readonly Extent[] };

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
  if (depth !== 'checksum') requireKeys(source);
  let problem: ResurgoError | undefined;
  for (const store of source.stores) {
    try {
      return await readFrom(store, source, part, depth, signal);
    } catch (error) {
      // Only what another copy can mend is worth another store; a full disk at the destination is not.
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
      problem = problem === undefined || isResurgoError(problem, 'partMissing') ? error : problem;
    }
  }
  throw problem ?? new ResurgoError('bug', 'a backup was opened without a store');
}

async function readFrom(
  store: ObjectStore,
  source: PartSource,
  part: PartRecord,
  depth: PartDepth,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const key = keysOf(source.ref).part(source.attempt, part.n);
  const corrupt = (why: string, cause?: unknown) =>
    new ResurgoError('partCorrupt', `part ${String(part.n)} (${key}) in ${store.name}: ${why}`, { cause });
  let object: Buffer;
  try {
    object = await store.get(key, signal && { signal });
  } catch (error) {
    if (isResurgoError(error, 'objectMissing'))
      throw new ResurgoError(
        'partMissing',
        `part ${String(part.n)} (${key}) is not in ${store.name}, expected ${String(part.storedBytes)} bytes`,
        { cause: error },
      );
    throw error;
  }
  if (object.length !== part.storedBytes)
    throw corrupt(`it has ${String(object.length)} bytes, expected ${String(part.storedBytes)}`);
  try {
    const { plain } = await open({
      type: 'open',
      object,
      sha256: part.sha256,
      ...(depth === 'checksum' || source.keys === undefined
        ? {}
        : { key: source.keys.dataKey, name: { backup: source.keys.backup, attempt: source.attempt, n: part.n } }),
      ...(typeof depth === 'object' || depth === 'plain'
        ? {
            content: {
              compression: source.compression,
              plainBytes: part.plainBytes,
              ...(typeof depth === 'object' ? { write: depth.write } : {}),
            },
          }
        : {}),
    });
    return plain;
  } catch (error) {
    if (error instanceof SealError) throw corrupt(error.message, error);
    throw error;
  }
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
