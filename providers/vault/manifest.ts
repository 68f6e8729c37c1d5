import { verify } from 'node:crypto';
import { z } from 'zod';
import type { BackupRef, Manifest, SignedManifest } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { backupName } from '../repository/layout.ts';
import { canonicalJson } from './canonical-json.ts';
import { publicKeyObject, signWith } from './host-key.ts';
import type { HostKey } from './host-key.ts';
import { manifestSchema } from './manifest-schema.ts';

export function signManifest(manifest: Manifest, key: HostKey): SignedManifest {
  const { signature: _, ...unsigned } = manifest as Manifest & { signature?: unknown };
  return {
    ...unsigned,
    signature: {
      algorithm: 'ed25519',
      publicKey: key.publicKey,
      value: signWith(key, Buffer.from(canonicalJson(unsigned))),
    },
  };
}

/** The object `manifest.json`, for people and programs. */
export function formatManifest(manifest: SignedManifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
}

export interface ParseManifestOptions {
  /** Public keys (base64) of the hosts trusted to write here. Without, only integrity is checked: anyone could have signed. */
  readonly trusted?: readonly string[];
  /** What was asked for: a genuine manifest of another backup in its place is refused. */
  readonly ref?: BackupRef;
}

/**
 * Reads `manifest.json`. Fields this version does not know are kept, and are covered by the signature.
 * @throws manifestInvalid when it is damaged, altered, of a newer format, or not the one asked for; manifestSignature when
 *   its signer is not trusted
 */
export function parseManifest(bytes: Uint8Array, options: ParseManifestOptions = {}): SignedManifest {
  const what = `manifest of ${options.ref === undefined ? 'the backup' : `backup ${options.ref.name} of ${options.ref.target}`}`;
  const bad = (why: string, cause?: unknown) => new ResurgoError('manifestInvalid', `${what}: ${why}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw bad(bytes.length === 0 ? 'the file is empty' : `the ${String(bytes.length)} bytes are not JSON`, cause);
  }
  const format: unknown =
    typeof value === 'object' && value !== null ? (value as Record<string, unknown>)['format'] : undefined;
  if (typeof format === 'number' && format > 1)
    throw new ResurgoError('repositoryFormat', `${what}: it has format ${String(format)}, this version reads 1`);
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) throw bad(z.prettifyError(parsed.error).split('\n').slice(0, 4).join(' '));
  const manifest = value as SignedManifest;
  checkSignature(manifest, options.trusted, what);
  if (manifest.name !== nameOf(manifest)) throw bad(`its name ${manifest.name} does not fit its id, kind and time`);
  if (options.ref !== undefined) {
    for (const field of ['id', 'target', 'systemId', 'name', 'kind'] as const)
      if (manifest[field] !== options.ref[field]) throw bad(`it is another backup's: ${field} is ${manifest[field]}`);
  }
  return manifest;
}

function checkSignature(manifest: SignedManifest, trusted: readonly string[] | undefined, what: string): void {
  const { signature, ...unsigned } = manifest;
  const key = publicKeyObject(signature.publicKey);
  if (key === undefined) throw new ResurgoError('manifestInvalid', `${what}: its public key is malformed`);
  // One value has one spelling: stray bits at the end of base64 would be a change nobody notices.
  if (Buffer.from(signature.value, 'base64').toString('base64') !== signature.value)
    throw new ResurgoError('manifestInvalid', `${what}: its signature is not base64`);
  if (!verify(null, Buffer.from(canonicalJson(unsigned)), key, Buffer.from(signature.value, 'base64')))
    throw new ResurgoError(
      'manifestInvalid',
      `${what}: its signature does not fit its content: it was altered after it was signed`,
    );
  if (trusted !== undefined && trusted.length > 0 && !trusted.includes(signature.publicKey))
    throw new ResurgoError(
      'manifestSignature',
      `${what}: signed by ${signature.publicKey}, which is none of the ${String(trusted.length)} trusted host keys`,
    );
}

function nameOf(manifest: SignedManifest): string | undefined {
  try {
    return backupName(manifest);
  } catch {
    return undefined; // startedAt is no time
  }
}
