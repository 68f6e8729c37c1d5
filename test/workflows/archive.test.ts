/** The archive (B14): rows move once, whole and verified; what changed meanwhile stays; what is archived can be had back. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { fetchArchived, type FetchOptions } from '../../client/archive/fetch.ts';
import { type PostgresServer, startPostgres, stopAll } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let server: PostgresServer;
let stack: Stack;
let db: pg.Client;

const count = async (sql: string): Promise<number> => (await db.query<{ n: number }>(`select (${sql})::int as n`)).rows[0]?.n ?? -1;
const fetched = (options: Partial<FetchOptions>) =>
  fetchArchived(stack.loaded, { target: 'orders', from: '2000-01-01', to: '2100-01-01', format: 'csv', signal: new AbortController().signal, onNote: () => undefined, ...options });

beforeAll(async () => {
  server = await startPostgres();
  db = new pg.Client({ connectionString: server.url() });
  await db.connect();
  for (const sql of [
    `create table events (id int primary key, at timestamptz not null, note text, v jsonb, parts numeric(10,2)[])`,
    `insert into events select g, timestamptz '2026-01-01' + g * interval '1 hour', case when g % 7 = 0 then null else E'tab\\there, "quoted"\\nline \\\\' || g end, '{"a":[1,null]}', '{1.50,NULL}' from generate_series(1, 2000) g`,
    `insert into events select g, now(), 'new', null, null from generate_series(2001, 2100) g`,
    `create table orders (id int primary key, at date not null)`,
    `create table items (id int primary key, order_id int references orders on delete cascade, at date not null)`,
    `insert into orders select g, '2026-02-01' from generate_series(1, 50) g`,
    // Orders 41–50 have an item of today: neither goes, nor is the item taken along.
    `insert into items select g, 1 + (g - 1) % 50, case when (g - 1) % 50 >= 40 then current_date else date '2026-02-01' end from generate_series(1, 100) g`,
    `create table logs (at timestamptz not null, line text) partition by range (at)`,
    `create table logs_old partition of logs for values from (minvalue) to ('2026-03-01')`,
    `create table logs_rest partition of logs default`,
    `insert into logs select timestamptz '2026-02-20' + g * interval '1 day', 'l' || g from generate_series(1, 30) g`,
    `create table short (id int primary key, at timestamptz, closed boolean); insert into short select g, '2026-01-01', g <= 5 from generate_series(1, 10) g`,
    `create table events_before as select * from events where id <= 2000`,
  ]) await db.query(sql);
  stack = await startStack({
    targets: { orders: { type: 'postgres', engine: 'logical', connection: server.url() }, short: { type: 'postgres', engine: 'logical', connection: server.url() } },
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    sections: { archives: [
      { target: 'orders', tables: { events: { column: 'at' }, orders: { column: 'at' }, items: { column: 'at' }, logs: { column: 'at' }, missing: { column: 'at' } }, after: '30d', batch: 1200 },
      { target: 'short', tables: { short: { where: 't.closed and t.at < {cutoff}' } }, after: '30d', keep: '1s' },
    ] },
  });
  await stack.startWorker();
}, 400_000);

afterAll(async () => {
  await stack.stop();
  await db.end();
  await stopAll();
});

test('a preview counts and touches nothing', async () => {
  const preview = await stack.run('archive', { target: 'orders', preview: true });
  expect(preview).toMatchObject({ status: 'incomplete', deletedRecords: 0 });
  expect(preview.tables.find(({ table }) => table === 'public.events')?.dueRecords).toBe(2000);
  expect(await count('select count(*) from events')).toBe(2100);
});

test('rows move in bounded sets, table by table; one that is missing stops no other, and nothing goes that is referred to or locked', async () => {
  const holder = new pg.Client({ connectionString: server.url() });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select 1 from events where id = 1500 for update');
  const result = await stack.run('archive', { target: 'orders' });
  await holder.query('rollback');
  await holder.end();
  expect(result.errors).toEqual([{ of: 'table', name: 'missing', code: 'configInvalid', message: expect.stringContaining('public.missing') as string }]);
  expect(result.status).toBe('incomplete');
  const events = result.tables.find(({ table }) => table === 'public.events');
  expect(events).toMatchObject({ archivedRecords: 2000, deletedRecords: 1999, keptRecords: 1 });
  expect(events?.archives).toHaveLength(2);
  expect(events?.freedBytes).toBeGreaterThan(1999 * 60);
  expect(await count('select count(*) from events')).toBe(101);
  expect(await count('select count(*) from events where id = 1500')).toBe(1);
  // Items before orders: the old items go first, then the orders that have none left.
  expect(await count('select count(*) from items')).toBe(20);
  expect(await count('select count(*) from orders')).toBe(10);
  expect(await count('select count(*) from logs')).toBe(0);
  expect(result.tables.filter(({ table }) => table.startsWith('public.logs')).map(({ deletedRecords }) => deletedRecords)).toEqual([8, 22]);
  expect(result.warnings.join()).toContain('1 rows of public.events');
});

test('the next run moves the row that stayed, and the archives together hold every row once', async () => {
  expect(await stack.run('archive', { target: 'orders' })).toMatchObject({ deletedRecords: 1, archivedRecords: 1 });
  const scratch = await fetched({ tables: ['events'], scratchTable: 'events_back' });
  expect(scratch).toMatchObject({ records: 2000, warnings: [] });
  expect(await count('select count(*) from (table events_before except all table events_back) x')).toBe(0);
  expect(await count('select count(*) from (table events_back except all table events_before) x')).toBe(0);
  await expect(fetched({ tables: ['events'], scratchTable: 'events' })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
});

test('a date range is fetched across archives, exactly, as CSV and as JSON lines', async () => {
  const csv = join(stack.dir, 'january.csv');
  const january = await fetched({ tables: ['events'], from: '2026-01-01', to: '2026-01-02', file: csv });
  expect(january.records).toBe(await count(`select count(*) from events_before where at >= '2026-01-01Z' and at < '2026-01-03Z'`));
  const text = readFileSync(csv, 'utf8');
  expect(text.split('\n')[0]).toBe('id,at,note,v,parts');
  expect(text).toContain('"tab\there, ""quoted""\nline \\1"');
  const jsonl = join(stack.dir, 'one.jsonl');
  await fetched({ tables: ['events'], from: '2026-01-01T00:30:00Z', to: '2026-01-01T01:30:00Z', file: jsonl, format: 'jsonl' });
  expect(JSON.parse(readFileSync(jsonl, 'utf8'))).toEqual({ id: 1, at: '2026-01-01 01:00:00+00', note: 'tab\there, "quoted"\nline \\1', v: { a: [1, null] }, parts: '{1.50,NULL}' });
});

test('a condition chooses rows; sets expire when they are older than they are kept', async () => {
  expect(await stack.run('archive', { target: 'short' })).toMatchObject({ status: 'archived', deletedRecords: 5, expiredArchives: 0, errors: [] });
  expect(await count('select count(*) from short')).toBe(5);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(await stack.run('archive', { target: 'short' })).toMatchObject({ status: 'archived', deletedRecords: 0, expiredArchives: 1, errors: [] });
  await expect(fetched({ target: 'short', file: join(stack.dir, 'none.csv') })).rejects.toMatchObject({ code: 'backupUnknown' });
});

test('without one of its repositories nothing is deleted, and what the other held is withdrawn', async () => {
  await db.query(`insert into short select g, '2026-01-01', true from generate_series(21, 30) g`);
  stack.breakStores({ store: 'second', operation: 'put', key: 'manifest', fault: { kind: 'fail', code: 'repositoryDenied' } });
  const result = await stack.run('archive', { target: 'short' });
  stack.breakStores();
  expect(result).toMatchObject({ status: 'incomplete', deletedRecords: 0, archivedRecords: 0 });
  expect(await count('select count(*) from short')).toBe(15);
  expect(await stack.run('archive', { target: 'short' })).toMatchObject({ status: 'archived', deletedRecords: 10 });
});
