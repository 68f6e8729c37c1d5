import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { EvidenceKind, SignedEvidence } from '../../domain/evidence.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from '../repository/bounded.ts';
import { chainPrefix, evidenceRoot, isEvidenceKind, sequenceOf, slotKey, type EvidenceChain } from './layout.ts';
import { parseEvidence } from './signed.ts';

/** Numbers of a chain's documents, ascending. */
export async function sequences(store: ObjectStore, chain: EvidenceChain, signal?: AbortSignal): Promise<number[]> {
  const found: number[] = [];
  const prefix = chainPrefix(chain);
  for await (const { key } of store.list(prefix, signal)) {
    const sequence = sequenceOf(chain, key);
    if (sequence !== undefined && sequence > 0) found.push(sequence);
  }
  return found.sort((a, b) => a - b);
}

export interface ListEvidenceOptions {
  readonly kind?: EvidenceKind | undefined;
  readonly target?: string | undefined;
  /** The newest of each chain; default all. */
  readonly limit?: number | undefined;
  readonly trusted?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ListedEvidence {
  readonly kind: EvidenceKind;
  readonly target: string;
  readonly sequence: number;
  readonly key: string;
  /** Undefined where it cannot be read or believed; then `error` says why. */
  readonly evidence?: SignedEvidence;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Chains of a repository. */
export async function listChains(store: ObjectStore, { kind, target, signal }: ListEvidenceOptions = {}): Promise<EvidenceChain[]> {
  const kinds = kind === undefined ? (await store.listDirectories(evidenceRoot, signal)).filter(isEvidenceKind) : [kind];
  const chains = await Promise.all(
    kinds.map(async (each) => (target === undefined ? await store.listDirectories(`${evidenceRoot}${each}/`, signal) : [target]).map((name) => ({ kind: each, target: name }))),
  );
  return chains.flat();
}

/** Documents of a repository, newest first. One that is damaged or not trusted is listed with its error. @throws errors of the store */
export async function listEvidence(store: ObjectStore, options: ListEvidenceOptions = {}): Promise<ListedEvidence[]> {
  const { limit, trusted, signal } = options;
  const listed = await mapBounded(await listChains(store, options), 8, async (chain) => {
    const all = await sequences(store, chain, signal);
    return mapBounded(limit === undefined ? all : all.slice(-limit), 8, (sequence) => readSlot(store, chain, sequence, trusted, signal));
  });
  return listed.flat().sort((a, b) => Number(timeOf(b) > timeOf(a)) - Number(timeOf(b) < timeOf(a)) || b.sequence - a.sequence);
}

const timeOf = (listed: ListedEvidence): string => listed.evidence?.at ?? '';

async function readSlot(store: ObjectStore, chain: EvidenceChain, sequence: number, trusted: readonly string[] | undefined, signal?: AbortSignal): Promise<ListedEvidence> {
  const key = slotKey(chain, sequence);
  const base = { kind: chain.kind, target: chain.target, sequence, key };
  try {
    return { ...base, evidence: parseEvidence(await store.get(key, signal === undefined ? {} : { signal }), `${key} in ${store.name}`, trusted) };
  } catch (error) {
    if (!isResurgoError(error) || !['evidenceInvalid', 'evidenceUntrusted', 'objectMissing'].includes(error.code)) throw error;
    return { ...base, error: { code: error.code, message: error.message } };
  }
}

/** The newest document of an id. @throws evidenceUnknown */
export async function findEvidence(store: ObjectStore, id: string, options: ListEvidenceOptions = {}): Promise<ListedEvidence & { readonly evidence: SignedEvidence }> {
  const found = (await listEvidence(store, options)).find((listed) => listed.evidence?.id === id);
  if (found?.evidence === undefined) throw new ResurgoError('evidenceUnknown', `repository ${store.name} holds no evidence ${JSON.stringify(id)}`);
  return { ...found, evidence: found.evidence };
}
