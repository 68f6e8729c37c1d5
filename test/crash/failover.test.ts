import { afterAll, beforeAll, describe, test } from 'vitest';
import { failoverPlaces, startFailoverArena, type FailoverArena } from '../support/crash/failover-cases.ts';
import { matrixCases, planOf } from '../support/crash/matrix.ts';
import type { Effect } from '../support/crash/plan.ts';
import { stopAll } from '../support/index.ts';

let arena: FailoverArena;
let healthy: readonly Effect[];

beforeAll(async () => {
  arena = await startFailoverArena();
  healthy = await arena.run(undefined);
}, 600_000);
afterAll(async () => {
  await arena.stack.stop();
  await stopAll();
});

describe('P3 crash matrix of a failover: the worker dies before, inside and after every activity', () => {
  test.each(matrixCases(failoverPlaces).map((each) => [each.name, each] as const))('%s', async (_, each) => {
    await arena.run(planOf(each, healthy));
  }, 600_000);
});
