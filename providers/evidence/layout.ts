import { ResurgoError } from '../../domain/errors.ts';
import { evidenceKinds, type EvidenceKind } from '../../domain/evidence.ts';
import { safeSegment } from '../repository/safe-key.ts';

export const evidenceRoot = 'evidence/';

const slotPattern = /^(\d{8,15})\.json$/;

export interface EvidenceChain {
  readonly kind: EvidenceKind;
  readonly target: string;
}

export const isEvidenceKind = (text: string): text is EvidenceKind => (evidenceKinds as readonly string[]).includes(text);

/** Ends with `/`. @throws unsafePath, inputInvalid */
export function chainPrefix({ kind, target }: EvidenceChain): string {
  if (!isEvidenceKind(kind)) throw new ResurgoError('inputInvalid', `${JSON.stringify(kind)} is not a kind of evidence; there are ${evidenceKinds.join(', ')}`);
  return `${evidenceRoot}${kind}/${safeSegment(target, 'The name evidence is about')}/`;
}

/** The n-th document of a chain. */
export const slotKey = (chain: EvidenceChain, sequence: number): string => `${chainPrefix(chain)}${String(sequence).padStart(8, '0')}.json`;

/** The page of a document; its digest in the name keeps revisions of one id apart. */
export const pageKey = (chain: EvidenceChain, id: string, digest: string): string => `${chainPrefix(chain)}pages/${safeSegment(id, 'The id of evidence')}-${digest.slice(0, 12)}.html`;

/** Sequence of a key below a chain's prefix; undefined for anything else. */
export function sequenceOf(chain: EvidenceChain, key: string): number | undefined {
  const digits = slotPattern.exec(key.slice(chainPrefix(chain).length))?.[1];
  return digits === undefined ? undefined : Number(digits);
}
