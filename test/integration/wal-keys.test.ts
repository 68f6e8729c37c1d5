import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walStatus } from '../../client/wal-status.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { withClient } from '../../providers/postgres/connection.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
let rows = 0;
const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });

beforeAll(async () => {
  server = await startPostgres({ config: { summarize_wal: 'on' } });
  await server.sql('postgres', 'create table t(i int)');
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walFlush: '500ms' } },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

/** Data keys under which WAL lies, those of stored objects only. */
const walKeys = (): Set<string> =>
  new Set(readdirSync(join(stack.dir, 'repo'), { recursive: true }).map(String).flatMap((name) => /\/wal\/.*-(wal[0-9a-z]+)$/.exec(`/${name}`)?.[1] ?? []));

/** Writes something, waits until it is stored; @returns the data keys that came with it. */
async function write(): Promise<string[]> {
  const before = walKeys();
  await server.sql('postgres', 'insert into t values (1)');
  rows++;
  const lsn = (await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text as lsn'))[0]?.lsn ?? '';
  for (const deadline = Date.now() + 120_000; ;) {
    const { repositories } = await walStatus(stack.loaded, 'shop');
    if (parseLsn(repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0') >= parseLsn(lsn)) return [...walKeys()].filter((key) => !before.has(key));
    if (Date.now() > deadline) throw new Error(`${lsn} is not archived\n${stack.workerLog}`);
    await sleep(200);
  }
}

async function opens(identity: string, key: string): Promise<boolean> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const directory = join(stack.dir, 'repo', 'keys', key);
  const files = readdirSync(directory).filter((name) => name.endsWith('.age'));
  const opened = await Promise.all(files.map((name) => decrypter.decrypt(readFileSync(join(directory, name))).then(() => true, () => false)));
  return opened.includes(true);
}

async function rowsIn(dataDir: string): Promise<number> {
  const local = await startLocalServer({ dataDir, toolDirs: [server.pgBin] });
  try {
    return await withClient(local.connection, async (client) => (await client.query<{ n: number }>('select count(*)::int as n from public.t')).rows[0]?.n ?? -1, { database: 'postgres' });
  } finally {
    await local.stop();
  }
}

describe('keys of archived WAL', () => {
  test('B9 a change of the recipients gives running WAL a new data key: who came can read it, who went can not', async () => {
    await stack.run('backup', { target: 'shop' });
    await write();
    expect(await write()).toEqual([]);
    const other = await generateX25519Identity();
    const recipient = await identityToRecipient(other);
    const added = await cli('keys', 'add', recipient, '--json');
    expect(added.exitCode, added.stderr).toBe(0);
    expect(added.stderr).toContain('WAL archive of shop takes a new data key');
    const [shared, ...more] = await write();
    expect(more).toEqual([]);
    expect(await opens(other, shared ?? '')).toBe(true);
    expect((await cli('keys', 'remove', recipient)).exitCode).toBe(0);
    const [own] = await write();
    expect(await opens(other, own ?? '')).toBe(false);
    expect(stack.workerLog).toContain('sealed under a new data key');
    expect(await write()).toEqual([]);
  });

  test('B9 with a lost key: a backup on what only it opens is a full one; what lies behind that is restored, also where older WAL is closed', async () => {
    const old = await stack.run('backup', { target: 'shop', kind: 'incremental' });
    expect(old.kind).toBe('incremental');
    const identity = await generateX25519Identity();
    const config = JSON.parse(readFileSync(stack.configPath, 'utf8')) as { encryption: object };
    writeFileSync(join(stack.dir, 'resurgo.key'), `${identity}\n`, { mode: 0o600 });
    writeFileSync(stack.configPath, JSON.stringify({ ...config, encryption: { ...config.encryption, recipients: [await identityToRecipient(identity)] } }), { mode: 0o600 });
    expect(await write()).toHaveLength(1);

    const made = await stack.run('backup', { target: 'shop', kind: 'incremental' });
    expect(made).toMatchObject({ kind: 'full', parent: null });
    const said = made.warnings.join('\n');
    expect(said).toMatch(/is not built on: not everybody in the configuration could restore what is: the keys of \S+ in local: they are not wrapped for age1/);
    expect(said).toContain('a full backup was taken instead of incremental');
    expect((await stack.run('backup', { target: 'shop', kind: 'incremental' })).kind).toBe('incremental');
    await write();

    for (const [i, args] of [['restore', 'shop'], ['restore', 'shop', '--backup', made.id], ['rescue', 'restore', 'shop']].entries()) {
      const to = join(server.socketDir, `restored-${String(i)}`);
      const restored = await cli(...args, '--time', 'latest', '--to', to, '--json');
      expect(restored.exitCode, restored.stdout + restored.stderr).toBe(0);
      expect(await rowsIn(to)).toBe(rows);
    }
    const closed = await cli('restore', 'shop', '--backup', old.id, '--time', 'latest', '--to', join(server.socketDir, 'never'), '--json');
    expect(closed.exitCode).toBe(3);
    expect(closed.json()).toMatchObject({ error: { code: 'wrongKey' } });

    const verified = await cli('verify', 'shop', '--deep', '--json');
    expect(verified.exitCode).toBe(3);
    const { copies } = verified.json() as { copies: { backup: string; status: string }[] };
    expect(copies.find(({ backup }) => backup === old.id)).toMatchObject({ status: 'unopened', error: { code: 'wrongKey' } });
    expect(copies.find(({ backup }) => backup === made.id)).toMatchObject({ status: 'verified' });
  }, 600_000);
});
