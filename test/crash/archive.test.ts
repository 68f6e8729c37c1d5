/** B14, B6: the moments that test/crash-quick leaves out. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';
import { deleting, startRows, swapping, type RowsArena } from '../support/crash/rows-arena.ts';
import { stopAll } from '../support/index.ts';

let arena: RowsArena;
beforeAll(async () => { arena = await startRows(); }, 400_000);
afterAll(async () => {
  await arena.stop();
  await stopAll();
}, 120_000);

const plans: CrashPlan[] = [
  { activity: 'prepareArchive', when: 'after' },
  { activity: 'dumpBackup', when: 'inside', operation: 'put', match: '/parts/', afterwards: true },
  { activity: 'dumpBackup', when: 'after' },
  { activity: 'publishBackup', when: 'inside', operation: 'put', match: 'manifest', store: 'second', afterwards: true },
  { activity: 'publishBackup', when: 'after' },
  deleting('sql', 'for update'),
  deleting('sql', 'delete from only'),
  deleting('put', 'deleting-rows', { store: 'local' }),
  deleting('put', 'deleting-rows', { store: 'second' }),
  deleting('sql', 'commit'),
  deleting('put', 'deleted-rows', { store: 'local' }),
  { activity: 'deleteArchived', when: 'after' },
  { activity: 'finishBackup', when: 'after' },
];

for (const plan of plans) {
  test(`B14 killed ${describePlan(plan)}: the run goes on`, () => arena.goesOn(plan), 400_000);
}
for (const plan of plans.filter((one) => ['publishBackup', 'deleteArchived'].includes(one.activity) && !(one.activity === 'deleteArchived' && one.when === 'after'))) {
  test(`B14 killed ${describePlan(plan)}, and Temporal forgets the run: the next finds out what happened`, () => arena.forgotten(plan), 400_000);
}

test('B14 a table that is rewritten between read-back and deletion loses nothing', async () => {
  const { db, stack } = arena;
  await arena.fill();
  const run = await arena.die({ activity: 'publishBackup', when: 'after' });
  await db.query('create index by_note on events (note desc); cluster events using by_note');
  await stack.startWorker();
  expect(await stack.resultOf(run)).toMatchObject({ errors: [] });
  for (let i = 0; i < 5; i++) await stack.run('archive', { target: 'orders' });
  await arena.assertOnce();
}, 400_000);

for (const match of ['lock table', 'create table', 'insert into', 'commit']) {
  test(`B6 killed ${describePlan(swapping(match))}: the sets are restored whole, and come back on rollback`, () => arena.restoredWhole(swapping(match)), 400_000);
}
