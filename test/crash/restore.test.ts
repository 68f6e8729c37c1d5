import { afterAll, beforeAll, describe, test } from 'vitest';
import { startArena, type Arena } from '../support/crash/arena.ts';
import { matrixCases, planOf } from '../support/crash/matrix.ts';
import type { Effect } from '../support/crash/plan.ts';
import { effectsOf, finishCase, hasBackup, restoreCase, restoreLane, undoneCase, type Mode, type RestoreCase } from '../support/crash/restore-cases.ts';

const settled = { planRestore: 2, buildRestore: 6, verifyRestore: 3, settleRestore: 3, recordRestore: 2 };
const inPlace = { planRestore: 1, buildRestore: 3, verifyRestore: 1, stopServices: 1, swapIn: 5, startServices: 1, healthCheck: 1, recordRestore: 2 };
const undoing = { stopServices: 0, swapBack: 4, startServices: 0, discardRestore: 3 };
const finishing = { finishInPlace: 5 };

const settledVariants: { target: RestoreCase['target']; mode: Mode }[] = [
  { target: 'single', mode: 'beside' },
  { target: 'single', mode: 'scratch' },
  { target: 'physical', mode: 'beside' },
  { target: 'physical', mode: 'scratch' },
];
const replaced = ['own', 'cluster'] as const;

let arena: Arena;
let digest: string;
/** What each variant does when nothing kills it. */
const plain = new Map<string, Effect[]>();
const effects = (name: string): Effect[] => plain.get(name) ?? [];

beforeAll(async () => {
  arena = await startArena({ lanes: 8, rows: 60_000, template: true, extend: restoreLane });
  digest = await arena.digest();
  await arena.inLane(async (lane) => {
    for (const { target, mode } of settledVariants) plain.set(`${target} ${mode}`, await effectsOf(arena, lane, target, mode));
    for (const target of replaced) {
      for (const what of ['in-place', 'undone', 'confirm', 'rollback'] as const) plain.set(`${target} ${what}`, await effectsOf(arena, lane, target, what));
    }
  });
}, 1_800_000);
afterAll(async () => arena.stop(), 60_000);

for (const { target, mode } of settledVariants) {
  describe(`R2 restore of ${target}, ${mode}, its worker killed`, () => {
    for (const each of matrixCases(settled)) {
      test.concurrent(each.name, () => arena.inLane((lane) => restoreCase(arena, lane, { target, mode, plan: planOf(each, effects(`${target} ${mode}`)) }, digest), hasBackup(target)), 1_800_000);
    }
  });
}

for (const target of replaced) {
  describe(`R2 R3 restore of ${target} in place, its worker killed`, () => {
    for (const each of matrixCases(inPlace)) {
      test.concurrent(each.name, () => arena.inLane((lane) => restoreCase(arena, lane, { target, mode: 'in-place', plan: planOf(each, effects(`${target} in-place`)) }, digest), hasBackup(target)), 1_800_000);
    }
    for (const each of matrixCases(undoing)) {
      test.concurrent(`undone: ${each.name}`, () => arena.inLane((lane) => undoneCase(arena, lane, { target, mode: 'in-place', plan: planOf(each, effects(`${target} undone`)) }), hasBackup(target)), 1_800_000);
    }
    for (const action of ['confirm', 'rollback'] as const) {
      for (const each of matrixCases(finishing)) {
        test.concurrent(`${action}: ${each.name}`, () => arena.inLane((lane) => finishCase(arena, lane, { target, plan: planOf(each, effects(`${target} ${action}`)) }, action), hasBackup(target)), 1_800_000);
      }
    }
  });
}
