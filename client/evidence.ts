/** `resurgo evidence …`: reads the repositories themselves, as `backups` does. */
import { writeFile } from 'node:fs/promises';
import type { EvidenceKind, EvidenceProblem, SignedEvidence } from '../domain/evidence.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import type { LoadedConfig } from '../config/load.ts';
import { readHead, rememberedChains } from '../activities/evidence-heads.ts';
import { KeyRing } from '../activities/key-ring.ts';
import { Stores } from '../activities/stores.ts';
import { listEvidence, missingCopies, renderPage, verifyEvidence, type VerifiedChain } from '../providers/evidence/index.ts';

export interface EvidenceFilter {
  readonly kind?: EvidenceKind | undefined;
  readonly target?: string | undefined;
  readonly limit?: number | undefined;
  /** The newest of each kind and target, so many in each repository. Default: `limit`. */
  readonly perTarget?: number | undefined;
}

export interface EvidenceEntry {
  readonly id: string;
  readonly kind: string;
  readonly target: string;
  readonly at: string;
  readonly status: string;
  readonly title: string;
  readonly digest: string;
  readonly repositories: { readonly name: string; readonly sequence: number }[];
  readonly document: SignedEvidence;
}

interface RepositoryProblem {
  readonly repository: string;
  readonly code: string;
  readonly message: string;
}

export interface EvidenceListing {
  readonly evidence: EvidenceEntry[];
  /** Repositories that do not answer, and documents that cannot be believed. */
  readonly problems: RepositoryProblem[];
}

/** Merged over the repositories that answer, newest first. */
export async function gatherEvidence(loaded: LoadedConfig, filter: EvidenceFilter = {}): Promise<EvidenceListing> {
  const entries = new Map<string, EvidenceEntry>();
  const problems: RepositoryProblem[] = [];
  const trusted = await trustedKeys(loaded);
  await eachRepository(loaded, problems, async (repository, store) => {
    for (const { evidence, sequence, error } of await listEvidence(store, { kind: filter.kind, target: filter.target, limit: filter.perTarget ?? filter.limit, trusted })) {
      if (evidence === undefined) {
        problems.push({ repository, code: error?.code ?? 'evidenceInvalid', message: error?.message ?? 'cannot be read' });
        continue;
      }
      const { id, kind, target, at, status, title, seal } = evidence;
      const key = `${kind}/${target}/${seal.digest}`;
      const known = entries.get(key);
      if (known !== undefined) known.repositories.push({ name: repository, sequence });
      else entries.set(key, { id, kind, target, at, status, title, digest: seal.digest, repositories: [{ name: repository, sequence }], document: evidence });
    }
  });
  const evidence = [...entries.values()].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : a.digest < b.digest ? 1 : -1));
  for (const entry of evidence) entry.repositories.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { evidence: filter.limit === undefined ? evidence : evidence.slice(0, filter.limit), problems };
}

/** The newest revision of an id. @throws evidenceUnknown */
export async function showEvidence(loaded: LoadedConfig, id: string, htmlFile?: string): Promise<EvidenceEntry> {
  const { evidence, problems } = await gatherEvidence(loaded);
  const found = evidence.find((entry) => entry.id === id);
  if (found === undefined) throw new ResurgoError('evidenceUnknown', `no repository holds evidence ${JSON.stringify(id)}${problems.length === 0 ? '' : ` (${problems.map((problem) => `${problem.repository}: ${problem.message}`).join('; ')})`}`);
  if (htmlFile !== undefined) {
    // Made from the signed document, not copied: the stored page might have been altered.
    const { seal, signature, ...document } = found.document;
    await writeFile(htmlFile, renderPage(document, { digest: seal.digest, publicKey: signature.publicKey }));
  }
  return found;
}

export interface EvidenceReport {
  readonly status: 'verified' | 'broken' | 'incomplete' | 'empty';
  /** Whether it is known here whose signatures are to be trusted. */
  readonly signers: 'trusted' | 'unknown';
  readonly documents: number;
  readonly chains: { readonly repository: string; readonly kind: string; readonly target: string; readonly documents: number; readonly problems: number }[];
  readonly problems: EvidenceProblem[];
  readonly unreachable: RepositoryProblem[];
}

/** Signatures, chains and pages of every repository, and what one repository holds and another lacks. */
export async function verifyAllEvidence(loaded: LoadedConfig, filter: EvidenceFilter = {}): Promise<EvidenceReport> {
  const unreachable: RepositoryProblem[] = [];
  const trusted = await trustedKeys(loaded);
  const byRepository = new Map<string, VerifiedChain[]>();
  await eachRepository(loaded, unreachable, async (repository, store) => {
    byRepository.set(repository, await verifyEvidence(store, { ...filter, trusted, remembered: await rememberedChains(loaded.stateDir, repository), headOf: (chain) => readHead(loaded.stateDir, repository, chain) }));
  });
  const all = [...byRepository].flatMap(([repository, chains]) => chains.map((chain) => ({ repository, chain })));
  const broken = all.flatMap(({ chain }) => chain.problems);
  const copies = missingCopies(byRepository);
  const documents = all.reduce((sum, { chain }) => sum + chain.documents, 0);
  return {
    status: broken.length > 0 ? 'broken' : unreachable.length > 0 || copies.length > 0 ? 'incomplete' : documents === 0 ? 'empty' : 'verified',
    signers: trusted.length > 0 ? 'trusted' : 'unknown',
    documents,
    chains: all.map(({ repository, chain }) => ({ repository, kind: chain.kind, target: chain.target, documents: chain.documents, problems: chain.problems.length })),
    problems: [...broken, ...copies],
    unreachable,
  };
}

/** Without a host key here, anybody's signature is accepted: integrity only. */
const trustedKeys = (loaded: LoadedConfig): Promise<string[]> => new KeyRing(loaded).trusted().catch(() => []);

async function eachRepository(loaded: LoadedConfig, problems: RepositoryProblem[], work: (name: string, store: ObjectStore) => Promise<void>): Promise<void> {
  const stores = new Stores(loaded);
  try {
    await Promise.all(
      stores.names().map(async (repository) => {
        try {
          await work(repository, await stores.open(repository));
        } catch (error) {
          if (!isResurgoError(error)) throw error;
          problems.push({ repository, code: error.code, message: error.message });
        }
      }),
    );
  } finally {
    await stores.close();
  }
}
