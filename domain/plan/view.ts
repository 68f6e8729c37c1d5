/** How a running plan is shown. */
import { isGate } from './control.ts';
import type { PlanSnapshot } from './model.ts';
import { resultOf, type PlanResult, type RunFacts } from './result.ts';
import type { PlanState, StepState } from './state.ts';

export interface PlanView extends PlanResult {
  /** Id of the workflow that takes the commands of people. */
  readonly workflowId: string;
  readonly stage: PlanState['stage'];
  readonly paused: string | null;
  readonly approvals: readonly { readonly step: string; readonly hash: string; readonly from: readonly string[]; readonly count: number; readonly approvedBy: readonly string[]; readonly question?: string; readonly what: string; readonly input: unknown }[];
  /** A person has to decide about this step. */
  readonly held: { readonly step: string; readonly why: 'failed' | 'unknown'; readonly until: string; readonly message: string; readonly choices: readonly string[] } | null;
}

export function viewOf(snapshot: PlanSnapshot, state: PlanState, run: RunFacts, workflowId: string, now: number): PlanView {
  const { held } = state;
  return {
    ...resultOf(snapshot, state, run, now),
    workflowId,
    stage: state.stage,
    paused: state.paused?.by ?? null,
    approvals: snapshot.steps.flatMap((spec) => {
      const step = state.steps[spec.id];
      if (spec.approval === undefined || step?.phase !== 'approval') return [];
      const hash = step.resolved?.hash ?? '';
      return [{
        step: spec.id, hash, from: spec.approval.from, count: spec.approval.count, approvedBy: step.approvals.filter((each) => each.hash === hash).map(({ as }) => as),
        what: `${spec.uses}${step.resolved?.subject === undefined || step.resolved.subject === '' ? '' : ` ${step.resolved.subject}`}`, input: step.resolved?.input ?? null,
        ...(spec.approval.question === undefined ? {} : { question: spec.approval.question }),
      }];
    }),
    held: held === null ? null : {
      step: held.step, why: held.why, until: new Date(held.until).toISOString(), message: state.steps[held.step]?.error?.message ?? '',
      choices: choicesOf(snapshot, held),
    },
  };
}

/** What a person may do about the step that a plan waits at. */
export function choicesOf(snapshot: PlanSnapshot, { step, why }: NonNullable<PlanState['held']>): string[] {
  const all = why === 'unknown' ? ['answer applied', 'answer notApplied', 'skip', 'abort'] : ['retry', 'skip', 'abort'];
  const spec = snapshot.steps.find(({ id }) => id === step);
  return spec !== undefined && isGate(spec) ? all.filter((choice) => choice !== 'skip') : all;
}

export interface StepLine {
  readonly name: string;
  readonly state: StepState['status'];
  readonly detail?: string;
}

/** The checklist of a run: one line a step, then what is being undone. */
export function linesOf(snapshot: PlanSnapshot, state: PlanState): StepLine[] {
  const lines = snapshot.steps.map((spec): StepLine => {
    const step = state.steps[spec.id];
    const name = `${spec.id} (${spec.childPlan === undefined ? spec.uses : `plan ${spec.childPlan}`}${step?.resolved?.subject === undefined || step.resolved.subject === '' ? '' : ` ${step.resolved.subject}`})`;
    const detail = step === undefined ? undefined : detailOf(step);
    return { name, state: step?.status ?? 'pending', ...(detail === undefined ? {} : { detail }) };
  });
  const undo = state.undo.flatMap((entry): StepLine[] =>
    entry.status === 'running' || entry.status === 'done' || entry.status === 'failed'
      ? [{ name: `undo ${entry.step}`, state: entry.status === 'running' ? 'in progress' : entry.status === 'done' ? 'compensated' : 'failed', ...(entry.detail === undefined ? {} : { detail: entry.detail }) }]
      : [],
  );
  return [...lines, ...undo.toReversed()];
}

const waits: Readonly<Record<string, string>> = { approval: 'waits for approval', ask: 'its outcome is unknown; a person has to look', probe: 'was lost; looking whether it took effect' };

function detailOf(step: StepState): string | undefined {
  if (step.status === 'in progress') return step.phase === undefined ? undefined : (waits[step.phase] ?? step.phase);
  return step.status === 'completed' || step.status === 'compensated' ? step.summary : (step.reason ?? step.error?.message);
}

/** What stands above the checklist. */
export function noteOf(state: PlanState): string {
  const words = [`**${state.status}**, ${state.mode}`];
  if (state.paused !== null) words.push(`paused by ${state.paused.by}`);
  if (state.held !== null) words.push(`waits for a person: ${state.held.step} ${state.held.why === 'unknown' ? 'has an unknown outcome' : 'failed'}`);
  if (state.passed !== null) words.push(`past the point of no return ${state.passed}: rolls forward only`);
  if (state.failure !== null) words.push(`${state.failure.step ?? 'stopped'}: ${state.failure.error.message}`);
  return words.join('; ');
}
