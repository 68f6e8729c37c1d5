import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PruneReport, UpkeepReport } from '../../domain/operations.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
const upkeep = async (...args: string[]): Promise<UpkeepReport> => (await cli('upkeep', 'shop', '--json', ...args)).json() as UpkeepReport;
const listed = async (): Promise<string[][]> =>
  ((await cli('backups', 'shop', '--json')).json() as { id: string; repositories: { name: string }[] }[]).map(({ id, repositories }) => [id, ...repositories.map(({ name }) => name).sort()]);
/** A file of the second repository. */
const partOf = (id: string): string => {
  const name = readdirSync(join(stack.dir, 'copy'), { recursive: true }).map(String).find((each) => each.includes(id) && each.includes('/parts/') && /-\d{6}$/.test(each));
  return join(stack.dir, 'copy', name ?? 'none');
};

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

describe('B8 B10 B11 upkeep and grace', () => {
  test('a repository that was away catches up by copy; damage in one is healed from the other', async () => {
    const first = await stack.run('backup', { target: 'shop' });
    renameSync(join(stack.dir, 'copy'), join(stack.dir, 'away'));
    const second = await stack.run('backup', { target: 'shop' });
    expect(second.complete).toBe(false);
    renameSync(join(stack.dir, 'away'), join(stack.dir, 'copy'));
    expect(await listed()).toEqual([[second.id, 'local'], [first.id, 'copy', 'local']]);

    expect(await upkeep('--preview')).toMatchObject({ status: 'preview', items: [{ action: 'copy', backup: second.id, repository: 'copy', from: ['local'], outcome: 'planned' }] });
    expect(await upkeep()).toMatchObject({ status: 'done', items: [{ action: 'copy', backup: second.id, outcome: 'done' }] });
    expect(await listed()).toEqual([[second.id, 'copy', 'local'], [first.id, 'copy', 'local']]);
    expect(await upkeep()).toMatchObject({ status: 'done', items: [] });

    const file = partOf(second.id);
    const good = readFileSync(file);
    const bad = Buffer.from(good);
    bad[100] = (bad[100] ?? 0) ^ 1;
    writeFileSync(file, bad);
    const damaged = await cli('verify', 'shop', '--json');
    expect(damaged.exitCode).not.toBe(0);
    expect(damaged.json()).toMatchObject({ status: 'damaged' });
    expect(await upkeep()).toMatchObject({ status: 'done', items: [{ action: 'heal', backup: second.id, repository: 'copy', from: ['local'], outcome: 'done' }] });
    expect(readFileSync(file).equals(good)).toBe(true);
    expect((await cli('verify', 'shop', '--deep', '--json')).json()).toMatchObject({ status: 'verified' });
  });

  test('what retention removes can be brought back within its grace, and goes with --now', async () => {
    const before = await listed();
    const config = JSON.parse(readFileSync(stack.configPath, 'utf8')) as object;
    writeFileSync(stack.configPath, JSON.stringify({ ...config, retention: [{ last: 1 }], deletion: { grace: '2h' } }), { mode: 0o600 });
    await stack.stopWorker();
    await stack.startWorker();
    const pruned = (await cli('prune', 'shop', '--json')).json() as PruneReport;
    const gone = before[1]?.[0] as string;
    expect(pruned).toMatchObject({ status: 'pruned', repositories: [{ removed: 1, freedBytes: 0, purged: 0 }, { removed: 1 }] });
    expect(pruned.repositories[0]?.pendingBytes).toBeGreaterThan(0);
    expect(await listed()).toEqual([before[0]]);
    expect(await upkeep()).toMatchObject({ status: 'done', items: [] });
    expect((await cli('restore', 'shop', '--backup', gone, '--to', 'nope', '--json')).json()).toMatchObject({ error: { code: 'backupUnknown' } });
    expect(((await cli('backups', 'deleted', '--json')).json() as { deleted: { id: string; repository: string }[] }).deleted.map(({ id, repository }) => [id, repository])).toEqual([[gone, 'local'], [gone, 'copy']]);

    expect((await cli('backups', 'undelete', gone, '--json')).json()).toMatchObject({ repositories: [{ name: 'local', restored: [gone] }, { name: 'copy' }] });
    expect(await listed()).toEqual(before);
    expect((await cli('verify', 'shop', '--backup', gone, '--deep', '--json')).json()).toMatchObject({ status: 'verified' });
    expect((await cli('backups', 'undelete', gone, '--json')).json()).toMatchObject({ error: { code: 'backupUnknown' } });

    expect((await cli('prune', 'shop', '--json')).exitCode).toBe(0);
    const now = (await cli('prune', 'shop', '--now', '--json')).json() as PruneReport;
    expect(now.repositories[0]).toMatchObject({ purged: 1, removed: 0, pendingBytes: 0 });
    expect(now.repositories[0]?.freedBytes).toBeGreaterThan(0);
    expect(readdirSync(join(stack.dir, 'repo'), { recursive: true }).some((name) => String(name).includes(gone))).toBe(false);
  });
});
