import { createHash, verify } from 'node:crypto';
import { z } from 'zod';
import { ResurgoError } from '../../domain/errors.ts';
import { canonicalJson } from '../vault/canonical-json.ts';
import { publicKeyObject, signWith, type HostKey } from '../vault/host-key.ts';

const schema = z.looseObject({
  format: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  target: z.string(),
  systemId: z.string(),
  createdAt: z.string(),
  segmentBytes: z.number().int().positive(),
  /** Server version at its beginning. */
  version: z.string(),
  /** Timeline and position it begins with. */
  timeline: z.number().int().positive(),
  start: z.string(),
  parent: z.object({ lineage: z.string(), timeline: z.number().int().positive(), lsn: z.string() }).nullable(),
  /** In words. */
  reason: z.string(),
});
export type LineageFacts = z.output<typeof schema>;

export function formatLineage(facts: LineageFacts, hostKey: HostKey): Buffer {
  const signer = hostKey.publicKey;
  return Buffer.from(`${JSON.stringify({ ...facts, signature: { algorithm: 'ed25519', publicKey: signer, value: signWith(hostKey, Buffer.from(canonicalJson(facts))) } }, null, 2)}\n`);
}

/** @throws walDamaged, manifestSignature */
export function parseLineage(bytes: Buffer, what: string, trusted: readonly string[]): LineageFacts {
  const bad = (why: string): ResurgoError => new ResurgoError('walDamaged', `${what}: ${why}`);
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  } catch {
    throw bad('it is not JSON');
  }
  const { signature, ...facts } = value as { signature?: { publicKey?: string; value?: string } };
  const parsed = schema.safeParse(facts);
  if (!parsed.success) throw bad(`it is not valid: ${z.prettifyError(parsed.error).split('\n')[0] ?? ''}`);
  const key = typeof signature?.publicKey === 'string' ? publicKeyObject(signature.publicKey) : undefined;
  if (key === undefined || !verify(null, Buffer.from(canonicalJson(facts)), key, Buffer.from(signature?.value ?? '', 'base64'))) throw bad('its signature does not fit: it was altered');
  if (trusted.length > 0 && !trusted.includes(signature?.publicKey ?? '')) throw new ResurgoError('manifestSignature', `${what}: signed by ${signature?.publicKey ?? ''}, which is none of the trusted host keys`);
  return parsed.data;
}

/** The same beginning has the same id, so that a lineage that was begun twice (a crash in between, two workers) is one. */
export function lineageId(parts: readonly string[]): string {
  const hex = createHash('sha256').update(parts.join('\0')).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16)}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
