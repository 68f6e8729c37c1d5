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
  /** Who can open what is sealed, as the configuration says now: asked before every object, for a sealer lives for days and a key may be given up meanwhile. */
  readonly audience: () => Promise<AgeAudience>;
  /** The audience is another than before; told once the new key is made. */
  readonly onNewAudience?: (audience: AgeAudience) => void;
  readonly compression: Compression;
  readonly level: number;
}

interface Key {
  readonly id: string;
  readonly dataKey: Uint8Array;
  used: number;
}

/** A key that is being made or is made, and for whom. */
interface Making {
  readonly key: Promise<Key>;
  readonly mark: string;
  made: Key | undefined;
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
  private making: Making | undefined;
  private readonly files = new Map<string, Uint8Array>();
  private readonly stored = new WeakMap<ObjectStore, Set<string>>();

  constructor(options: SealerOptions) {
    this.options = options;
  }

  private async nextKey(): Promise<Key> {
    const audience = await this.audienceNow();
    const before = this.making;
    if (before !== undefined && (audience === undefined || before.mark === markOf(audience)) && (before.made === undefined || before.made.used < objectsPerKey)) return before.key;
    return this.makeKey(audience ?? (await this.options.audience()), before);
  }

  /** Undefined: not to be told just now (a passphrase file that is being replaced). WAL that is not stored is lost, so the key there is goes on. */
  private async audienceNow(): Promise<AgeAudience | undefined> {
    try {
      return await this.options.audience();
    } catch (error) {
      if (this.making === undefined || !isResurgoError(error)) throw error;
      return undefined;
    }
  }

  /** Without a wait before it is noted: of several that find the key used up, the first makes the next. */
  private makeKey(audience: AgeAudience, before: Making | undefined): Promise<Key> {
    const mark = markOf(audience);
    if (this.making !== before && this.making?.mark === mark) return this.making.key;
    const making: Making = { mark, key: this.wrapKey(audience), made: undefined };
    this.making = making;
    making.key.then((key) => {
      making.made = key;
      if (before !== undefined && before.mark !== mark) this.options.onNewAudience?.(audience);
    }, () => {
      if (this.making === making) this.making = undefined;
    });
    return making.key;
  }

  private async wrapKey(audience: AgeAudience): Promise<Key> {
    const id = `wal${idFromUuid(randomUUID())}`;
    const keys = generateAttemptKeys(id, attempt);
    this.files.set(id, await wrapKeys(keys, audience));
    return { id, dataKey: keys.dataKey, used: 0 };
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

/** The same for the same people, whatever their order. Stays in memory: a passphrase is in it. */
const markOf = ({ recipients, passphrase }: AgeAudience): string => JSON.stringify([[...(recipients ?? [])].sort(), passphrase ?? null]);

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
