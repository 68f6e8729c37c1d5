/** Drives the plan interpreter with a driver made of dice: commands are answered in any order and in any way, people interfere. */
import fc from 'fast-check';
import { initialState, next } from '../../../domain/plan/machine.ts';
import type { PlanSnapshot, ResolvedStep, StepSpec } from '../../../domain/plan/model.ts';
import type { PlanCommand, PlanEvent, PlanState } from '../../../domain/plan/state.ts';

export interface DiceStep {
  readonly needs: readonly number[];
  readonly effect: 'none' | 'converge' | 'irreversible';
  readonly probe: boolean;
  readonly verify: boolean;
  readonly compensate: boolean;
  readonly prepare: boolean;
  readonly critical: boolean;
  readonly pointOfNoReturn: boolean;
  readonly fallback: boolean;
  readonly confirm: boolean;
  readonly approval: boolean;
}

export const diceStep: fc.Arbitrary<DiceStep> = fc.record({
  needs: fc.array(fc.nat(7), { maxLength: 3 }),
  effect: fc.constantFrom('none', 'converge', 'converge', 'irreversible'),
  probe: fc.boolean(),
  verify: fc.boolean(),
  compensate: fc.boolean(),
  prepare: fc.boolean(),
  critical: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  pointOfNoReturn: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
  fallback: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
  confirm: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  approval: fc.integer({ min: 0, max: 6 }).map((n) => n === 0),
});

export function snapshotOf(dice: readonly DiceStep[], onFailure: 'compensate' | 'pause'): PlanSnapshot {
  const use = (effect: DiceStep['effect']) => ({ uses: 'x.y', version: 1, with: {}, effect, timeoutMs: 60_000 });
  const steps = dice.map((step, index): StepSpec => ({
    id: `s${String(index)}`,
    needs: [...new Set(step.needs.filter((need) => need < index).map((need) => `s${String(need)}`))],
    scope: '',
    ...use(step.effect),
    critical: step.critical,
    pointOfNoReturn: step.pointOfNoReturn,
    ...(step.fallback ? { fallback: use(step.effect) } : {}),
    ...(step.confirm ? { verify: use('none') } : {}),
    ...(step.approval ? { approval: { from: ['a', 'b'], count: 2, withinMs: 1000, onTimeout: 'fail' as const, escalate: [] } } : {}),
  }));
  return { schemaVersion: 1, plan: 'p', priority: 'medium', onFailure, personMs: 10_000, params: {}, steps, hash: 'h' };
}

export const resolvedOf = ({ effect, probe, verify, compensate, prepare }: DiceStep): ResolvedStep => ({ input: {}, subject: '', hash: 'r', abilities: { effect, probe, verify, compensate, prepare } });

export interface Trace {
  readonly snapshot: PlanSnapshot;
  state: PlanState;
  readonly log: ({ readonly command: PlanCommand; readonly before: PlanState } | { readonly event: PlanEvent; readonly before: PlanState })[];
}

/** Runs to the end. @throws when it does not end */
export function simulate(dice: readonly DiceStep[], onFailure: 'compensate' | 'pause', throws: readonly number[]): Trace {
  const snapshot = snapshotOf(dice, onFailure);
  const trace: Trace = { snapshot, state: initialState(snapshot), log: [] };
  const open = new Map<string, PlanCommand>();
  let at = 1000;
  let used = 0;
  const roll = (sides: number): number => (used < throws.length ? (throws[used++] ?? 0) % sides : 0);
  const take = (event: PlanEvent): void => {
    const before = trace.state;
    const made = next(snapshot, before, event);
    trace.log.push({ event, before });
    trace.state = made.state;
    for (const command of made.commands) {
      trace.log.push({ command, before: trace.state });
      if (command.type === 'cancel') {
        const cancelled = open.get(command.key);
        // What is being applied answers that it was cancelled; the rest is never heard of again.
        if (cancelled?.type !== 'apply') open.delete(command.key);
      } else open.set(command.key, command);
    }
  };
  take({ type: 'start', mode: 'graceful', at });
  for (let turns = 0; trace.state.stage !== 'ended'; turns++) {
    if (turns > 2000) throw new Error(`does not end: ${JSON.stringify(trace.state)}`);
    at += 1;
    const commands = [...open.values()];
    const dicing = used < throws.length;
    if (dicing && roll(6) === 0) {
      const step = `s${String(roll(dice.length))}`;
      const people: PlanEvent[] = [
        { type: 'pause', by: 'x', at }, { type: 'resume', by: 'x', at }, { type: 'skip', step, by: 'x', at }, { type: 'retry', step, by: 'x', at }, { type: 'mode', mode: 'ungraceful', by: 'x', at },
        { type: 'answer', step, answer: roll(2) === 0 ? 'applied' : 'notApplied', by: 'x', at }, { type: 'approved', step, as: roll(2) === 0 ? 'a' : 'b', hash: 'r', at }, { type: 'rejected', step, as: 'a', at }, { type: 'abort', by: 'x', at },
      ];
      take(people[roll(people.length)] as PlanEvent);
      continue;
    }
    // Nobody else wakes a plan that was paused when its last step ended.
    if ((!dicing || commands.length === 0) && trace.state.paused !== null) {
      take({ type: 'resume', by: 'x', at });
      continue;
    }
    const command = commands[roll(commands.length)];
    if (command === undefined) throw new Error(`nothing is awaited, and it has not ended: ${JSON.stringify(trace.state)}`);
    open.delete(command.key);
    take(answerTo(command, dice, roll, at));
  }
  return trace;
}

function answerTo(command: PlanCommand, dice: readonly DiceStep[], roll: (sides: number) => number, at: number): PlanEvent {
  const { key } = command;
  const error = { code: 'toolFailed', message: 'dice' };
  if (command.type === 'cancel' || command.type === 'timer') return { type: 'expired', key, at: command.type === 'timer' ? Math.max(at, command.at) : at };
  const bad = roll(5) === 4;
  switch (command.type) {
    case 'resolve':
      return bad ? (roll(2) === 0 ? { type: 'notNeeded', key, reason: 'dice', at } : { type: 'phaseFailed', key, error, outcome: 'failed', at }) : { type: 'resolved', key, resolved: resolvedOf(dice[Number(command.step.slice(1))] as DiceStep), at };
    case 'prepare':
      return bad ? { type: 'phaseFailed', key, error, outcome: 'failed', at } : { type: 'prepared', key, captured: { was: 1 }, remarks: [], at };
    case 'apply':
      return bad ? { type: 'phaseFailed', key, error: { code: roll(2) === 0 ? 'outcomeUnknown' : 'toolFailed', message: 'dice' }, outcome: (['lost', 'refused', 'failed'] as const)[roll(3)] as 'lost', at } : { type: 'applied', key, summary: 'done', output: {}, at };
    case 'probe':
      return { type: 'probed', key, answer: (['applied', 'notApplied', 'unknown'] as const)[roll(3)] as 'applied', at };
    case 'undo':
      return bad ? { type: 'undoFailed', key, error, at } : { type: 'undone', key, summary: 'undone', at };
    default:
      return bad ? { type: 'phaseFailed', key, error, outcome: 'failed', at } : { type: 'verified', key, summary: 'good', at };
  }
}
