/** Data sets (B6) through workflow, worker and repository. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PostgresServer, startPostgres, stopAll } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
let db: pg.Client;

const count = async (sql: string): Promise<number> => (await db.query<{ n: number }>(`select (${sql})::int as n`)).rows[0]?.n ?? -1;

beforeAll(async () => {
  server = await startPostgres();
  db = new pg.Client({ connectionString: server.url() });
  await db.connect();
  await db.query(`create table version (v int); insert into version values (7);
    create table participants (id int primary key, name text); create table attendance (id int primary key, participant int references participants);
    insert into participants select g, 'p' || g from generate_series(1, 20) g; insert into attendance select g, 1 + g % 20 from generate_series(1, 300) g;
    create table settings (k text primary key, v text); insert into settings values ('a', '1')`);
  stack = await startStack({
    targets: {
      sets: {
        type: 'dataset', connection: server.url(), schemaVersion: { query: 'select v from version' },
        sets: { people: { tables: ['participants', 'attendance'] }, configuration: { tables: ['settings'], schemaVersion: '2.4' }, active: { queries: { active: { sql: 'select * from participants where id < 4;' } } } },
      },
    },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await db.end();
  await stopAll();
});

test('a backup tells its counts per set, and a set is restored in place by itself, with what the restore counted', async () => {
  const backup = await stack.run('backup', { target: 'sets' });
  expect(backup).toMatchObject({ status: 'verified', engine: 'dataset', counts: { tables: 4, rows: 324, sets: { people: 320, configuration: 1, active: 3 } } });
  await db.query(`delete from attendance where id > 10; update participants set name = 'x'; update settings set v = 'changed'`);
  const restored = await stack.run('restore', { target: 'sets', mode: 'in-place', only: ['people'] });
  expect(restored).toMatchObject({ status: 'restored', restoredRecords: 320 });
  expect(await count('select count(*) from attendance')).toBe(300);
  expect(await count(`select count(*) from participants where name = 'x'`)).toBe(0);
  expect(await count(`select count(*) from settings where v = 'changed'`)).toBe(1);
  const back = await stack.run('finishRestore', { target: 'sets', id: restored.id, action: 'rollback' });
  expect(back.status).toBe('rolled-back');
  expect(await count('select count(*) from attendance')).toBe(10);
});

test('in place a query without a table, and a schema version two apart, are refused before anything is touched; one apart is not', async () => {
  await expect(stack.run('restore', { target: 'sets', mode: 'in-place' })).rejects.toMatchObject({ code: 'unsupported' });
  for (const [version, refused] of [[9, true], [5, true], [8, false], [6, false]] as const) {
    await db.query('update version set v = $1', [version]);
    const run = stack.run('restore', { target: 'sets', mode: 'in-place', only: ['people'], preview: true });
    if (refused) await expect(run).rejects.toMatchObject({ code: 'schemaVersion', message: expect.stringContaining('2 apart') as string });
    else expect((await run).status).toBe('preview');
  }
  expect(await count(`select count(*) from pg_namespace where nspname like 'resurgo%'`)).toBe(0);
});

test('beside into a database of its own, and scratch, leave only what was asked for', async () => {
  await db.query('update version set v = 7');
  expect(await stack.run('restore', { target: 'sets', mode: 'beside', to: 'copy' })).toMatchObject({ status: 'restored', restoredRecords: 324 });
  const copy = new pg.Client({ connectionString: server.url('copy') });
  await copy.connect();
  expect((await copy.query('select count(*)::int as n from active')).rows).toEqual([{ n: 3 }]);
  expect((await copy.query(`select 1 from pg_namespace where nspname like 'resurgo%'`)).rowCount).toBe(0);
  await copy.end();
  await expect(stack.run('restore', { target: 'sets', mode: 'beside', to: 'copy' })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
  expect(await stack.run('restore', { target: 'sets', mode: 'scratch' })).toMatchObject({ status: 'restored', restoredRecords: 324 });
  expect(await count(`select count(*) from pg_namespace where nspname like 'resurgo%'`)).toBe(0);
  await db.query('drop database copy');
});
