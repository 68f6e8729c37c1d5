/** Whenever the worker dies, each row is live or archived, and never both (B14); a data set is restored whole or not at all (B6). More: test/crash. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleting, startRows, swapping, type RowsArena } from '../support/crash/rows-arena.ts';
import { stopAll } from '../support/index.ts';

let arena: RowsArena;
beforeAll(async () => { arena = await startRows(); }, 400_000);
afterAll(async () => {
  await arena.stop();
  await stopAll();
}, 120_000);

test('B14 the worker dies when the deletion has committed and nobody knows, and Temporal forgets the run: the next finds out', async () => {
  await arena.forgotten(deleting('sql', 'commit'));
}, 400_000);

test('B14 the worker dies after the read-back, and rows change before the deletion: they stay, and are not taken for archived', async () => {
  const { db, stack } = arena;
  await arena.fill();
  const run = await arena.die({ activity: 'publishBackup', when: 'after' });
  const { rows } = await db.query<{ id: number }>('select id from events order by at limit 3');
  const [changed, gone] = rows.map(({ id }) => id);
  for (const table of ['events', 'everything']) {
    await db.query(`update ${table} set note = 'changed' where id = $1`, [changed]);
    await db.query(`delete from ${table} where id = $1`, [gone]);
  }
  await stack.startWorker();
  expect(await stack.resultOf(run)).toMatchObject({ status: 'archived', archivedRecords: 300, deletedRecords: 298, keptRecords: 2 });
  expect(await stack.run('archive', { target: 'orders' })).toMatchObject({ deletedRecords: 201, keptRecords: 0 });
  await arena.assertOnce();
}, 400_000);

test('B6 the worker dies when the rows are replaced: they are replaced once, and come back on rollback', async () => {
  await arena.restoredWhole(swapping('commit'));
}, 400_000);
