import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `create table orders(id bigint generated always as identity primary key, note text, at timestamptz default now());
    insert into orders(note) select md5(i::text) from generate_series(1, 20000) i; create table "Empty ""one""" (a int);`);
  stack = await startStack({
    targets: {
      shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin },
      orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin, jobs: 2 },
    },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const digest = async (database: string): Promise<string> => (await digestDatabase(resolveConnection(server.url(database)), {})).digest;

describe('backup and restore through Temporal', () => {
  test('B1 R2 a logical backup restores beside with the same digest and exact row counts', async () => {
    const before = await digest('shop');
    const backup = await stack.run('backup', { target: 'orders' });
    expect(backup).toMatchObject({ status: 'verified', complete: true, kind: 'full', engine: 'logical', counts: { tables: 2, rows: 20000 } });
    const restored = await stack.run('restore', { target: 'orders', mode: 'beside', to: 'shop_copy' });
    expect(restored).toMatchObject({ status: 'restored', restoredRecords: 20000, backup: backup.id });
    expect(await digest('shop_copy')).toBe(before);
  });

  test('B2 R2 a physical full and incremental restore beside into a cluster that starts with the same data', async () => {
    const full = await stack.run('backup', { target: 'shop' });
    await server.sql('shop', `update orders set note = 'changed' where id % 10 = 0; delete from orders where id % 7 = 0`);
    const incremental = await stack.run('backup', { target: 'shop', kind: 'incremental' });
    expect(incremental).toMatchObject({ parent: full.id, kind: 'incremental', status: 'verified' });
    expect(incremental.bytes.source).toBeLessThan(full.bytes.source);
    const to = join(server.socketDir, 'beside');
    const result = await stack.run('restore', { target: 'shop', mode: 'beside', to });
    expect(result).toMatchObject({ status: 'restored', destination: to });
    expect(result.steps.map((step) => step.name)).toEqual(['validate', 'fetch and build', 'verify', 'settle']);
    expect(readdirSync(to)).toContain('PG_VERSION');
  });

  test('B15 a run that fails leaves a run record and nothing half-published', async () => {
    await expect(stack.run('backup', { target: 'nope' })).rejects.toMatchObject({ code: 'targetUnknown' });
  });

  test('R6 one operation at a time: refuse refuses, skip skips, wait goes on the moment the holder is dead', async () => {
    const { client } = await stack.client();
    // A holder that nobody works on: it keeps the lock until it is terminated.
    const holder = await client.workflow.start('backupOperation', { taskQueue: 'nobody', workflowId: 'op/shop', args: [] });
    await expect(stack.run('backup', { target: 'shop', onBusy: 'refuse' })).rejects.toMatchObject({ code: 'lockBusy' });
    expect(await stack.run('backup', { target: 'shop', onBusy: 'skip' })).toMatchObject({ status: 'skipped' });
    const waiting = await stack.start('backup', { target: 'shop' });
    await holder.terminate('the holder dies');
    expect(await waiting.follow(() => undefined)).toMatchObject({ status: 'verified' });
  });

  test('T2 a backup started by hand with the least input works, and bad input is refused by field', async () => {
    const { client } = await stack.client();
    const result = await client.workflow.execute('backup', { taskQueue: 'resurgo', workflowId: 'by-hand', args: [{ target: 'orders', kind: 'full' }] });
    expect(result).toMatchObject({ status: 'verified', target: 'orders' });
    await expect(client.workflow.execute('backup', { taskQueue: 'resurgo', workflowId: 'bad', args: [{ target: 'orders', kindd: 'full' }] })).rejects.toMatchObject({
      cause: { type: 'inputInvalid', message: expect.stringContaining('kindd') as string },
    });
    await expect(client.workflow.execute('backup', { taskQueue: 'resurgo', workflowId: 'empty', args: [] })).rejects.toMatchObject({ cause: { type: 'inputInvalid' } });
  });
});
