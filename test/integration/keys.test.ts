import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
const keyFiles = (repository: string, id: string): string[] => readdirSync(join(stack.dir, repository, 'keys', id)).sort();
const rescue = (identity: string): Promise<CliRun> =>
  cli('rescue', 'restore', 'shop', '--repository', join(stack.dir, 'repo'), '--identity', identity, '--to', server.url('postgres'), '--json');

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

describe('B9 key rotation', () => {
  test('rotate wraps everything anew, writes no data, reaches the running worker, and the old identity opens nothing any more', async () => {
    const { id } = await stack.run('backup', { target: 'shop' });
    const parts = readdirSync(join(stack.dir, 'repo'), { recursive: true }).filter((name) => String(name).includes('/parts/'));
    writeFileSync(join(stack.dir, 'old.key'), readFileSync(join(stack.dir, 'resurgo.key')), { mode: 0o600 });
    const before = readFileSync(join(stack.dir, 'resurgo.yaml'), 'utf8');

    const rotated = await cli('keys', 'rotate', '--json');
    expect(rotated.exitCode, rotated.stderr).toBe(0);
    expect(rotated.json()).toMatchObject({ complete: true, repositories: [{ name: 'local', rewrapped: 1, current: 0 }, { name: 'copy', rewrapped: 1 }] });
    expect(keyFiles('repo', id)).toEqual(['2.age', '2.recipients', 'host.age']);
    expect(readFileSync(join(stack.dir, 'resurgo.yaml'), 'utf8')).not.toBe(before);
    expect(readdirSync(join(stack.dir, 'repo'), { recursive: true }).filter((name) => String(name).includes('/parts/'))).toEqual(parts);
    expect(readFileSync(join(stack.dir, 'resurgo.key'), 'utf8')).not.toContain(readFileSync(join(stack.dir, 'old.key'), 'utf8').trim());

    // The worker was started before; its next backup is for the new identity all the same.
    const second = await stack.run('backup', { target: 'shop' });
    expect((await cli('verify', 'shop', '--deep', '--json')).json()).toMatchObject({ status: 'verified', copies: [{}, {}, {}, {}] });
    const restored = await cli('restore', 'shop', '--backup', id, '--to', 'after_rotation', '--json');
    expect(restored.exitCode, restored.stderr).toBe(0);
    expect(await server.sql('after_rotation', 'select count(*) from t')).toEqual([{ count: '100' }]);
    const old = await rescue(join(stack.dir, 'old.key'));
    expect(old.exitCode).not.toBe(0);
    expect(old.stdout + old.stderr).toContain('wrongKey');

    // Twice is once; and what is current is not written again.
    expect((await cli('keys', 'rewrap', '--json')).json()).toMatchObject({ repositories: [{ rewrapped: 0, current: 2 }, { rewrapped: 0, current: 2 }] });
    expect(keyFiles('repo', second.id)).toEqual(['1.age', 'host.age']);
  });

  test('add and remove; a repository that is away is caught up by rewrap; the last recipient stays', async () => {
    const other = await generateX25519Identity();
    const recipient = await identityToRecipient(other);
    renameSync(join(stack.dir, 'copy'), join(stack.dir, 'away'));
    const added = await cli('keys', 'add', recipient, '--json');
    expect(added.exitCode, added.stderr).toBe(7);
    expect(added.json()).toMatchObject({ complete: false, repositories: [{ name: 'local', status: 'done', rewrapped: 2 }, { name: 'copy', status: 'unreachable' }] });
    renameSync(join(stack.dir, 'away'), join(stack.dir, 'copy'));
    expect((await cli('keys', 'rewrap', '--json')).json()).toMatchObject({ complete: true, repositories: [{ current: 2 }, { rewrapped: 2 }] });
    expect(((await cli('keys', 'list', '--json')).json() as { recipients: { recipient: string; identityHere: boolean }[] }).recipients).toEqual([
      { recipient: expect.any(String), identityHere: true },
      { recipient, identityHere: false },
    ]);
    const [own] = ((await cli('keys', 'list', '--json')).json() as { recipients: { recipient: string }[] }).recipients;
    const refused = await cli('keys', 'remove', own?.recipient ?? '');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('only recipient whose identity is on this host');
    expect((await cli('keys', 'remove', recipient, '--json')).json()).toMatchObject({ complete: true });
    expect((await cli('keys', 'add', 'age1nonsense')).exitCode).toBe(2);
    // An identity that opens nothing changes nothing.
    const key = join(stack.dir, 'resurgo.key');
    const good = readFileSync(key);
    writeFileSync(key, `${other}\n`);
    const wrong = await cli('keys', 'add', recipient, '--json');
    expect(wrong.exitCode).toBe(7);
    expect(wrong.stdout).toContain('wrongKey');
    writeFileSync(key, good);
    await cli('keys', 'rewrap');
    expect((await cli('verify', 'shop', '--deep', '--json')).json()).toMatchObject({ status: 'verified' });
    expect(existsSync(join(stack.dir, 'copy', 'keys'))).toBe(true);
  });

  test('after a rotation a healed and a late copy stay verified, also where an earlier version digested the notes beside the keys', async () => {
    const files = (repository: string): string[] => readdirSync(join(stack.dir, repository), { recursive: true }).map(String);
    const verify = async (): Promise<unknown> => (await cli('verify', 'shop', '--deep', '--json')).json();
    const { id } = await stack.run('backup', { target: 'shop' });
    renameSync(join(stack.dir, 'copy'), join(stack.dir, 'away'));
    const late = await stack.run('backup', { target: 'shop' });
    renameSync(join(stack.dir, 'away'), join(stack.dir, 'copy'));
    expect((await cli('keys', 'rotate')).exitCode).toBe(0);
    const part = join(stack.dir, 'repo', files('repo').find((each) => each.includes(id) && /-\d{6}$/.test(each)) ?? 'none');
    const bad = readFileSync(part);
    bad[100] = (bad[100] ?? 0) ^ 1;
    writeFileSync(part, bad);
    expect(await verify()).toMatchObject({ status: 'damaged' });
    expect((await cli('upkeep', 'shop', '--json')).json()).toMatchObject({ status: 'done', items: [{ action: 'heal', backup: id, outcome: 'done' }, { action: 'copy', backup: late.id, outcome: 'done' }] });
    expect(keyFiles('copy', late.id)).toContain('2.recipients');
    for (let i = 0; i < 3; i++) expect(await verify()).toMatchObject({ status: 'verified' });

    for (const each of files('repo').filter((file) => file.endsWith('.verified'))) {
      const file = join(stack.dir, 'repo', each);
      const state = JSON.parse(readFileSync(file, 'utf8')) as { keyFiles: Record<string, string> };
      writeFileSync(file, JSON.stringify({ ...state, keyFiles: { ...state.keyFiles, '1.recipients': '0'.repeat(64) } }), { mode: 0o600 });
    }
    expect(await verify()).toMatchObject({ status: 'verified' });
  });
});
