/** What a driver that died had been asked to do and never answered, told from the state. */
import { heldKey, keyOf } from './machine.ts';
import type { PlanSnapshot } from './model.ts';
import type { PlanCommand, PlanState } from './state.ts';
import { useOf } from './uses.ts';

export function outstanding(snapshot: PlanSnapshot, state: PlanState, now: number): PlanCommand[] {
  const commands: PlanCommand[] = [];
  if (state.stage === 'ended' || state.stage === 'created') return commands;
  for (const spec of snapshot.steps) {
    const step = state.steps[spec.id];
    if (step?.status !== 'in progress' || step.phase === undefined || step.phase === 'ask') continue;
    const key = keyOf(spec.id, step);
    if (step.phase === 'approval' || (step.phase === 'apply' && step.resolved?.timerMs !== undefined)) commands.push({ type: 'timer', key, step: spec.id, at: step.timerAt ?? now });
    // The time while nobody was at work does not count.
    else commands.push({ type: step.phase, key, step: spec.id, variant: step.variant, deadlineAt: now + (step.phase === 'confirm' ? (spec.verify?.timeoutMs ?? 60_000) : useOf(spec, step.variant).timeoutMs) });
  }
  for (const [index, entry] of state.undo.entries()) {
    if (entry.status === 'running') commands.push({ type: 'undo', key: `undo#${String(index)}`, step: entry.step, variant: entry.variant, deadlineAt: now + 600_000, undo: index });
  }
  if (state.held !== null) commands.push({ type: 'timer', key: heldKey(state.held), step: state.held.step, at: state.held.until });
  return commands;
}
