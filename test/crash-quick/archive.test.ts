/** B14: whenever the worker dies, each row is live or archived, and never both. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { fetchArchived } from '../../client/archive/fetch.ts';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';
import { type PostgresServer, startPostgres, stopAll } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
let db: pg.Client;
let tries = 0;

beforeAll(async () => {
  server = await startPostgres();
  db = new pg.Client({ connectionString: server.url() });
  await db.connect();
  await db.query(`create table events (id int, at timestamptz, note text); create table everything (id int, at timestamptz, note text)`);
  stack = await startStack({
    targets: { orders: { type: 'postgres', engine: 'logical', connection: server.url() } },
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    sections: { archives: [{ target: 'orders', tables: { events: { column: 'at' } }, after: '30d', batch: 300 }] },
  });
}, 240_000);
beforeEach(async () => {
  await db.query(`insert into events select g, timestamptz '2026-01-01' + g * interval '1 minute', 'n' || g from generate_series(1, 500) g;
    update events set id = id + ${String(1000 * tries)}; insert into everything table events`);
});
afterAll(async () => {
  await stack.stop();
  await db.end();
  await stopAll();
}, 60_000);

/** What is live and what is archived, together, is everything that ever was, each row once. */
async function assertOnce(): Promise<void> {
  const name = `back_${String(++tries)}`;
  const { warnings } = await fetchArchived(stack.loaded, { target: 'orders', from: '2000-01-01', to: '2100-01-01', format: 'csv', scratchTable: name, signal: new AbortController().signal, onNote: () => undefined });
  expect(warnings).toEqual([]);
  const { rows } = await db.query<{ lost: number; twice: number; live: number }>(
    `with now as (table events union all table ${name}) select (select count(*)::int from (table everything except all table now) x) as lost, (select count(*)::int from (table now except all table everything) x) as twice, (select count(*)::int from events) as live`,
  );
  expect(rows[0]).toEqual({ lost: 0, twice: 0, live: 0 });
}

const inside = (operation: CrashPlan['operation'], match: string, more: Partial<CrashPlan> = {}): CrashPlan => ({ activity: 'deleteArchived', when: 'inside', ...(operation === undefined ? {} : { operation }), match, ...more });
const plans: CrashPlan[] = [
  { activity: 'publishBackup', when: 'after' },
  inside('sql', 'delete from only', { afterwards: true }),
  inside('put', 'deleting-rows', { store: 'local', afterwards: true }),
  inside('sql', 'commit', { afterwards: true }),
];

async function die(plan: CrashPlan) {
  if (!stack.workerRuns) await stack.startWorker();
  stack.arm(plan);
  const run = await stack.start('archive', { target: 'orders' });
  await stack.workerDeath();
  expect(stack.crashed).toBe(true);
  return run;
}

for (const plan of plans) {
  test(`killed ${describePlan(plan)}: the run goes on`, async () => {
    const run = await die(plan);
    await stack.startWorker();
    expect(await stack.resultOf(run)).toMatchObject({ status: 'archived', deletedRecords: 500, archivedRecords: 500, keptRecords: 0, errors: [] });
    await assertOnce();
  }, 300_000);
}

for (const plan of [inside('put', 'deleting-rows', { store: 'second', afterwards: true }), inside('sql', 'commit', { afterwards: true })]) {
  test(`killed ${describePlan(plan)}, and Temporal forgets the run: the next finds out what happened`, async () => {
    const run = await die(plan);
    const { client } = await stack.client();
    await client.workflow.getHandle('op/orders').terminate('lost');
    await run.handle.terminate('lost').catch(() => undefined);
    await stack.startWorker();
    const next = await stack.run('archive', { target: 'orders' });
    expect(next).toMatchObject({ status: 'archived', errors: [] });
    expect(next.warnings.join()).toMatch(/earlier runs that died were (finished|withdrawn)/);
    await assertOnce();
  }, 300_000);
}
