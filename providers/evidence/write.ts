import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { EvidenceDocument, SignedEvidence } from '../../domain/evidence.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import type { HostKey } from '../vault/host-key.ts';
import { pageKey, slotKey } from './layout.ts';
import { renderPage } from './page.ts';
import { sequences } from './read.ts';
import { digestOf, formatEvidence, parseDocument, parseEvidence, sha256Hex, signEvidence } from './signed.ts';

export interface EvidenceHead {
  readonly sequence: number;
  /** SHA-256 of the object, hex. */
  readonly sha256: string;
}

export interface WriteEvidenceOptions {
  readonly document: EvidenceDocument;
  readonly hostKey: HostKey;
  /** Name of the host, for people. */
  readonly recordedBy: string;
  /** The last document this host wrote to the chain: a chain that was cut off behind it is continued after the gap, which then shows for ever. */
  readonly head?: EvidenceHead | undefined;
  readonly now?: () => string;
  readonly signal?: AbortSignal;
}

export interface WrittenEvidence extends EvidenceHead {
  readonly key: string;
  readonly page: string;
  readonly digest: string;
}

/** How many of the newest documents are searched for the very one that is to be written: a repeated attempt. */
const repeatWindow = 64;
/** Writers of one chain that meet: each round one of them gets its place. */
const maxRounds = 200;

/**
 * Appends a document to its chain in one repository: page first, then the signed document by a conditional create, so that writers who meet get an
 * order and no fork. Idempotent: the same document is written once. @throws inputInvalid, lockBusy, errors of the store
 */
export async function writeEvidence(store: ObjectStore, options: WriteEvidenceOptions): Promise<WrittenEvidence> {
  const document = parseDocument(options.document);
  const { hostKey, head, signal } = options;
  const aborting = signal === undefined ? {} : { signal };
  const digest = digestOf(document);
  const page = Buffer.from(renderPage(document, { digest, publicKey: hostKey.publicKey }));
  const key = pageKey(document, document.id, digest);
  await store.put(key, page, aborting);
  for (let round = 0; round < maxRounds; round++) {
    const taken = await sequences(store, document, signal);
    const known = await alreadyWritten(store, document, digest, taken, signal);
    if (known !== undefined) return { ...known, page: key, digest };
    const last = taken.at(-1);
    // A tail that this host knows and the repository does not: the place stays empty, the hash of what was there is kept.
    const cut = head !== undefined && (last ?? 0) < head.sequence;
    const sequence = (cut ? head.sequence : (last ?? 0)) + 1;
    const previous = cut ? head.sha256 : last === undefined ? null : sha256Hex(await store.get(slotKey(document, last), aborting));
    const recordedAt = options.now?.() ?? new Date().toISOString();
    const body = formatEvidence(signEvidence(document, { digest, chain: { sequence, previous }, page: { key, sha256: sha256Hex(page) }, recordedAt, recordedBy: options.recordedBy }, hostKey));
    const slot = slotKey(document, sequence);
    try {
      await store.put(slot, body, { ifAbsent: true, sha256: sha256Hex(body), ...aborting });
    } catch (error) {
      if (isResurgoError(error, 'objectExists')) continue; // another writer was first: behind it
      throw error;
    }
    // A store that knows no conditional create lets the later of two overwrite the earlier: then ours is not there, and goes behind.
    const stored = await store.get(slot, aborting);
    if (stored.equals(body)) return { sequence, sha256: sha256Hex(body), key: slot, page: key, digest };
  }
  throw new ResurgoError('lockBusy', `evidence of ${document.kind} ${document.target} in repository ${store.name}: ${String(maxRounds)} times another writer was first`);
}

async function alreadyWritten(store: ObjectStore, document: EvidenceDocument, digest: string, taken: readonly number[], signal?: AbortSignal): Promise<(EvidenceHead & { readonly key: string }) | undefined> {
  for (const sequence of taken.slice(-repeatWindow).reverse()) {
    const slot = slotKey(document, sequence);
    const bytes = await store.get(slot, signal === undefined ? {} : { signal });
    let evidence: SignedEvidence;
    try {
      evidence = parseEvidence(bytes, slot);
    } catch {
      continue; // damaged: verification names it; here it is only not ours
    }
    if (evidence.seal.digest === digest) return { sequence, sha256: sha256Hex(bytes), key: slot };
    // What was recorded before this document's end cannot be it; clocks of hosts may differ by a day at most.
    if (Date.parse(evidence.seal.recordedAt) < Date.parse(document.at) - 86_400_000) return undefined;
  }
  return undefined;
}
