/** Why a person's command is refused: validators of updates ask here, synchronously, before anything is recorded. */
import type { PlanSnapshot, StepSpec } from './model.ts';
import type { PlanEvent, PlanState } from './state.ts';

export type ControlEvent = Extract<PlanEvent, { type: 'approved' | 'rejected' | 'pause' | 'resume' | 'abort' | 'skip' | 'retry' | 'answer' | 'mode' }>;

/** A step that is nothing but an approval: to skip it would be to approve it. */
export const isGate = ({ uses }: Pick<StepSpec, 'uses'>): boolean => uses === 'approve';

/** In words, or undefined when it can be done. */
export function refuse(snapshot: PlanSnapshot, state: PlanState, event: ControlEvent): string | undefined {
  if (state.stage === 'ended') return `the plan has ended (${state.status})`;
  if (state.stage === 'created') return 'the plan has not begun';
  if (state.stage !== 'forward' && event.type !== 'mode') return `the plan is being ${state.stage === 'stopping' ? 'stopped' : 'undone'}; nothing can be changed about that`;
  switch (event.type) {
    case 'abort':
      return undefined;
    case 'pause':
      return state.paused === null ? undefined : `it is paused already, by ${state.paused.by}`;
    case 'resume':
      return state.paused === null ? 'it is not paused' : undefined;
    case 'mode':
      return state.mode === event.mode ? `it runs ${event.mode} already` : undefined;
    default:
      break;
  }
  const step = Object.hasOwn(state.steps, event.step) ? state.steps[event.step] : undefined;
  const spec = snapshot.steps.find(({ id }) => id === event.step);
  if (step === undefined || spec === undefined) return `there is no step "${event.step}"; there are ${snapshot.steps.map(({ id }) => id).join(', ')}`;
  switch (event.type) {
    case 'skip': {
      if (isGate(spec)) return `step ${event.step} is an approval: it is approved or refused, by ${spec.approval?.from.join(', ') ?? 'nobody'}; what waits for it is not begun without`;
      if (step.status === 'pending' || (step.status === 'failed' && spec.critical)) return undefined;
      const waits = step.phase === 'approval' || step.phase === 'ask' || step.phase === 'resolve' || step.phase === 'prepare' || (step.phase === 'apply' && step.resolved?.timerMs !== undefined);
      if (step.status === 'in progress' && waits) return undefined;
      return step.status === 'in progress' ? `step ${event.step} is at work (${step.phase ?? ''}); abort the plan, or wait for it` : `step ${event.step} is ${step.status}`;
    }
    case 'retry':
      return step.status === 'failed' && spec.critical ? undefined : `step ${event.step} is ${step.status}; only a failed critical step is tried again`;
    case 'answer':
      return step.phase === 'ask' ? undefined : `nothing is asked about step ${event.step}: it is ${step.status}`;
    case 'approved':
    case 'rejected': {
      const { approval } = spec;
      if (approval === undefined || step.phase !== 'approval') return `step ${event.step} waits for no approval: it is ${step.status}`;
      if (!approval.from.includes(event.as)) return `${event.as} may not decide about ${event.step}; ${approval.from.join(', ')} may`;
      if (event.type === 'rejected') return undefined;
      if (step.approvals.some(({ as, hash }) => as === event.as && hash === event.hash)) return `${event.as} has approved ${event.step} already; another person has to`;
      if (event.hash !== step.resolved?.hash) return `the approval is for another preview (${event.hash.slice(0, 12)}) than what would run now (${step.resolved?.hash.slice(0, 12) ?? ''})`;
      return undefined;
    }
  }
}
