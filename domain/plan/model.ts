/**
 * What a plan is once it is loaded and checked: a graph of steps, frozen for one run (the *snapshot*). Plain JSON, without secrets:
 * references such as `{ env: NAME }` stay references until an action uses them.
 */
import type { ActionAbilities, ActionEffect } from '../action.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const priorities = ['critical', 'high', 'medium', 'low'] as const;
export type PlanPriority = (typeof priorities)[number];
export type PlanMode = 'graceful' | 'ungraceful';

/** Parts of the recovery procedure with time budgets (I8). */
export const planPhases = ['assess', 'infrastructure', 'data', 'verify', 'resume'] as const;
export type PlanPhase = (typeof planPhases)[number];
/** Milliseconds. */
export const phaseBudgets: Readonly<Record<PlanPhase, number>> = { assess: 1_800_000, infrastructure: 7_200_000, data: 3_600_000, verify: 2_700_000, resume: 900_000 };

/** One use of an action, as written: `with` may hold `${{ … }}`. */
export interface ActionUse {
  readonly uses: string;
  /** Version of the action when the run was started. */
  readonly version: number;
  readonly with: Json;
  /** As far as can be told before its input is known. */
  readonly effect: ActionEffect;
  readonly timeoutMs: number;
  readonly retries?: number;
}

export interface ApprovalSpec {
  /** Names of approvers who may. */
  readonly from: readonly string[];
  /** How many of them must. */
  readonly count: number;
  readonly withinMs: number;
  /** What happens when nobody decided in time. */
  readonly onTimeout: 'fail' | 'skip';
  readonly question?: string;
  readonly escalate: readonly { readonly afterMs: number; readonly notify: readonly string[] }[];
}

export interface StepSpec extends ActionUse {
  /** `stop-app`; of a child plan `restore/stop-app`. */
  readonly id: string;
  /** Ids of steps that end before this one starts. */
  readonly needs: readonly string[];
  /** Scope of `steps.…` and `params`: '' for the plan itself, else the id of the step that uses the child plan. */
  readonly scope: string;
  /** Only for the step that stands for a child plan: what became of it is told by the steps in its scope. */
  readonly childPlan?: string;
  readonly if?: string;
  readonly critical: boolean;
  readonly pointOfNoReturn: boolean;
  readonly verify?: ActionUse;
  /** `false`: nothing has to be undone, says the author. */
  readonly compensate?: ActionUse | false;
  readonly fallback?: ActionUse;
  readonly approval?: ApprovalSpec;
  readonly phase?: PlanPhase;
  readonly budgetMs?: number;
}

export interface PlanSnapshot {
  readonly schemaVersion: 1;
  readonly plan: string;
  readonly description?: string;
  readonly target?: string;
  readonly priority: PlanPriority;
  /** What a failed critical step leads to: undo everything, or wait for a person first. */
  readonly onFailure: 'compensate' | 'pause';
  /** How long a plan waits for a person before it gives up, ms. */
  readonly personMs: number;
  readonly params: Readonly<Record<string, Json>>;
  readonly steps: readonly StepSpec[];
  readonly budgetMs?: number;
  /** SHA-256 of all this: what an approval is bound to, and what other workers compare. */
  readonly hash: string;
}

export type StepStatus = 'pending' | 'in progress' | 'completed' | 'failed' | 'skipped' | 'compensated' | 'unknown';
export type PlanStatus = 'created' | 'waiting' | 'executing' | 'paused' | 'completed' | 'failed' | 'compensated';

export interface PlanError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** What is known of a step's input once its expressions are evaluated. */
export interface ResolvedStep {
  /** As written, with expressions replaced; references to secrets stay references. */
  readonly input: Json;
  readonly subject: string;
  readonly host?: string;
  readonly abilities: Required<ActionAbilities> & { readonly prepare: boolean };
  readonly timerMs?: number;
  readonly child?: { readonly workflow: string; readonly input: Json; readonly pick: readonly string[]; readonly compensate?: { readonly workflow: string; readonly input: Json }; readonly tellMs?: number };
  /** Of snapshot, step and input: an approval is bound to it. */
  readonly hash: string;
  /** Of the step that stands for a child plan: its parameters. */
  readonly params?: Readonly<Record<string, Json>>;
}
