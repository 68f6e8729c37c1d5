import { isResurgoError } from '../../domain/errors.ts';
import type { EvidenceProblem, SignedEvidence } from '../../domain/evidence.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { slotKey, type EvidenceChain } from './layout.ts';
import { listChains, sequences, type ListEvidenceOptions } from './read.ts';
import { parseEvidence, sha256Hex } from './signed.ts';
import type { EvidenceHead } from './write.ts';

export interface VerifiedChain extends EvidenceChain {
  readonly documents: number;
  /** Digests of the documents that are good, and their ids. */
  readonly good: readonly { readonly digest: string; readonly id: string; readonly sequence: number }[];
  readonly problems: readonly EvidenceProblem[];
}

export interface VerifyEvidenceOptions extends ListEvidenceOptions {
  /** What this host remembers of a chain's end. */
  readonly headOf?: (chain: EvidenceChain) => Promise<EvidenceHead | undefined>;
  /** Chains this host remembers: they are looked at even where nothing of them is left. */
  readonly remembered?: readonly EvidenceChain[];
}

/**
 * Checks every chain of a repository: signatures, trust, links, pages, gaps, and that its end is not before what this host wrote. Nothing is
 * believed of a document but what its own signature covers. @throws errors of the store
 */
export async function verifyEvidence(store: ObjectStore, options: VerifyEvidenceOptions = {}): Promise<VerifiedChain[]> {
  const there = await listChains(store, options);
  const wanted = ({ kind, target }: EvidenceChain): boolean => (options.kind ?? kind) === kind && (options.target ?? target) === target;
  const chains = [...there, ...(options.remembered ?? []).filter((chain) => wanted(chain) && !there.some(({ kind, target }) => kind === chain.kind && target === chain.target))];
  const results: VerifiedChain[] = [];
  for (const chain of chains) results.push(await verifyChain(store, chain, options));
  return results;
}

async function verifyChain(store: ObjectStore, chain: EvidenceChain, { trusted, signal, headOf }: VerifyEvidenceOptions): Promise<VerifiedChain> {
  const problems: EvidenceProblem[] = [];
  const good: { digest: string; id: string; sequence: number }[] = [];
  const add = (sequence: number, problem: EvidenceProblem['problem'], message: string): void => {
    problems.push({ repository: store.name, kind: chain.kind, target: chain.target, sequence, problem, message });
  };
  const reading = signal === undefined ? {} : { signal };
  const all = await sequences(store, chain, signal);
  let before: { readonly sequence: number; readonly sha256: string } | undefined;
  for (const sequence of all) {
    const key = slotKey(chain, sequence);
    const from = (before?.sequence ?? 0) + 1;
    for (let gone = from; gone < sequence && gone < from + 100; gone++) add(gone, 'missing', `${slotKey(chain, gone)} is gone`);
    const bytes = await store.get(key, reading);
    const hash = sha256Hex(bytes);
    let evidence: SignedEvidence | undefined;
    try {
      evidence = parseEvidence(bytes, key, trusted);
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      add(sequence, error.code === 'evidenceUntrusted' ? 'untrusted' : 'altered', error.message);
    }
    if (evidence !== undefined) {
      const wrong: [EvidenceProblem['problem'], string][] = [];
      if (evidence.kind !== chain.kind || evidence.target !== chain.target) wrong.push(['chain', `${key} is evidence of ${evidence.kind} ${evidence.target}: it was moved here`]);
      if (evidence.seal.chain.sequence !== sequence) wrong.push(['chain', `${key} was written as number ${String(evidence.seal.chain.sequence)} of its chain: it was moved`]);
      const { previous } = evidence.seal.chain;
      // Behind a gap there is nothing to compare with; the gap itself is named above.
      if (before?.sequence === sequence - 1 && previous !== before.sha256) wrong.push(['chain', `${key} does not follow what now stands before it: ${slotKey(chain, before.sequence)} was exchanged or altered`]);
      if (sequence === 1 && previous !== null) wrong.push(['chain', `${key} is the first, but was written behind another`]);
      if (sequence > 1 && previous === null) wrong.push(['chain', `${key} was written as the first of its chain`]);
      const page = await pageProblem(store, evidence, reading);
      if (page !== undefined) wrong.push(['page', page]);
      for (const [problem, message] of wrong) add(sequence, problem, message);
      if (wrong.every(([problem]) => problem === 'page')) good.push({ digest: evidence.seal.digest, id: evidence.id, sequence });
    }
    before = { sequence, sha256: hash };
  }
  const head = await headOf?.(chain);
  if (head !== undefined) {
    if (before === undefined || before.sequence < head.sequence) add(head.sequence, 'missing', `${slotKey(chain, head.sequence)}, which this host wrote, is gone: the end of the chain was cut off`);
    else if (all.includes(head.sequence) && sha256Hex(await store.get(slotKey(chain, head.sequence), reading)) !== head.sha256) add(head.sequence, 'altered', `${slotKey(chain, head.sequence)} is not what this host wrote`);
  }
  return { ...chain, documents: all.length, good, problems };
}

async function pageProblem(store: ObjectStore, evidence: SignedEvidence, reading: { signal?: AbortSignal }): Promise<string | undefined> {
  const { key, sha256 } = evidence.seal.page;
  try {
    return sha256Hex(await store.get(key, reading)) === sha256 ? undefined : `the page ${key} was altered; the signed document is the truth`;
  } catch (error) {
    if (!isResurgoError(error) || !['objectMissing', 'unsafePath'].includes(error.code)) throw error;
    return `the page ${key} is gone; \`resurgo evidence show ${evidence.id} --html FILE\` makes it again`;
  }
}

/** Documents that one repository holds well and another, which has the chain or should have it, lacks. */
export function missingCopies(byRepository: ReadonlyMap<string, readonly VerifiedChain[]>): EvidenceProblem[] {
  const everywhere = new Map<string, { readonly chain: EvidenceChain; readonly id: string; readonly sequence: number; readonly in: string[] }>();
  for (const [repository, chains] of byRepository)
    for (const chain of chains)
      for (const { digest, id, sequence } of chain.good) {
        const name = `${chain.kind}/${chain.target}/${digest}`;
        const known = everywhere.get(name);
        if (known === undefined) everywhere.set(name, { chain, id, sequence, in: [repository] });
        else known.in.push(repository);
      }
  return [...everywhere.values()].flatMap(({ chain, id, sequence, in: holders }) =>
    [...byRepository.keys()].flatMap((repository): EvidenceProblem[] => {
      const has = byRepository.get(repository)?.some((other) => other.kind === chain.kind && other.target === chain.target) === true;
      if (!has || holders.includes(repository)) return [];
      return [{ repository, kind: chain.kind, target: chain.target, sequence, problem: 'copy', message: `evidence ${id} of ${chain.kind} ${chain.target} is in ${holders.join(', ')}, but not in ${repository}` }];
    }),
  );
}
