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
import { seal } from '../vault/crypto-pool.ts';
import type { HostKey } from '../vault/host-key.ts';
import { generateAttemptKeys, wrapKeys } from '../vault/keys.ts';
import { sha256Hex } from '../vault/sums.ts';
import { encodeWalObject, placeOf, type WalHeader } from './wal-object.ts';

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
  /** Of the whole object, hex: the store checks what it took. */
  readonly sha256: string;
  /** Of the key; absent for what has no body. */
  readonly key: string | undefined;
}

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

  /** `slot` is handed over; its first `plainBytes` are the plaintext, see {@link roomFor}. */
  async seal(header: Omit<WalHeader, 'signer' | 'body' | 'key' | 'n' | 'compression' | 'plainBytes' | 'format'>, slot: ArrayBuffer, plainBytes: number): Promise<SealedWal> {
    const key = await this.nextKey();
    const n = ++key.used;
    const sealed = await seal({ type: 'seal', slot, plainBytes, name: { backup: key.id, attempt: placeOf(header), n }, key: key.dataKey, compression: this.options.compression, level: this.options.level });
    const full = { ...header, format: 1 as const, key: key.id, n, plainBytes, compression: this.options.compression };
    const object = encodeWalObject(full, new Uint8Array(sealed.slot, 0, sealed.storedBytes), sealed.sha256, this.options.hostKey);
    return { object, sha256: sha256Hex(object), key: key.id };
  }

  /** Signed, without content. */
  sign(header: Omit<WalHeader, 'signer' | 'body' | 'key' | 'n' | 'compression' | 'plainBytes' | 'format'>): SealedWal {
    const object = encodeWalObject({ ...header, format: 1, plainBytes: 0, compression: 'none' }, new Uint8Array(0), undefined, this.options.hostKey);
    return { object, sha256: sha256Hex(object), key: undefined };
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

/** Memory that sealing so many bytes needs. */
export const roomFor = slotBytes;
export const walKeyAttempt = attempt;
