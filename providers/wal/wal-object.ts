/**
 * One object of the WAL archive: `RESURWAL`, length of the header (4 bytes, big-endian), ed25519 signature (64 bytes) of the header, header
 * (canonical JSON, clear text), body (ciphertext and tag, or nothing). The header holds the SHA-256 of the body, so every byte hangs on the signature,
 * and a host without the identity can check what it reads.
 */
import { createHash, verify } from 'node:crypto';
import { z } from 'zod';
import { ResurgoError } from '../../domain/errors.ts';
import { canonicalJson } from '../vault/canonical-json.ts';
import { publicKeyObject, signWith, type HostKey } from '../vault/host-key.ts';

const magic = Buffer.from('RESURWAL');
const headerAt = magic.length + 4 + 64;
/** More than any header has: so much is read when only the header is wanted. */
export const headerRoom = 128 * 1024;

const hex = z.string().regex(/^[0-9A-F]{16}$/);
const headerSchema = z.object({
  format: z.literal(1),
  kind: z.enum(['wal', 'mark', 'history', 'point']),
  target: z.string(),
  systemId: z.string(),
  lineage: z.string(),
  timeline: z.number().int().positive(),
  start: hex,
  end: hex,
  /** ISO; what was committed before lies below `end`. */
  time: z.string().optional(),
  /** (ms, position) met inside. */
  samples: z.array(z.tuple([z.number(), hex])).optional(),
  /** Key id and number under which the body is sealed. */
  key: z.string().optional(),
  n: z.number().int().positive().optional(),
  plainBytes: z.number().int().nonnegative(),
  compression: z.enum(['zstd', 'none']),
  body: z.strictObject({ bytes: z.number().int().nonnegative(), sha256: z.string() }),
  /** Of a history file: the timelines it descends from. */
  ancestors: z.array(z.tuple([z.number().int().positive(), hex])).optional(),
  /** Of a history file: SHA-256 of its plaintext. */
  sha256: z.string().optional(),
  /** Of a restore point. */
  point: z.string().optional(),
  signer: z.string(),
});
export type WalHeader = z.output<typeof headerSchema>;

/** What a sealed body is bound to besides its key: it does not open in another place. */
export const placeOf = (header: Pick<WalHeader, 'kind' | 'lineage' | 'timeline' | 'start' | 'end'>): string => `${header.kind}.${header.lineage}.${String(header.timeline)}.${header.start}.${header.end}`;

/** Everything in front of the body. */
export function encodeWalHeader(header: Omit<WalHeader, 'signer' | 'body'>, body: WalHeader['body'], hostKey: HostKey): Buffer {
  const text = Buffer.from(canonicalJson({ ...header, body, signer: hostKey.publicKey }));
  const head = Buffer.allocUnsafe(headerAt + text.length);
  magic.copy(head);
  head.writeUInt32BE(text.length, magic.length);
  Buffer.from(signWith(hostKey, signedBytes(text)), 'base64').copy(head, magic.length + 4);
  text.copy(head, headerAt);
  return head;
}

const signedBytes = (header: Uint8Array): Buffer => Buffer.concat([Buffer.from('resurgo/1|wal|'), header]);

/** @throws walDamaged when it is no object of the archive, altered, or too short; manifestSignature when its signer is not trusted */
export function parseWalHeader(bytes: Buffer, what: string, trusted: readonly string[]): { header: WalHeader; bodyAt: number } {
  const bad = (why: string): ResurgoError => new ResurgoError('walDamaged', `${what}: ${why}`);
  if (bytes.length < headerAt || !bytes.subarray(0, magic.length).equals(magic)) throw bad(`its ${String(bytes.length)} bytes are no object of the WAL archive`);
  const length = bytes.readUInt32BE(magic.length);
  if (length > headerRoom - headerAt || headerAt + length > bytes.length) throw bad('it is cut off in its header');
  const text = bytes.subarray(headerAt, headerAt + length);
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch {
    throw bad('its header is not JSON');
  }
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success) throw bad(`its header is not valid: ${z.prettifyError(parsed.error).split('\n')[0] ?? ''}`);
  const header = parsed.data;
  const key = publicKeyObject(header.signer);
  if (key === undefined || !verify(null, signedBytes(text), key, bytes.subarray(magic.length + 4, headerAt))) throw bad('its signature does not fit: it was altered');
  if (trusted.length > 0 && !trusted.includes(header.signer)) throw new ResurgoError('manifestSignature', `${what}: signed by ${header.signer}, which is none of the trusted host keys`);
  return { header, bodyAt: headerAt + length };
}

/** Header and body of a whole object; the body's checksum is left to who reads it. @throws walDamaged, manifestSignature */
export function splitWalObject(bytes: Buffer, what: string, trusted: readonly string[]): { header: WalHeader; body: Buffer } {
  const { header, bodyAt } = parseWalHeader(bytes, what, trusted);
  const body = bytes.subarray(bodyAt);
  if (body.length !== header.body.bytes) throw new ResurgoError('walDamaged', `${what}: it has ${String(body.length)} bytes of content, its header says ${String(header.body.bytes)}`);
  return { header, body };
}

/** Header and body of a whole object, everything checked that needs no key. @throws walDamaged, manifestSignature */
export function parseWalObject(bytes: Buffer, what: string, trusted: readonly string[]): { header: WalHeader; body: Buffer } {
  const { header, body } = splitWalObject(bytes, what, trusted);
  const found = createHash('sha256').update(body).digest('hex');
  if (found !== header.body.sha256) throw new ResurgoError('walDamaged', `${what}: SHA-256 of its content is ${found}, expected ${header.body.sha256}`);
  return { header, body };
}
