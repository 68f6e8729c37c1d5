/** How a plan stands, told from its state alone. */
import type { PlanError, PlanSnapshot, PlanStatus } from './model.ts';
import type { PlanState } from './state.ts';
import { resolvedUse } from './uses.ts';

/** Steps that changed something which was not undone, in words. Empty: things are as they were. */
export function leftovers(snapshot: PlanSnapshot, state: PlanState): string[] {
  return snapshot.steps.flatMap((spec) => {
    const step = state.steps[spec.id];
    if (step === undefined || step.applied === 'no' || resolvedUse(step).abilities.effect === 'none') return [];
    const entries = state.undo.filter((entry) => entry.step === spec.id);
    const bad = entries.find((entry) => entry.status === 'failed' || entry.status === 'void');
    if (bad !== undefined) return [`${spec.id}: ${bad.detail ?? 'not undone'}`];
    if (entries.some((entry) => entry.status === 'done') || spec.compensate === false) return [];
    return [`${spec.id}: ${step.applied === 'maybe' ? 'may have taken effect, and nothing undoes it' : state.passed !== null && entries.length === 0 && spec.id !== state.passed ? `done after the point of no return ${state.passed}` : 'nothing undoes it'}`];
  });
}

export const wasTouched = (state: PlanState): boolean => Object.values(state.steps).some((step) => step.applied !== 'no');

/** The state of the plan in one word. */
export function statusOf(snapshot: PlanSnapshot, state: PlanState): PlanStatus {
  switch (state.stage) {
    case 'created':
      return 'created';
    case 'ended':
      return state.failure === null ? 'completed' : state.undo.some((entry) => entry.status === 'done') && leftovers(snapshot, state).length === 0 ? 'compensated' : 'failed';
    case 'forward': {
      if (state.paused !== null || state.held !== null) return 'paused';
      const busy = Object.values(state.steps).filter((step) => step.status === 'in progress');
      return busy.length > 0 && busy.every((step) => step.phase === 'approval') ? 'waiting' : 'executing';
    }
    default:
      return 'executing';
  }
}

/** What a plan that did not complete ended with: the first cause, and what is left for a person. */
export function finalError(snapshot: PlanSnapshot, state: PlanState): PlanError | undefined {
  if (state.failure === null) return undefined;
  const { step, error } = state.failure;
  const message = `${step === null ? '' : `${step}: `}${error.message}`;
  const left = leftovers(snapshot, state);
  if (left.length === 0) return { ...error, message };
  const undoFailed = state.undo.some((entry) => entry.status === 'failed');
  const unknown = Object.values(state.steps).some((each) => each.status === 'unknown');
  // "Interrupted" alone would sound as if things were as before.
  const open = error.code === 'cancelled' && state.passed === null;
  const code = undoFailed ? 'compensationFailed' : unknown || (open && Object.values(state.steps).some((each) => each.applied === 'maybe')) ? 'outcomeUnknown' : open ? 'compensationFailed' : error.code;
  return { ...(code === error.code ? error : { code }), message: `${message}; not undone: ${left.join('; ')}` };
}
