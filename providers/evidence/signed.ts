import { createHash, verify } from 'node:crypto';
import { z } from 'zod';
import { ResurgoError } from '../../domain/errors.ts';
import { evidenceKinds, type EvidenceDocument, type EvidenceSeal, type SignedEvidence } from '../../domain/evidence.ts';
import { canonicalJson } from '../vault/canonical-json.ts';
import { publicKeyObject, signWith, type HostKey } from '../vault/host-key.ts';

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Digest of a document without seal and signature: names the same evidence in every repository. */
export const digestOf = (document: EvidenceDocument): string => sha256Hex(Buffer.from(canonicalJson(bare(document))));

const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is not a time');
const finite = z.number();
const documentShape = {
  schemaVersion: z.literal(1),
  kind: z.enum(evidenceKinds as [EvidenceDocument['kind'], ...EvidenceDocument['kind'][]]),
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'is not a plain name'),
  target: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'is not a plain name'),
  at: time,
  title: z.string().min(1).max(500),
  status: z.string().min(1).max(100),
  objectives: z.record(z.string(), finite),
  measured: z.record(z.string(), finite.nullable()),
  timeline: z.array(z.looseObject({ phase: z.string(), startedAt: time, durationMs: finite.nonnegative(), outcome: z.enum(['completed', 'failed', 'skipped', 'compensated', 'unknown']), detail: z.string().optional() })),
  checks: z.array(z.looseObject({ name: z.string(), outcome: z.enum(['passed', 'failed', 'warning', 'skipped']), detail: z.string(), durationMs: finite.optional() })),
  recommendations: z.array(z.string()),
  facts: z.record(z.string(), z.unknown()),
};
const documentSchema = z.looseObject(documentShape);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in hex');
const signedSchema = z.looseObject({
  ...documentShape,
  seal: z.looseObject({
    digest: sha256,
    chain: z.looseObject({ sequence: z.number().int().positive(), previous: sha256.nullable() }),
    page: z.looseObject({ key: z.string(), sha256 }),
    recordedAt: time,
    recordedBy: z.string(),
  }),
  signature: z.looseObject({ algorithm: z.literal('ed25519'), publicKey: z.string(), value: z.string() }),
});

/** Far below what a workflow's payload may carry; pictures, logs and tables belong elsewhere. */
const maxDocumentBytes = 1024 * 1024;

/** A document as it may be recorded. @throws inputInvalid naming every field that is wrong */
export function parseDocument(value: unknown): EvidenceDocument {
  const parsed = documentSchema.safeParse(value);
  if (!parsed.success) throw new ResurgoError('inputInvalid', `evidence: ${issues(parsed.error)}`);
  const document = bare(value as EvidenceDocument);
  const bytes = Buffer.byteLength(canonicalJson(document));
  if (bytes > maxDocumentBytes) throw new ResurgoError('inputInvalid', `evidence ${document.kind} ${document.id} has ${String(bytes)} bytes, at most ${String(maxDocumentBytes)} are kept`);
  return document;
}

export function signEvidence(document: EvidenceDocument, seal: EvidenceSeal, key: HostKey): SignedEvidence {
  const unsigned = { ...document, seal };
  return { ...unsigned, signature: { algorithm: 'ed25519', publicKey: key.publicKey, value: signWith(key, Buffer.from(canonicalJson(unsigned))) } };
}

/** The object in the repository, for people and programs. */
export const formatEvidence = (evidence: SignedEvidence): Buffer => Buffer.from(`${JSON.stringify(evidence, null, 2)}\n`);

/**
 * Reads a signed document; unknown fields are kept and covered by the signature.
 * @throws evidenceInvalid when it is damaged or altered, evidenceUntrusted when its signer is none of `trusted` (when given and not empty)
 */
export function parseEvidence(bytes: Uint8Array, what: string, trusted?: readonly string[]): SignedEvidence {
  const bad = (why: string, cause?: unknown): ResurgoError => new ResurgoError('evidenceInvalid', `${what}: ${why}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw bad(bytes.length === 0 ? 'the file is empty' : `the ${String(bytes.length)} bytes are not JSON`, cause);
  }
  const parsed = signedSchema.safeParse(value);
  if (!parsed.success) throw bad(issues(parsed.error));
  const evidence = value as SignedEvidence;
  const { signature, ...unsigned } = evidence;
  const key = publicKeyObject(signature.publicKey);
  if (key === undefined) throw bad('its public key is malformed');
  // One value has one spelling: stray bits at the end of base64 would be a change nobody notices.
  const raw = Buffer.from(signature.value, 'base64');
  if (raw.toString('base64') !== signature.value || !verify(null, Buffer.from(canonicalJson(unsigned)), key, raw)) throw bad('its signature does not fit its content: it was altered after it was signed');
  if (digestOf(evidence) !== evidence.seal.digest) throw bad('its digest is not that of its content');
  if (trusted !== undefined && trusted.length > 0 && !trusted.includes(signature.publicKey)) {
    throw new ResurgoError('evidenceUntrusted', `${what}: signed by ${signature.publicKey}, which is none of the ${String(trusted.length)} trusted host keys`);
  }
  return evidence;
}

function bare(document: EvidenceDocument | SignedEvidence): EvidenceDocument {
  const { seal: _seal, signature: _signature, ...rest } = document as SignedEvidence;
  return rest;
}

const issues = (error: z.ZodError): string => error.issues.slice(0, 5).map((issue) => `${issue.path.length === 0 ? 'document' : issue.path.join('.')}: ${issue.message}`).join('; ');
