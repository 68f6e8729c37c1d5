import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { CipherGCM, DecipherGCM } from 'node:crypto';

/** Bytes of the GCM tag at the end of every sealed object. */
export const tagBytes = 16;

/** What an object is bound to: a part moved to another backup, attempt or place does not open. */
export interface SealedName {
  readonly backup: string;
  readonly attempt: string;
  /** Part number from 1, or `index`. */
  readonly n: number | 'index';
}

function parameters(name: SealedName): { nonce: Buffer; aad: Buffer } {
  const nonce = Buffer.alloc(12);
  if (name.n !== 'index') nonce.writeBigUInt64BE(BigInt(name.n), 4);
  const kind = name.n === 'index' ? 'index' : `part|${String(name.n)}`;
  return { nonce, aad: Buffer.from(`resurgo/1|${name.backup}|${name.attempt}|${kind}`) };
}

/** AES-256-GCM with nonce and associated data as in docs/repository-format.md. One key seals one attempt only. */
export function cipherFor(key: Uint8Array, name: SealedName): CipherGCM {
  const { nonce, aad } = parameters(name);
  return createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes }).setAAD(aad);
}

/** The reverse; `tag` is checked by `final()`, so nothing it gave may be used before. */
export function decipherFor(key: Uint8Array, name: SealedName, tag: Uint8Array): DecipherGCM {
  const { nonce, aad } = parameters(name);
  return createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes }).setAAD(aad).setAuthTag(tag);
}
