import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leftovers } from '../../../domain/plan/outcome.ts';
import { next } from '../../../domain/plan/machine.ts';
import { diceStep, simulate, type DiceStep, type Trace } from './simulate.ts';

const runs = 400;
const anyRun = fc.tuple(fc.array(diceStep, { minLength: 1, maxLength: 8 }), fc.constantFrom('compensate' as const, 'pause' as const), fc.array(fc.nat(1000), { maxLength: 60 }));
const property = (name: string, check: (trace: Trace, dice: readonly DiceStep[]) => void): void => {
  test(name, () => {
    fc.assert(fc.property(anyRun, ([dice, onFailure, throws]) => { check(simulate(dice, onFailure, throws), dice); }), { numRuns: runs });
  });
};

describe('I7 the plan interpreter, whatever happens', () => {
  property('ends, with no step at work and one true word for it', ({ state, snapshot }) => {
    expect(Object.values(state.steps).filter((step) => step.status === 'in progress' || step.status === 'pending')).toEqual([]);
    expect(['completed', 'failed', 'compensated']).toContain(state.status);
    if (state.status === 'compensated') expect(leftovers(snapshot, state)).toEqual([]);
    if (state.status === 'completed') expect(snapshot.steps.filter(({ id, critical }) => critical && state.steps[id]?.status !== 'completed' && state.steps[id]?.status !== 'skipped')).toEqual([]);
  });

  property('starts no step before what it needs has ended', ({ log, snapshot }) => {
    for (const entry of log) {
      if (!('command' in entry) || entry.command.type !== 'resolve') continue;
      const { step } = entry.command;
      for (const need of snapshot.steps.find(({ id }) => id === step)?.needs ?? []) expect(['completed', 'skipped', 'failed', 'unknown']).toContain(entry.before.steps[need]?.status);
    }
  });

  property('registers how a step is undone before it is applied', ({ log, snapshot }, dice) => {
    for (const entry of log) {
      if (!('command' in entry) || entry.command.type !== 'apply') continue;
      const { step, variant } = entry.command;
      const die = dice[Number(step.slice(1))] as DiceStep;
      if (!die.compensate || die.effect === 'none' || entry.before.passed !== null) continue;
      expect(entry.before.undo.some((undo) => undo.step === step && undo.variant === variant && undo.status === 'registered')).toBe(true);
    }
    expect(snapshot.steps.length).toBe(dice.length);
  });

  property('undoes in reverse, one at a time, when nothing is at work any more', ({ log }) => {
    let last = Infinity;
    for (const entry of log) {
      if (!('command' in entry) || entry.command.type !== 'undo') continue;
      expect(entry.command.undo).toBeLessThan(last);
      last = entry.command.undo ?? 0;
      expect(Object.values(entry.before.steps).some((step) => step.status === 'in progress')).toBe(false);
      expect(entry.before.undo.filter((undo) => undo.status === 'running')).toHaveLength(1);
    }
  });

  property('undoes nothing behind a point of no return that may have been passed', ({ log, snapshot }) => {
    for (const entry of log) {
      if (!('command' in entry) || entry.command.type !== 'undo') continue;
      for (const { id, pointOfNoReturn } of snapshot.steps) if (pointOfNoReturn) expect(entry.before.steps[id]?.applied).toBe('no');
    }
  });

  property('has an irreversible action attempted again only when the attempt before is known to have done nothing, or a person says so', ({ log, snapshot }) => {
    for (const { id, effect } of snapshot.steps) {
      if (effect !== 'irreversible') continue;
      // A fallback is another action, meant for a failure that is known: what the first one did must be known, not that it did nothing.
      let [cleared, known, variant] = [true, true, 'main'];
      for (const entry of log) {
        if ('command' in entry) {
          if (entry.command.type !== 'apply' || entry.command.step !== id) continue;
          expect(entry.command.variant === variant ? cleared : known).toBe(true);
          [cleared, known, variant] = [false, false, entry.command.variant];
        } else {
          const { event } = entry;
          const answers = 'key' in event && event.key.startsWith(`${id}#`);
          if (answers && event.type === 'applied') known = true;
          if (answers && event.type === 'probed') [cleared, known] = [cleared || event.answer === 'notApplied', known || event.answer !== 'unknown'];
          if (answers && event.type === 'phaseFailed' && event.outcome !== 'lost') [cleared, known] = [true, true];
          if ((event.type === 'retry' || event.type === 'answer') && event.step === id) [cleared, known] = [true, true];
        }
      }
    }
  });

  property('takes no notice of an event that answers nothing, or answers twice', ({ log, snapshot }) => {
    for (const [index, entry] of log.entries()) {
      if (!('event' in entry) || !('key' in entry.event) || index % 7 !== 0) continue;
      const once = next(snapshot, entry.before, entry.event);
      const twice = next(snapshot, once.state, entry.event);
      expect(twice.commands).toEqual([]);
      expect({ ...twice.state, status: '' }).toEqual({ ...once.state, status: '' });
    }
  });
});
