/**
 * Seals WAL under a data key that lives in this object's memory only: made fresh, wrapped for the recipients before its first use, and gone with the
 * process. The number of the object is the nonce, counted here alone, so that no nonce repeats under one key whatever crashes.
 */
import { randomUUID } from 'node:crypto';
import type { Compression } from '../../domain/backup.ts';
import { idFromUuid } from '../../domain/ids.ts';
import { keyFile } from '../repository/layout.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { AgeAudience } from '../vault/age-file.ts';
import { slotBytes } from '../vault/crypto-jobs.ts';
import { sealWal } from '../vault/crypto-pool.ts';
import type { HostKey } from '../vault/host-key.ts';
import { generateAttemptKeys, wrapKeys } from '../vault/keys.ts';
import { sha256Hex } from '../vault/sums.ts';
import type { FoundPoint } from './restore-points.ts';
import type { WalSealJob } from './seal-job.ts';
import { encodeWalHeader, placeOf, type WalHeader } from './wal-object.ts';

/** After so many objects another key is taken: also that old WAL can go together with its keys. */
const objectsPerKey = 20_000;
const attempt = 'wal';

export interface SealerOptions {
  readonly hostKey: HostKey;
  readonly audience: AgeAudience;
  readonly compression: Compression;
  readonly level: number;
}

interface Key {
  readonly id: string;
  readonly dataKey: Uint8Array;
  readonly file: Uint8Array;
  used: number;
}

export interface SealedWal {
  readonly object: Buffer;
  /** Of the whole object, hex, for a store that checks what it took; computed when first asked for. */
  readonly sha256: () => string;
  /** Of the key; absent for what has no body. */
  readonly key: string | undefined;
}

export interface SealedStretch extends SealedWal {
  /** Found on the way. */
  readonly points: readonly FoundPoint[];
  /** Holds the object: to be used again only when that is stored. */
  readonly slot: ArrayBuffer;
}

type Header = Omit<WalHeader, 'signer' | 'body' | 'key' | 'n' | 'compression' | 'plainBytes' | 'format'>;

export class WalSealer {
  private readonly options: SealerOptions;
  private key: Promise<Key> | undefined;
  private current: Key | undefined;
  private readonly files = new Map<string, Uint8Array>();
  private readonly stored = new WeakMap<ObjectStore, Set<string>>();

  constructor(options: SealerOptions) {
    this.options = options;
  }

  private nextKey(): Promise<Key> {
    if (this.key !== undefined && (this.current === undefined || this.current.used < objectsPerKey)) return this.key;
    this.current = undefined;
    this.key = this.makeKey();
    return this.key;
  }

  private async makeKey(): Promise<Key> {
    const id = `wal${idFromUuid(randomUUID())}`;
    const keys = generateAttemptKeys(id, attempt);
    const file = await wrapKeys(keys, this.options.audience);
    this.files.set(id, file);
    this.current = { id, dataKey: keys.dataKey, file, used: 0 };
    return this.current;
  }

  /** `slot` is handed over; `plainBytes` of plaintext lie in it from {@link plainAt} on, see {@link roomFor}. */
  async seal(header: Header, slot: ArrayBuffer, plainBytes: number, scan?: WalSealJob['scan']): Promise<SealedStretch> {
    const { compression, level, hostKey } = this.options;
    const key = await this.nextKey();
    const n = ++key.used;
    const sealed = await sealWal({ type: 'sealWal', slot, at: plainAt, plainBytes, name: { backup: key.id, attempt: placeOf(header), n }, key: key.dataKey, compression, level, ...(scan && { scan }) });
    const head = encodeWalHeader({ ...header, format: 1, key: key.id, n, plainBytes, compression }, { bytes: sealed.storedBytes, sha256: sealed.sha256 }, hostKey);
    let object: Buffer;
    if (head.length <= plainAt) {
      // In front of the body, where room was left for it: nothing is copied.
      object = Buffer.from(sealed.slot, plainAt - head.length, head.length + sealed.storedBytes);
      head.copy(object);
    } else object = Buffer.concat([head, new Uint8Array(sealed.slot, plainAt, sealed.storedBytes)]);
    return { object, sha256: once(() => sha256Hex(object)), key: key.id, points: sealed.points, slot: sealed.slot };
  }

  /** Signed, without content. */
  sign(header: Header): SealedWal {
    const object = encodeWalHeader({ ...header, format: 1, plainBytes: 0, compression: 'none' }, { bytes: 0, sha256: sha256Hex(new Uint8Array(0)) }, this.options.hostKey);
    return { object, sha256: once(() => sha256Hex(object)), key: undefined };
  }

  /** The wrapped key lies in a repository before anything sealed under it does. */
  async storeKey(store: ObjectStore, id: string, signal: AbortSignal): Promise<void> {
    const known = this.stored.get(store) ?? new Set<string>();
    this.stored.set(store, known);
    if (known.has(id)) return;
    const file = this.files.get(id);
    if (file === undefined) return;
    try {
      await store.put(keyFile(id, 1), file, { ifAbsent: true, signal });
    } catch (error) {
      if (!isResurgoError(error, 'objectExists')) throw error;
    }
    known.add(id);
  }
}

/** Where the plaintext begins in a slot: more than nearly every header takes. */
export const plainAt = 32 * 1024;
/** Memory that sealing so many bytes needs. */
export const roomFor = (plainBytes: number): number => plainAt + slotBytes(plainBytes);
export const walKeyAttempt = attempt;

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
