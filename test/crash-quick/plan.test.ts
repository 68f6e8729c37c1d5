import { afterAll, beforeAll, describe, test } from 'vitest';
import { crashPlan, describeCrash, throughPlanCrash, type PlanCrash } from '../support/crash/plan-cases.ts';
import { PlanScript } from '../support/plan-script.ts';
import { stopAll, tempDir, type TempDir } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

let stack: Stack;
let work: TempDir;
let script: PlanScript;

beforeAll(async () => {
  work = tempDir('plan-crash');
  script = new PlanScript(work.path);
  stack = await startStack({ targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://x@127.0.0.1:1/shop' } }, sections: { plans: { p: crashPlan(script) } } });
}, 240_000);
afterAll(async () => {
  await stack.stop();
  await work.stop();
  await stopAll();
});

const quick: readonly PlanCrash[] = [
  { how: 'worker', activity: 'applyStep:s2', when: 'after' },
  { how: 'program', step: 's3', phase: 'apply', when: 'after' },
  { how: 'program', step: 's4', phase: 'compensate', when: 'before' },
];
describe('I7 I10 the worker of a plan is killed: each effect at most once, everything undone in reverse', () => {
  test.each(quick.map((crash) => [describeCrash(crash), crash] as const))('%s', async (_, crash) => {
    await throughPlanCrash(stack, script, crash);
  }, 240_000);
});
