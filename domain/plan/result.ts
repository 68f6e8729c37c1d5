/** The outcome of a plan run, as every interface gives it. */
import type { ActionEffect } from '../action.ts';
import type { Json, PlanError, PlanMode, PlanPhase, PlanSnapshot, PlanStatus, StepStatus } from './model.ts';
import { phaseBudgets, planPhases } from './model.ts';
import { finalError } from './outcome.ts';
import type { PlanState } from './state.ts';
import { useOf } from './uses.ts';

export interface RecoverInput {
  readonly schemaVersion?: 1;
  readonly plan: string;
  readonly target?: string;
  readonly mode?: PlanMode;
  readonly params?: Readonly<Record<string, Json>>;
  /** Id of the incident that started it, or facts of it for expressions. */
  readonly incident?: Json;
  readonly scenario?: string;
  /** Look only: nothing is changed. */
  readonly preview?: boolean;
  readonly startedBy?: string;
  /** When another run of the plan on the target goes on. Default refuse. */
  readonly onBusy?: 'wait' | 'skip' | 'refuse';
}

export interface PlanStepResult {
  readonly id: string;
  readonly uses: string;
  readonly status: StepStatus;
  readonly critical: boolean;
  readonly durationMs: number;
  readonly attempts: number;
  /** What it leaves behind, once that is known; see domain/action.ts. */
  readonly effect?: ActionEffect;
  readonly subject?: string;
  readonly summary?: string;
  readonly output?: Json;
  readonly reason?: string;
  readonly remarks?: readonly string[];
  readonly error?: PlanError;
  readonly startedAt?: string;
  readonly fallback?: string;
  readonly approvedBy?: readonly string[];
  readonly budgetMs?: number;
}

export interface PlanResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly plan: string;
  readonly target: string | null;
  readonly mode: PlanMode;
  readonly scenario: string | null;
  readonly strategy: string | null;
  readonly status: PlanStatus | 'skipped';
  readonly steps: readonly PlanStepResult[];
  /** In the order it was undone. */
  readonly compensation: readonly { readonly step: string; readonly outcome: 'undone' | 'failed' | 'not undone'; readonly detail: string }[];
  readonly passedPointOfNoReturn: string | null;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly budgets: readonly { readonly name: PlanPhase | 'plan'; readonly budgetMs: number; readonly durationMs: number; readonly kept: boolean }[];
  readonly incident: string | null;
  readonly evidence: string | null;
  readonly warnings: readonly string[];
  readonly decisions: readonly { readonly at: string; readonly what: string; readonly by: string; readonly step?: string }[];
  readonly hash: string;
  readonly startedBy: string;
  readonly error?: PlanError;
}

