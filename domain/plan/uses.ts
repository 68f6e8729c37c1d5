import type { ActionUse, ResolvedStep, StepSpec } from './model.ts';
import type { StepState } from './state.ts';

/** What a step does now: its own action, or the fallback's. */
export const useOf = (spec: StepSpec, variant: StepState['variant']): ActionUse => (variant === 'fallback' && spec.fallback !== undefined ? spec.fallback : spec);

const nothing: ResolvedStep = { input: null, subject: '', abilities: { effect: 'irreversible', probe: false, verify: false, compensate: false, prepare: false }, hash: '' };

/** What was resolved for it; a step is never applied before that. */
export const resolvedUse = (step: Pick<StepState, 'resolved'>): ResolvedStep => step.resolved ?? nothing;
