/** What expressions of a step may see: the steps of its own plan, its parameters. */
import type { Json, PlanSnapshot, StepSpec } from './model.ts';
import type { PlanState } from './state.ts';

export interface PlanFacts {
  readonly id: string;
  readonly incident?: Json;
}

export function contextOf(snapshot: PlanSnapshot, state: PlanState, spec: Pick<StepSpec, 'scope'>, facts: PlanFacts) {
  const prefix = spec.scope === '' ? '' : `${spec.scope}/`;
  const steps: Record<string, { status: string; output: Json }> = {};
  for (const each of snapshot.steps) {
    if (each.scope !== spec.scope) continue;
    const step = state.steps[each.id];
    if (step === undefined || step.status === 'pending') continue;
    steps[each.id.slice(prefix.length)] = { status: step.status, output: each.childPlan === undefined ? (step.output ?? {}) : outputsOf(snapshot, state, each.id) };
  }
  const params = spec.scope === '' ? snapshot.params : (state.steps[spec.scope]?.resolved?.params ?? {});
  return { steps, params, incident: facts.incident ?? {}, mode: state.mode, target: snapshot.target ?? '', plan: snapshot.plan, run: facts.id };
}

/** Of a child plan: what its steps put out, by their ids. */
function outputsOf(snapshot: PlanSnapshot, state: PlanState, scope: string): Json {
  return Object.fromEntries(snapshot.steps.filter((each) => each.scope === scope).map((each) => [each.id.slice(scope.length + 1), state.steps[each.id]?.output ?? {}]));
}
