/** Inputs and results of failover and switchover, and what passes between their flow and its steps. JSON-safe, additive. */
import type { ClusterView } from './cluster.ts';

export interface FailoverInput {
  readonly schemaVersion?: 1;
  /** The cluster: a target with more than one member. */
  readonly target: string;
  /** Member that shall become the primary; default the freshest (failover), the one without lag (switchover). */
  readonly to?: string;
  /** Decide and show everything, touch nothing. */
  readonly preview?: boolean;
  /** In writing: why a member that cannot be proved to be fenced is safe all the same. */
  readonly overrideFence?: string;
  /** Started by a machine: what only a person may decide is refused. */
  readonly automatic?: boolean;
  /** Who or what started it. */
  readonly startedBy?: string;
  /** Incident it belongs to. */
  readonly incident?: string;
  /** Who found the primary dead, and when; then one round of questions confirms it. */
  readonly observed?: { readonly since: string; readonly rounds: number; readonly primary?: string };
  /** Automatic: how many standbys acknowledged commits are on, and which take part, by the primary's last word. */
  readonly synchronous?: { readonly need: number; readonly names: readonly string[] };
}

/** One member, without secrets. */
export interface MemberPlan {
  readonly name: string;
  /** Worker host whose queue takes what is bound to it; null: any worker. */
  readonly host: string | null;
  /** Ways to fence it, in the order they are tried. */
  readonly fences: readonly ('local' | 'exec')[];
  readonly fenceTimeoutMs: number;
  readonly hasDataDir: boolean;
  readonly site: string | null;
}

export interface ClusterPlan {
  readonly target: string;
  readonly members: readonly MemberPlan[];
  readonly probes: number;
  readonly everyMs: number;
  readonly hangTimeoutMs: number;
  /** Names of the records that follow the primary. */
  readonly records: readonly string[];
  readonly warnings: readonly string[];
}

export type FailoverStepOutcome = 'completed' | 'failed' | 'skipped' | 'compensated' | 'compensation-failed';

export interface FailoverStep {
  readonly name: string;
  readonly critical: boolean;
  readonly outcome: FailoverStepOutcome;
  readonly durationMs: number;
  readonly startedAt?: string;
  readonly detail?: string;
}

export interface FenceOutcome {
  readonly member: string;
  readonly method: string;
  readonly proof: string;
  /** Null: proved. Else the words of the person who answers for it. */
  readonly override: string | null;
}

export interface DataLoss {
  /** Null: it could not be measured. */
  readonly bytes: number | null;
  /** End of the old primary's WAL. */
  readonly oldPrimaryLsn: string | null;
  readonly detail: string;
}

export interface FailoverResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly kind: 'failover' | 'switchover';
  readonly status: 'completed' | 'completed-with-warnings' | 'preview' | 'compensated' | 'failed';
  readonly from: string | null;
  readonly to: string | null;
  readonly timeline: { readonly before: number | null; readonly after: number | null };
  /** Where the new timeline begins. */
  readonly switchLsn: string | null;
  readonly loss: DataLoss;
  readonly fences: readonly FenceOutcome[];
  readonly records: readonly string[];
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  /** From the start until the new primary had proved that it takes writes; null when it came not so far. */
  readonly writableAfterMs: number | null;
  readonly steps: readonly FailoverStep[];
  readonly warnings: readonly string[];
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
  readonly startedBy?: string;
  readonly automatic?: boolean;
  readonly incident?: string;
  readonly observed?: FailoverInput['observed'];
  /** What was seen when it began. */
  readonly view?: ClusterView;
  /** Members as they will be: for a preview. */
  readonly would?: readonly string[];
}

export interface PromotedMember {
  readonly timeline: number;
  /** The timeline that was left. */
  readonly parent: number;
  readonly switchLsn: string;
  readonly promotedNow: boolean;
}