export interface RunFacts {
  readonly id: string;
  readonly startedBy: string;
  readonly scenario?: string;
  readonly incident?: Json;
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function resultOf(snapshot: PlanSnapshot, state: PlanState, run: RunFacts, now: number): PlanResult {
  const endedAt = state.endedAt ?? now;
  const steps = snapshot.steps.map((spec): PlanStepResult => {
    const step = state.steps[spec.id];
    if (step === undefined) throw new Error(`no state of ${spec.id}`);
    const use = useOf(spec, step.variant);
    return {
      id: spec.id,
      uses: spec.childPlan === undefined ? use.uses : `plan ${spec.childPlan}`,
      status: step.status,
      critical: spec.critical,
      durationMs: step.startedAt === undefined ? 0 : (step.endedAt ?? endedAt) - step.startedAt,
      attempts: step.attempts,
      ...(step.resolved === undefined || spec.childPlan !== undefined ? {} : { effect: step.resolved.abilities.effect }),
      ...(step.resolved === undefined || step.resolved.subject === '' ? {} : { subject: step.resolved.subject }),
      ...(step.summary === undefined ? {} : { summary: step.summary }),
      ...(step.output === undefined ? {} : { output: step.output }),
      ...(step.reason === undefined ? {} : { reason: step.reason }),
      ...(step.remarks.length === 0 ? {} : { remarks: step.remarks }),
      ...(step.error === undefined || step.status === 'completed' ? {} : { error: step.error }),
      ...(step.startedAt === undefined ? {} : { startedAt: iso(step.startedAt) }),
      ...(step.variant === 'fallback' ? { fallback: use.uses } : {}),
      ...(step.approvals.length === 0 ? {} : { approvedBy: step.approvals.map(({ as }) => as) }),
      ...(spec.budgetMs === undefined ? {} : { budgetMs: spec.budgetMs }),
    };
  });
  const budgets = budgetsOf(snapshot, state, endedAt);
  const overStep = steps.filter((step) => step.budgetMs !== undefined && step.durationMs > step.budgetMs).map((step) => `${step.id} took ${String(step.durationMs)} ms, more than its budget of ${String(step.budgetMs)} ms`);
  const error = finalError(snapshot, state);
  const incident = run.incident;
  return {
    schemaVersion: 1,
    id: run.id,
    plan: snapshot.plan,
    target: snapshot.target ?? null,
    mode: state.mode,
    scenario: run.scenario ?? null,
    strategy: null,
    status: state.status,
    steps,
    compensation: compensationOf(state),
    passedPointOfNoReturn: state.passed,
    startedAt: iso(state.startedAt),
    endedAt: iso(endedAt),
    durationMs: endedAt - state.startedAt,
    budgets,
    incident: typeof incident === 'string' ? incident : typeof incident === 'object' && incident !== null && !Array.isArray(incident) && typeof (incident as { id?: unknown }).id === 'string' ? (incident as { id: string }).id : null,
    evidence: null,
    warnings: [...state.warnings, ...overStep, ...budgets.filter(({ kept }) => !kept).map(({ name, budgetMs, durationMs }) => `${name} took ${String(durationMs)} ms, more than its budget of ${String(budgetMs)} ms`)],
    decisions: state.decisions.map(({ at, ...rest }) => ({ at: iso(at), ...rest })),
    hash: snapshot.hash,
    startedBy: run.startedBy,
    ...(error === undefined ? {} : { error }),
  };
}

function compensationOf(state: PlanState): PlanResult['compensation'] {
  const outcome = { done: 'undone', failed: 'failed', void: 'not undone', registered: 'not undone', running: 'not undone' } as const;
  return state.undo.toReversed().flatMap((entry) => (entry.status === 'not needed' || (entry.status === 'registered' && state.failure === null) || (entry.status === 'void' && state.failure === null) ? [] : [{ step: entry.step, outcome: outcome[entry.status], detail: entry.detail ?? '' }]));
}

/** From the begin of a phase's first step to the end of its last one. */
function budgetsOf(snapshot: PlanSnapshot, state: PlanState, endedAt: number): PlanResult['budgets'] {
  const made = planPhases.flatMap((name) => {
    const steps = snapshot.steps.filter((spec) => spec.phase === name).flatMap(({ id }) => state.steps[id] ?? []).filter((step) => step.startedAt !== undefined);
    if (steps.length === 0) return [];
    const durationMs = Math.max(...steps.map((step) => step.endedAt ?? endedAt)) - Math.min(...steps.map((step) => step.startedAt ?? endedAt));
    return [{ name, budgetMs: phaseBudgets[name], durationMs, kept: durationMs <= phaseBudgets[name] }];
  });
  if (snapshot.budgetMs === undefined) return made;
  const durationMs = endedAt - state.startedAt;
  return [...made, { name: 'plan' as const, budgetMs: snapshot.budgetMs, durationMs, kept: durationMs <= snapshot.budgetMs }];
}

/** Whether any step may have changed something. */
export const wasTouchedBy = (result: Pick<PlanResult, 'steps' | 'compensation'>): boolean => result.compensation.length > 0 || result.steps.some((step) => step.attempts > 0);
