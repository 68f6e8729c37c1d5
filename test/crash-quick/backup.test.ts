import { afterAll, beforeAll, describe, test } from 'vitest';
import { startArena, type Arena } from '../support/crash/arena.ts';
import { backupCase } from '../support/crash/cases.ts';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';

let arena: Arena;
let digest: string;

beforeAll(async () => {
  arena = await startArena({ lanes: 4 });
  digest = await arena.digest();
}, 360_000);
afterAll(async () => arena.stop(), 60_000);

/** One moment of every activity, spread over engines and routes; all of them: test/crash. */
const cases: { target: string; kind?: 'incremental'; plan: CrashPlan }[] = [
  { target: 'logical', plan: { activity: 'prepareBackup', when: 'inside', operation: 'put' } },
  { target: 'logical', plan: { activity: 'dumpBackup', when: 'inside', operation: 'spawn', match: 'pg_dump ', afterwards: true, delayMs: 300 } },
  { target: 'physical', plan: { activity: 'dumpBackup', when: 'inside', operation: 'put', match: '/parts/', at: 2, afterwards: true } },
  { target: 'physical', kind: 'incremental', plan: { activity: 'dumpBackup', when: 'after' } },
  { target: 'spooled', plan: { activity: 'storeBackup', when: 'before' } },
  { target: 'spooled', plan: { activity: 'dumpBackup', when: 'inside', operation: 'put', store: 'cloud', afterwards: true } },
  { target: 'mixed', plan: { activity: 'storeBackup', when: 'inside', operation: 'put', store: 'cloud' } },
  { target: 'physical', plan: { activity: 'verifyBackup', when: 'inside', operation: 'get', at: 2 } },
  { target: 'mixed', plan: { activity: 'publishBackup', when: 'inside', operation: 'put', match: 'manifest', afterwards: true } },
  { target: 'tree', plan: { activity: 'dumpBackup', when: 'inside', operation: 'put', match: '/parts/', at: 2, afterwards: true } },
  { target: 'spooled', plan: { activity: 'finishBackup', when: 'inside', operation: 'rm', at: 2 } },
];

// The time limits count the wait for a lane too.
describe('B10 B15 the worker is killed in a backup', () => {
  for (const each of cases) {
    test.concurrent(`${each.target} ${each.kind ?? 'full'}, killed ${describePlan(each.plan)}`, async ({ skip }) => {
      if (arena.s3 === undefined && ['mixed', 'spooled'].includes(each.target)) skip('no S3 server here');
      await arena.inLane((lane) => backupCase(arena, lane, each, digest));
    }, 1_800_000);
  }
});
