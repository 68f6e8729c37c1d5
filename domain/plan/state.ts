/** What a running plan remembers: JSON, made by folding events (see machine.ts). */
import type { PlanError, PlanMode, PlanStatus, ResolvedStep, StepStatus, Json } from './model.ts';

/** Where a step is while it is in progress. `verify`: the action's own; `confirm`: the step's `verify:`; `ask`: its outcome is unknown, a person has to look. */
export type StepPhase = 'resolve' | 'approval' | 'prepare' | 'apply' | 'probe' | 'verify' | 'confirm' | 'ask';

export interface StepState {
  status: StepStatus;
  phase?: StepPhase;
  /** Raised with every new try, so that what an older try still reports is not taken for the new one's. */
  round: number;
  variant: 'main' | 'fallback';
  /** Times `apply` was asked for. */
  attempts: number;
  /** Whether the outside world may have been changed. */
  applied: 'no' | 'maybe' | 'yes';
  resolved?: ResolvedStep;
  captured?: Json;
  output?: Json;
  summary?: string;
  remarks: string[];
  error?: PlanError;
  /** Why it was not run. */
  reason?: string;
  startedAt?: number;
  endedAt?: number;
  /** End of the time the step has, ms since the epoch. */
  deadlineAt?: number;
  /** When the timer of the phase it is in fires, ms since the epoch. */
  timerAt?: number;
  approvals: { as: string; at: number; hash: string }[];
  /** An attempt of an irreversible action was lost and proved to have done nothing: so often. */
  lost: number;
}

/** How one applied step is undone; made before it is applied. */
export interface UndoEntry {
  readonly step: string;
  readonly variant: 'main' | 'fallback';
  readonly resolved: ResolvedStep;
  readonly captured?: Json;
  status: 'registered' | 'void' | 'running' | 'done' | 'failed' | 'not needed';
  detail?: string;
}

export interface PlanState {
  /** Derived after every event. */
  status: PlanStatus;
  stage: 'created' | 'forward' | 'stopping' | 'compensating' | 'ended';
  mode: PlanMode;
  /** Nothing new is started. */
  paused: { by: string } | null;
  /** A critical step failed, or its outcome is unknown, and a person decides what comes next. */
  held: { step: string; why: 'failed' | 'unknown'; until: number } | null;
  steps: Record<string, StepState>;
  undo: UndoEntry[];
  /** The step after which the plan only rolls forward. */
  passed: string | null;
  failure: { step: string | null; error: PlanError } | null;
  warnings: string[];
  startedAt: number;
  endedAt?: number;
  /** What people did: part of the evidence. */
  decisions: { at: number; what: string; by: string; step?: string }[];
}

/** Something that happened. `key` names the command it answers; one that is not awaited any more is ignored. */
export type PlanEvent = { readonly at: number } & (
  | { readonly type: 'start'; readonly mode: PlanMode }
  | { readonly type: 'resolved'; readonly key: string; readonly resolved: ResolvedStep }
  | { readonly type: 'notNeeded'; readonly key: string; readonly reason: string }
  | { readonly type: 'prepared'; readonly key: string; readonly captured: Json; readonly remarks: readonly string[] }
  | { readonly type: 'applied'; readonly key: string; readonly summary: string; readonly output: Json; readonly attempts?: number }
  | { readonly type: 'verified'; readonly key: string; readonly summary: string }
  | { readonly type: 'probed'; readonly key: string; readonly answer: 'applied' | 'notApplied' | 'unknown' }
  /** `outcome`: what is known of the effect. `lost`: nobody reported anything; `refused`: certainly nothing was done; `failed`: the action itself reported it. */
  | { readonly type: 'phaseFailed'; readonly key: string; readonly error: PlanError; readonly outcome: 'lost' | 'refused' | 'failed' }
  | { readonly type: 'undone'; readonly key: string; readonly summary: string }
  | { readonly type: 'undoFailed'; readonly key: string; readonly error: PlanError }
  | { readonly type: 'expired'; readonly key: string }
  | { readonly type: 'approved'; readonly step: string; readonly as: string; readonly hash: string }
  | { readonly type: 'rejected'; readonly step: string; readonly as: string; readonly reason?: string }
  | { readonly type: 'pause' | 'resume' | 'abort'; readonly by: string; readonly reason?: string }
  | { readonly type: 'skip' | 'retry'; readonly step: string; readonly by: string }
  | { readonly type: 'answer'; readonly step: string; readonly answer: 'applied' | 'notApplied'; readonly by: string }
  | { readonly type: 'mode'; readonly mode: PlanMode; readonly by: string }
);

/** What a driver is asked to do; it answers with an event that carries the `key`. */
export type PlanCommand =
  | { readonly type: 'resolve' | 'prepare' | 'apply' | 'probe' | 'verify' | 'confirm' | 'undo'; readonly key: string; readonly step: string; readonly variant: 'main' | 'fallback'; readonly deadlineAt: number; readonly undo?: number }
  /** Answer with `expired` then, unless it was cancelled. */
  | { readonly type: 'timer'; readonly key: string; readonly step: string; readonly at: number }
  | { readonly type: 'cancel'; readonly key: string };

export interface Next {
  readonly state: PlanState;
  readonly commands: readonly PlanCommand[];
}
