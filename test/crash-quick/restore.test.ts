import { afterAll, beforeAll, describe, test } from 'vitest';
import { startArena, type Arena } from '../support/crash/arena.ts';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';
import { finishCase, hasBackup, restoreCase, restoreLane, undoneCase, type RestoreCase } from '../support/crash/restore-cases.ts';

let arena: Arena;
let digest: string;

beforeAll(async () => {
  arena = await startArena({ lanes: 3, rows: 40_000, template: true, extend: restoreLane });
  digest = await arena.digest();
}, 360_000);
afterAll(async () => arena.stop(), 60_000);

/** One moment of every activity, spread over engines and modes; all of them: test/crash. */
const cases: RestoreCase[] = [
  { target: 'single', mode: 'beside', plan: { activity: 'buildRestore', when: 'inside', operation: 'spawn', match: 'pg_restore', afterwards: true, delayMs: 100 } },
  { target: 'physical', mode: 'beside', plan: { activity: 'buildRestore', when: 'inside', operation: 'spawn', match: 'pg_controldata', afterwards: true, delayMs: 30 } },
  { target: 'cluster', mode: 'in-place', plan: { activity: 'swapIn', when: 'inside', operation: 'rename', match: '_old$', afterwards: true } },
  { target: 'own', mode: 'in-place', plan: { activity: 'swapIn', when: 'inside', operation: 'sql', match: '^commit', afterwards: true } },
  { target: 'physical', mode: 'scratch', plan: { activity: 'verifyRestore', when: 'inside', operation: 'sql', at: 5 } },
  { target: 'own', mode: 'in-place', plan: { activity: 'stopServices', when: 'inside', operation: 'spawn', afterwards: true, delayMs: 50 } },
  { target: 'cluster', mode: 'in-place', plan: { activity: 'startServices', when: 'inside', operation: 'spawn', afterwards: true, delayMs: 50 } },
  { target: 'single', mode: 'scratch', plan: { activity: 'settleRestore', when: 'after' } },
  { target: 'physical', mode: 'beside', plan: { activity: 'planRestore', when: 'inside', operation: 'get' } },
  { target: 'own', mode: 'in-place', plan: { activity: 'recordRestore', when: 'before' } },
];
const undone: { target: 'own' | 'cluster'; plan: CrashPlan }[] = [
  { target: 'cluster', plan: { activity: 'swapBack', when: 'inside', operation: 'rename', at: 2, afterwards: true } },
  { target: 'own', plan: { activity: 'discardRestore', when: 'before' } },
];

describe('R2 R3 the worker is killed in a restore', () => {
  for (const each of cases) {
    test.concurrent(`${each.target} ${each.mode}, killed ${describePlan(each.plan)}`, () => arena.inLane((lane) => restoreCase(arena, lane, each, digest), hasBackup(each.target)), 1_800_000);
  }
  for (const each of undone) {
    test.concurrent(`${each.target} in place is undone, killed ${describePlan(each.plan)}`, () => arena.inLane((lane) => undoneCase(arena, lane, { ...each, mode: 'in-place' }), hasBackup(each.target)), 1_800_000);
  }
  test.concurrent('own is rolled back, killed at its commit', () =>
    arena.inLane((lane) => finishCase(arena, lane, { target: 'own', plan: { activity: 'finishInPlace', when: 'inside', operation: 'sql', match: '^commit', afterwards: true } }, 'rollback'), hasBackup('own')), 1_800_000);
  test.concurrent('cluster is rolled back, killed when it was done', () =>
    arena.inLane((lane) => finishCase(arena, lane, { target: 'cluster', plan: { activity: 'finishInPlace', when: 'inside', operation: 'rm', match: 'swap.json', afterwards: true } }, 'rollback'), hasBackup('cluster')), 1_800_000);
});
