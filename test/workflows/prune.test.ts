import { join } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
const listed = async (): Promise<string[]> => ((await cli('backups', 'shop', '--json')).json() as { id: string }[]).map((backup) => backup.id);

beforeAll(async () => {
  server = await startPostgres({});
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table t(a int primary key); insert into t select generate_series(1, 100)');
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin } },
    repositories: { local: { type: 'disk', path: './repo' }, copy: { type: 'disk', path: './copy' } },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

describe('B11 retention through Temporal', () => {
  test('preview names, prune removes exactly that, a hold stays, twice is once; then the config prunes after each backup', async () => {
    const taken: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { id, pruned } = await stack.run('backup', { target: 'shop' });
      expect(pruned).toBeUndefined();
      taken.push(id);
    }
    // Newest first. Two of the same second may come in either order.
    const ids = await listed();
    expect(ids.toSorted()).toEqual(taken.toSorted());
    const held = await cli('backups', 'hold', ids[2] as string, '--reason', 'audit', '--json');
    expect(held).toMatchObject({ exitCode: 0 });
    expect(held.json()).toMatchObject({ id: ids[2], repositories: [{ name: 'local', status: 'done' }, { name: 'copy', status: 'done' }] });

    // The default keeps the newest of the day; all three are of one day, or two around midnight.
    const preview = await cli('prune', 'shop', '--preview', '--json');
    expect(preview.exitCode, preview.stderr).toBe(0);
    const planned = preview.json() as { status: string; repositories: { name: string; backups: { id: string; action: string }[] }[] };
    expect(planned.status).toBe('preview');
    const named = planned.repositories[0]?.backups.filter((entry) => entry.action === 'remove').map((entry) => entry.id) ?? [];
    expect(named).not.toContain(ids[0]);
    expect(named).not.toContain(ids[2]);
    expect(await listed()).toEqual(ids);

    const pruned = await stack.run('prune', { target: 'shop' });
    expect(pruned).toMatchObject({ status: 'pruned', repositories: [{ name: 'local', configured: false, removed: named.length }, { name: 'copy', removed: named.length }] });
    expect(await listed()).toEqual(ids.filter((id) => !named.includes(id)));
    expect(await stack.run('prune', { target: 'shop' })).toMatchObject({ repositories: [{ removed: 0 }, { removed: 0 }] });
    expect((await cli('backups', 'release', ids[2] as string)).exitCode).toBe(0);

    const config = JSON.parse(readFileSync(stack.configPath, 'utf8')) as object;
    writeFileSync(stack.configPath, JSON.stringify({ ...config, retention: [{ repositories: ['local'], last: 1 }] }), { mode: 0o600 });
    await stack.stopWorker();
    await stack.startWorker();
    const next = await stack.run('backup', { target: 'shop' });
    expect(next).toMatchObject({ status: 'verified', pruned: { status: 'pruned' } });
    const there = ((await cli('backups', 'shop', '--json')).json() as { id: string; repositories: { name: string }[] }[]).map((backup) => [backup.id, backup.repositories.map((one) => one.name)]);
    expect(there[0]).toEqual([next.id, ['copy', 'local']]);
    // No rule of the configuration applies to `copy`: nothing goes there by itself.
    expect(there.slice(1).every(([, where]) => (where as string[]).join() === 'copy')).toBe(true);
    expect(there.length).toBeGreaterThanOrEqual(3);
  });

  test('bad input is refused by field, and a repository that is gone stops no other', async () => {
    await expect(stack.run('prune', { target: 'shop', repositories: ['nope'] })).rejects.toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('nope') as string });
    await expect(stack.run('prune', { target: 'shop', previeww: true } as never)).rejects.toMatchObject({ code: 'inputInvalid' });
    const { renameSync } = await import('node:fs');
    renameSync(join(stack.dir, 'copy'), join(stack.dir, 'copy-gone'));
    try {
      const report = await cli('prune', 'shop', '--json');
      expect(report.exitCode, report.stderr).toBe(7);
      expect(report.json()).toMatchObject({ status: 'incomplete', repositories: [{ name: 'local', status: 'pruned' }, { name: 'copy', status: 'failed' }] });
    } finally {
      renameSync(join(stack.dir, 'copy-gone'), join(stack.dir, 'copy'));
    }
  });
});
