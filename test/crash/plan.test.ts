import { afterAll, beforeAll, describe, test } from 'vitest';
import { allCrashes, crashPlan, describeCrash, throughPlanCrash } from '../support/crash/plan-cases.ts';
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
}, 300_000);
afterAll(async () => {
  await stack.stop();
  await work.stop();
  await stopAll();
});

describe('I7 crash matrix of a six-step plan with rollback: before, inside and after every phase of every step', () => {
  test.each(allCrashes.map((crash) => [describeCrash(crash), crash] as const))('%s', async (_, crash) => {
    await throughPlanCrash(stack, script, crash);
  });
});
