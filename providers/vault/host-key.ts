import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { generateX25519Identity } from 'age-encryption';
import { ResurgoError } from '../../domain/errors.ts';
import { recipientOf } from './identity-file.ts';

/**
 * What a backup host owns: it signs manifests, and opens the metadata (not the data) of its own backups.
 * Kept in a file of mode 0600; the two public halves go into the configuration of whoever restores.
 */
export interface HostKey {
  readonly signingKey: KeyObject;
  /** Raw ed25519 public key, base64. */
  readonly publicKey: string;
  /** age identity of the host metadata key. */
  readonly identity: string;
  /** Its recipient. */
  readonly recipient: string;
}

/** DER before the 32 seed bytes of an ed25519 private key (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
/** DER before the 32 bytes of an ed25519 public key (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export async function generateHostKey(): Promise<HostKey> {
  return make(generateKeyPairSync('ed25519').privateKey, await generateX25519Identity());
}

/** The text of the host key file. Secret. */
export function formatHostKey(key: HostKey): string {
  const seed = key.signingKey.export({ type: 'pkcs8', format: 'der' }).subarray(pkcs8Prefix.length);
  return [
    '# Resurgo host key. SECRET: mode 0600, never into a repository or a log.',
    '# It signs the manifests of this host and opens the metadata (not the data) of its backups.',
    `# public key: ${key.publicKey}`,
    `# recipient:  ${key.recipient}`,
    `signing-key = ed25519:${seed.toString('base64')}`,
    `metadata-identity = ${key.identity}`,
    '',
  ].join('\n');
}

/**
 * Reads the text of a host key file.
 * @throws configInvalid; the message never quotes the text
 */
export async function parseHostKey(text: string, name = 'host key'): Promise<HostKey> {
  const fields = new Map<string, string>();
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const at = line.indexOf('=');
    const field = line.slice(0, Math.max(at, 0)).trim();
    if (field !== 'signing-key' && field !== 'metadata-identity')
      throw new ResurgoError(
        'configInvalid',
        `${name}, line ${String(index + 1)}: neither signing-key nor metadata-identity`,
      );
    if (fields.has(field))
      throw new ResurgoError('configInvalid', `${name}, line ${String(index + 1)}: ${field} a second time`);
    fields.set(field, line.slice(at + 1).trim());
  }
  const signing = fields.get('signing-key');
  const identity = fields.get('metadata-identity');
  if (signing === undefined || identity === undefined)
    throw new ResurgoError(
      'configInvalid',
      `${name}: it has no ${signing === undefined ? 'signing-key' : 'metadata-identity'}`,
    );
  const seed = /^ed25519:([A-Za-z0-9+/]{43}=)$/.exec(signing)?.[1];
  if (seed === undefined)
    throw new ResurgoError('configInvalid', `${name}: its signing-key is not ed25519: and 32 bytes of base64`);
  return make(
    createPrivateKey({ key: Buffer.concat([pkcs8Prefix, Buffer.from(seed, 'base64')]), format: 'der', type: 'pkcs8' }),
    identity,
    name,
  );
}

/** What others need to know of a host: the key that signs, the recipient for its metadata. Not secret. */
export function hostPublic(key: HostKey): { readonly publicKey: string; readonly recipient: string } {
  return { publicKey: key.publicKey, recipient: key.recipient };
}

/** An ed25519 signature, base64. */
export function signWith(key: HostKey, message: Uint8Array): string {
  return sign(null, message, key.signingKey).toString('base64');
}

/** A raw ed25519 public key as a key object; undefined when it is not 32 bytes of base64. */
export function publicKeyObject(base64: string): KeyObject | undefined {
  const raw = Buffer.from(base64, 'base64');
  if (raw.length !== 32 || raw.toString('base64') !== base64) return undefined;
  return createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
}

async function make(signingKey: KeyObject, identity: string, name = 'host key'): Promise<HostKey> {
  const publicKey = createPublicKey(signingKey)
    .export({ type: 'spki', format: 'der' })
    .subarray(spkiPrefix.length)
    .toString('base64');
  return { signingKey, publicKey, identity, recipient: await recipientOf(identity, `${name}, metadata-identity`) };
}
