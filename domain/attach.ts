/** Inputs and results of what makes a member a standby again (or for the first time). JSON-safe, additive. */
import type { FailoverStep } from './failover.ts';

/**
 * `reattach`: a standby is started again and pointed to its primary, nothing is copied; `build`: into an empty place; `rebuild`: a standby anew; `rewind`, `clone`, `keep`: an old primary comes back, by pg_rewind, by a fresh copy in
 * place of its data, or by a fresh copy while its data is kept beside it.
 */
export type AttachWay = 'reattach' | 'build' | 'rebuild' | 'rewind' | 'clone' | 'keep';

export interface AttachInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  readonly member: string;
  readonly by: AttachWay;
  readonly startedBy?: string;
}

export interface AttachResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly member: string;
  readonly by: AttachWay;
  readonly status: 'attached';
  readonly primary: string;
  readonly timeline: number;
  /** Where the old data is kept, with `keep`. */
  readonly kept: string | null;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly steps: readonly FailoverStep[];
}
