/**
 * What is kept for ever about a drill, a plan, a failover or an incident: a generic, signed document (docs/repository-format.md#evidence).
 * It outlives Temporal's histories, so everything somebody may be asked about later stands in it.
 */
export type EvidenceKind = 'drill' | 'gameday' | 'plan' | 'failover' | 'incident';

export const evidenceKinds: readonly EvidenceKind[] = ['drill', 'gameday', 'plan', 'failover', 'incident'];

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue | undefined };

/** One bar of the timeline. */
export interface EvidencePhase {
  readonly phase: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly outcome: 'completed' | 'failed' | 'skipped' | 'compensated' | 'unknown';
  readonly detail?: string;
}

export interface EvidenceCheck {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'warning' | 'skipped';
  readonly detail: string;
  readonly durationMs?: number;
}

/** JSON-safe; times are ISO, units stand in the names (`rtoMs`, `lagBytes`). Without secrets: whoever reads the repository reads this. */
export interface EvidenceDocument {
  readonly schemaVersion: 1;
  readonly kind: EvidenceKind;
  /** Id of the run. A second document of the same id and another content is kept beside the first, as a later revision. */
  readonly id: string;
  /** Target, plan, cluster or service: what the chain of documents is about. */
  readonly target: string;
  /** When it ended. */
  readonly at: string;
  readonly title: string;
  /** `passed`, `failed`, `completed`, `compensated` … */
  readonly status: string;
  /** What was wanted; the same names as in `measured` are compared: a measured value above its objective is a miss. */
  readonly objectives: Readonly<Record<string, number>>;
  /** Null: could not be measured. */
  readonly measured: Readonly<Record<string, number | null>>;
  readonly timeline: readonly EvidencePhase[];
  readonly checks: readonly EvidenceCheck[];
  readonly recommendations: readonly string[];
  readonly facts: Readonly<Record<string, JsonValue | undefined>>;
}

/** What the writer adds: place in the chain, page, time, signature. */
export interface EvidenceSeal {
  /** Of the document alone (canonical JSON), hex: the same in every repository. */
  readonly digest: string;
  /** Each repository has its own chain of each kind and target. */
  readonly chain: { readonly sequence: number; /** SHA-256 of the object before, hex; null for the first. */ readonly previous: string | null };
  /** The page for people: its key in the repository and SHA-256, hex. */
  readonly page: { readonly key: string; readonly sha256: string };
  readonly recordedAt: string;
  readonly recordedBy: string;
}

export interface EvidenceSignature {
  readonly algorithm: 'ed25519';
  /** Raw public key, base64. */
  readonly publicKey: string;
  /** Over the canonical JSON of the object without `signature`, base64. */
  readonly value: string;
}

export type SignedEvidence = EvidenceDocument & { readonly seal: EvidenceSeal; readonly signature: EvidenceSignature };

/** What `recordEvidence` tells the workflow. */
export interface RecordedEvidence {
  readonly id: string;
  readonly kind: EvidenceKind;
  readonly target: string;
  readonly digest: string;
  /** Key of the signed document; `resurgo evidence show ID` finds it. Empty where no repository took it. */
  readonly key: string;
  readonly page: string;
  readonly repositories: readonly { readonly name: string; readonly status: 'recorded' | 'failed'; readonly sequence?: number; readonly error?: { readonly code: string; readonly message: string } }[];
}

/** One thing that is wrong with a chain. */
export interface EvidenceProblem {
  readonly repository: string;
  readonly kind: string;
  readonly target: string;
  readonly sequence: number;
  readonly problem: 'missing' | 'altered' | 'untrusted' | 'chain' | 'page' | 'copy' | 'unreadable';
  readonly message: string;
}
