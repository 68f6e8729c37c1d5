/** A full and three incrementals under load, tablespaces included, as a person restores them: by `restore` and by `rescue`. */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { RestoreResult } from '../../domain/operations.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import { hostPublic, parseHostKey } from '../../providers/vault/host-key.ts';
import { startPostgres, stopAll, type PostgresServer } from '../support/index.ts';
import { depsOf, rescueHere, restoreHere } from '../support/in-process.ts';
import { onCluster, restoreRoot } from '../support/physical-cluster.ts';
import { createLoad, digests, disturb } from '../support/physical-load.ts';
import { startStack, type Stack } from '../support/stack.ts';

// Bounds against hanging only: four backups of a loaded machine take long.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 });

let server: PostgresServer;
let stack: Stack;
let root: string;
let fast: string;
let atBackup: Record<string, string>;
const cwd = process.cwd();

beforeAll(async () => {
  server = await startPostgres({ config: { autovacuum: 'off', wal_log_hints: 'off' } });
  fast = server.tablespaceDir('fast');
  await server.sql('postgres', `create tablespace fast location '${fast}'`);
  await server.sql('postgres', 'create database shop');
  await createLoad(server, 'shop', 'fast');
  root = restoreRoot();
  stack = await startStack({
    targets: { whole: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, tablespaceMap: { [fast]: join(root, 'restored-ts') }, ...(server.runAs === undefined ? {} : { runAs: server.runAs.user }) } },
  });
  await stack.startWorker();
  const full = await stack.run('backup', { target: 'whole' });
  let parent = full.id;
  for (const round of [1, 2, 3]) {
    await disturb(server, 'shop', round, true);
    if (round === 2) await server.sql('shop', `truncate shrinking; insert into shrinking select i, null from generate_series(1, 3000) i`);
    if (round === 3) await server.sql('postgres', 'create database late template shop');
    const next = await stack.run('backup', { target: 'whole', kind: 'incremental' });
    expect(next).toMatchObject({ kind: 'incremental', parent });
    parent = next.id;
  }
  await stack.stopWorker();
  atBackup = { ...(await digests(server, 'shop')), ...prefixed('late', await digests(server, 'late')) };
  process.chdir(stack.dir);
});

afterAll(async () => {
  process.chdir(cwd);
  await stack.stop();
  await server.stop();
  // The directory it restored into.
  await stopAll();
});

const prefixed = (name: string, all: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(all).map(([table, digest]) => [`${name}: ${table}`, digest]));

async function assertRight(result: RestoreResult, to: string): Promise<void> {
  expect(result).toMatchObject({ status: 'restored', plan: { chain: { length: 4 } } });
  await onCluster(to, async (restored) => {
    expect({ ...(await digests(restored, 'shop')), ...prefixed('late', await digests(restored, 'late')) }).toEqual(atBackup);
    const { checks, warnings } = await checkCluster({ connection: restored.connection, depth: 'full' });
    expect(checks).toEqual(expect.arrayContaining(['pg_check_visible and pg_check_frozen', 'index-only and sequential counts agree']));
    expect(warnings).toEqual([]);
    // The tables of the tablespace are there, and it is not the source's.
    const [place] = await restored.sql<{ path: string }>('postgres', `select pg_tablespace_location(oid) as path from pg_tablespace where spcname = 'fast'`);
    expect(place?.path.startsWith(root)).toBe(true);
    expect(place?.path).not.toBe(fast);
  });
}

test('B2 R2 right: `restore` of a chain of four', async () => {
  const deps = depsOf(stack.configPath);
  const to = join(root, 'restored');
  try {
    await assertRight(await restoreHere(deps, { target: 'whole', mode: 'beside', to }), to);
  } finally {
    await deps.stores.close();
  }
});

test('B2 O6 right: `rescue` of a chain of four, from the repository and the identity alone', async () => {
  const { publicKey } = hostPublic(await parseHostKey(readFileSync(join(stack.dir, 'resurgo-host.key'), 'utf8'), 'host key'));
  const to = join(root, 'rescued');
  const result = await rescueHere({ target: 'whole', repository: join(stack.dir, 'repo'), identity: join(stack.dir, 'resurgo.key'), trust: [publicKey], toolsDir: server.pgBin, tablespaces: [`${fast}=${join(root, 'rescued-ts')}`], input: { mode: 'beside', to } });
  await assertRight(result, to);
  expect(existsSync(join(stack.dir, '.resurgo-rescue', 'restoring')) ? readdirSync(join(stack.dir, '.resurgo-rescue', 'restoring')) : []).toEqual([]);
  rmSync(join(stack.dir, '.resurgo-rescue'), { recursive: true });
});
