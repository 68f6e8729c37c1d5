import { afterAll, beforeAll, describe, test } from 'vitest';
import { startFailoverArena, type FailoverArena } from '../support/crash/failover-cases.ts';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';
import { stopAll } from '../support/index.ts';

let arena: FailoverArena;

beforeAll(async () => {
  arena = await startFailoverArena();
}, 400_000);
afterAll(async () => {
  await arena.stack.stop();
  await stopAll();
});

/** Half-way through the fence, and right after the promotion, before anybody was told; all moments: test/crash. */
const quick: readonly CrashPlan[] = [
  { activity: 'fenceLocal', when: 'inside', operation: 'rename', match: 'resurgo.fence', afterwards: true },
  { activity: 'promoteMember', when: 'inside', operation: 'sql', match: 'pg_promote', afterwards: true },
];
describe('P3 the worker dies while it fails over: fenced, promoted once, nothing lost, clients moved', () => {
  test.each(quick.map((plan) => [describePlan(plan), plan] as const))('%s', async (_, plan) => {
    await arena.run(plan);
  }, 400_000);
});
