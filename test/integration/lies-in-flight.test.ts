/** Repositories that lie while a backup is stored: what can be mended is mended, the rest is said, and nothing is called verified that is not. */
import { readFileSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { BackupResult } from '../../domain/operations.ts';
import type { StoreFault } from '../support/crash/plan.ts';
import { depsOf, restoreHere, verifyHere } from '../support/in-process.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { s3Missing, startPostgres, startS3, type PostgresServer, type S3Server } from '../support/index.ts';
import { leftBehind } from '../support/left-behind.ts';
import { runCli } from '../support/run-cli.ts';
import { S3FaultProxy } from '../support/s3-fault-proxy.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let s3: S3Server | undefined;
let proxy: S3FaultProxy | undefined;
let stack: Stack;
let digest: string;

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table orders (id int primary key, note text); insert into orders select i, md5(i::text) from generate_series(1, 20000) i');
  digest = (await digestDatabase(resolveConnection(server.url('shop')), {})).digest;
  s3 = s3Missing() === undefined ? await startS3() : undefined;
  proxy = s3 === undefined ? undefined : await new S3FaultProxy(s3.endpoint).start();
  if (s3 !== undefined) Object.assign(process.env, { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey });
  const common = { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin, jobs: 2 };
  stack = await startStack({
    repositories: {
      local: { type: 'disk', path: './repo' },
      second: { type: 'disk', path: './second' },
      ...(s3 === undefined || proxy === undefined ? {} : { cloud: { type: 's3', bucket: s3.bucket, endpoint: proxy.endpoint, region: s3.region, forcePathStyle: true, accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' } } }),
    },
    targets: {
      shop: { ...common, repositories: ['local', 'second'] },
      mixed: { ...common, repositories: s3 === undefined ? ['local'] : ['local', 'cloud'] },
    },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await proxy?.stop();
  await s3?.stop();
  await server.stop();
});

afterEach(async () => {
  stack.breakStores();
  proxy?.reset();
  expect(await leftBehind(stack, { servers: [server], databases: ['shop'] })).toEqual([]);
});

const outcomes = (result: BackupResult): Record<string, string> => Object.fromEntries(result.repositories.map(({ name, status, error }) => [name, error === undefined ? status : error.code]));

async function backup(target: string, ...faults: StoreFault[]): Promise<{ result: BackupResult; activities: string[] }> {
  stack.breakStores(...faults);
  const before = stack.effects().length;
  const result = await stack.run('backup', { target });
  const activities = stack.effects().slice(before).flatMap(({ started }) => started ?? []);
  stack.breakStores();
  return { result, activities };
}

/** The copies a result calls good are good, read by nobody's word but their own; the others are not there. */
async function assertTrue(result: BackupResult, target: string): Promise<void> {
  const deps = depsOf(stack.configPath);
  try {
    const copies = await verifyHere(deps, { target, backup: result.id, deep: true });
    expect(copies.map(({ repository, status }) => `${repository} ${status}`).toSorted()).toEqual(result.repositories.filter(({ status }) => status === 'verified').map(({ name }) => `${name} verified`).toSorted());
    await restoreHere(deps, { target, backup: result.id, mode: 'beside', to: 'copy' });
    expect((await digestDatabase(resolveConnection(server.url('copy')), {})).digest).toBe(digest);
  } finally {
    await server.sql('postgres', 'drop database if exists copy with (force)');
    await deps.stores.close();
  }
}

const parts = '/parts/';

describe('B8 B10 a repository that lies once', () => {
  test.each<[string, StoreFault]>([
    ['acknowledges a part and forgets it', { store: 'second', operation: 'put', key: parts, at: 1, fault: { kind: 'forget' } }],
    ['stores a part with a flipped bit', { store: 'second', operation: 'put', key: parts, at: 1, fault: { kind: 'corrupt' } }],
    ['stores half a part', { store: 'second', operation: 'put', key: parts, at: 1, fault: { kind: 'short', bytes: 100 } }],
    ['forgets the index', { store: 'second', operation: 'put', key: '/index$', at: 1, fault: { kind: 'forget' } }],
    ['stores other checksums', { store: 'second', operation: 'put', key: 'SHA256SUMS$', at: 1, fault: { kind: 'corrupt' } }],
    ['forgets the wrapped keys', { store: 'second', operation: 'put', key: '^keys/.*/1.age', at: 1, fault: { kind: 'forget' } }],
    ['stores other wrapped keys', { store: 'second', operation: 'put', key: '^keys/.*/1.age', at: 1, fault: { kind: 'corrupt' } }],
  ])('%s: it is sent again, and the copy is good', async (_, fault) => {
    const { result, activities } = await backup('shop', fault);
    expect(outcomes(result)).toEqual({ local: 'verified', second: 'verified' });
    expect(result.complete).toBe(true);
    // A part that was fed beside the dump and has another size is sent again before anything is read back.
    expect(activities.filter((name) => name === 'repairBackup').length).toBeLessThanOrEqual(1);
    expect(activities.filter((name) => name === 'dumpBackup')).toHaveLength(1);
    await assertTrue(result, 'shop');
  });

  test('in the primary, before anybody else has it: the run fails and says what was lost', async () => {
    stack.breakStores({ store: 'local', operation: 'put', key: '^keys/.*/host.age', at: 1, fault: { kind: 'forget' } });
    const run = stack.run('backup', { target: 'shop' });
    await expect(run).rejects.toMatchObject({ code: 'repositoryLost', message: expect.stringContaining('host.age') as string });
  });

  test('gives other bytes in the read-back: nothing is sent again, and the copy is good', async () => {
    const { result, activities } = await backup('shop', { store: 'second', operation: 'get', key: parts, at: 1, fault: { kind: 'corrupt' } });
    expect(result.complete).toBe(true);
    expect(activities.filter((name) => name === 'repairBackup')).toHaveLength(1);
    await assertTrue(result, 'shop');
  });
});

describe('B8 B10 B15 a repository that always lies', () => {
  test.each<[string, string, StoreFault]>([
    ['acknowledges parts and forgets them', 'repositoryLost', { store: 'second', operation: 'put', key: parts, fault: { kind: 'forget' } }],
    ['flips a bit in every part', 'partCorrupt', { store: 'second', operation: 'put', key: parts, fault: { kind: 'corrupt' } }],
    ['stores half parts', 'repositoryLost', { store: 'second', operation: 'put', key: parts, fault: { kind: 'short', bytes: 100 } }],
    ['forgets the manifest', 'repositoryLost', { store: 'second', operation: 'put', key: 'manifest.json$', fault: { kind: 'forget' } }],
    ['forgets the wrapped keys', 'repositoryLost', { store: 'second', operation: 'put', key: '^keys/', fault: { kind: 'forget' } }],
    ['gives short bytes', 'partCorrupt', { store: 'second', operation: 'get', key: parts, fault: { kind: 'short', bytes: 10 } }],
    ['gives stale bytes', 'partCorrupt', { store: 'second', operation: 'get', key: 'SHA256SUMS$', fault: { kind: 'corrupt' } }],
  ])('%s: the other copy alone is called verified', async (_, code, fault) => {
    const { result } = await backup('shop', fault);
    expect(outcomes(result)).toEqual({ local: 'verified', second: code });
    expect(result).toMatchObject({ status: 'verified', complete: false });
    expect(result.warnings.join()).toContain('second does not hold it');
    await assertTrue(result, 'shop');
  });

  // Not the same bit in both: a copy of a damaged copy would be whole again.
  test.each<[string, string, StoreFault['fault'], StoreFault['fault']]>([
    ['forgets its parts', 'repositoryLost', { kind: 'forget' }, { kind: 'forget' }],
    ['flips bits', 'partCorrupt', { kind: 'corrupt' }, { kind: 'corrupt', at: 40 }],
    ['keeps the beginning', 'partCorrupt', { kind: 'short', bytes: 100 }, { kind: 'short', bytes: 100 }],
  ])('both of them, where each %s: the run fails, and a record says why', async (_, code, fault, second) => {
    stack.breakStores({ store: 'local', operation: 'put', key: parts, fault }, { store: 'second', operation: 'put', key: parts, fault: second });
    await expect(stack.run('backup', { target: 'shop' })).rejects.toMatchObject({ code });
    const dir = join(stack.dir, 'repo', 'runs', 'shop');
    const newest = readdirSync(dir).toSorted().at(-1) ?? '';
    expect(JSON.parse(readFileSync(join(dir, newest), 'utf8'))).toMatchObject({ target: 'shop', error: { code } });
  });

  test('it is slow: the copy is complete, and the dump did not wait for it', async () => {
    const { result } = await backup('shop', { store: 'second', operation: 'put', key: parts, fault: { kind: 'delay', ms: 1500 } });
    expect(result.complete).toBe(true);
    await assertTrue(result, 'shop');
  });
});

describe('B8 an S3 repository that lies', () => {
  test('200 with a wrong body in the read-back, each time: it is not called verified', async ({ skip }) => {
    if (proxy === undefined) return skip('no S3 server here');
    proxy.break({ match: /^GET .*parts/, times: 1000, fault: { kind: 'corrupt-answer' } });
    const { result } = await backup('mixed');
    expect(outcomes(result)).toEqual({ local: 'verified', cloud: 'partCorrupt' });
    await assertTrue(result, 'mixed');
  });

  test('what arrives is another body than was sent, once: it is sent again', async ({ skip }) => {
    if (proxy === undefined) return skip('no S3 server here');
    proxy.break({ match: /^PUT .*parts/, times: 1, fault: { kind: 'corrupt-request' } });
    const { result } = await backup('mixed');
    expect(outcomes(result)).toEqual({ local: 'verified', cloud: 'verified' });
    await assertTrue(result, 'mixed');
  });
});

test('B8 O1 one of two repositories is away for the whole run: the backup says which holds it, and the command ends with 7', async () => {
  const away = join(stack.dir, 'second');
  renameSync(away, `${away}-away`);
  try {
    const run = await runCli(['backup', 'shop', '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address, TEMPORAL_NAMESPACE: stack.namespace, ...(s3 === undefined ? {} : { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey }) } });
    expect(run.exitCode, run.stderr).toBe(7);
    const result = run.json() as BackupResult;
    expect(outcomes(result)).toEqual({ local: 'verified', second: 'repositoryUnreachable' });
    expect(result.complete).toBe(false);
    // An empty mount point is not made a repository again.
    expect(readdirSync(stack.dir)).not.toContain('second');
    await assertTrueWithout(result);
  } finally {
    renameSync(`${away}-away`, away);
  }
}, 400_000);

async function assertTrueWithout(result: BackupResult): Promise<void> {
  const deps = depsOf(stack.configPath);
  try {
    const copies = await verifyHere(deps, { target: 'shop', backup: result.id });
    expect(copies.map(({ repository, status }) => `${repository} ${status}`).toSorted()).toEqual(['local verified', 'second unreachable']);
  } finally {
    await deps.stores.close();
  }
}
