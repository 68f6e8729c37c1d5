/** Dumps that did not end well, whatever their tools say, and disks that become full: never a backup, always the reason. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { abandonBackup } from '../../activities/backup-end.ts';
import { dumpBackup } from '../../activities/backup-dump.ts';
import { prepareBackup } from '../../activities/backup-prepare.ts';
import { publishBackup, verifyBackup } from '../../activities/backup-publish.ts';
import { storeBackup } from '../../activities/backup-store.ts';
import { finishBackup } from '../../activities/backup-end.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import type { DumpedBackup, PreparedBackup } from '../../domain/operations.ts';
import { idFromUuid } from '../../domain/ids.ts';
import { s3Missing, startPostgres, startS3, type PostgresServer, type S3Server } from '../support/index.ts';
import { depsOf } from '../support/in-process.ts';
import { leftBehind } from '../support/left-behind.ts';
import { dumpLies, lyingTools, type DumpLie } from '../support/lying-tools.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { StallingProxy } from '../support/stalling-proxy.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let server: PostgresServer;
let s3: S3Server | undefined;
let stack: Stack;
let proxy: StallingProxy;
let proxyPort: number;
let work: TempDir;
const opened: ActivityDeps[] = [];
const mounts: string[] = [];

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `create table orders (id int primary key, note text); insert into orders select i, md5(i::text) || md5((-i)::text) from generate_series(1, 150000) i;
    create table small (id int); insert into small select generate_series(1, 100)`);
  // More than all buffers between a server and a client who does not read.
  await server.sql('postgres', 'create database large');
  await server.sql('large', 'create table orders as select i, md5(i::text) || md5((-i)::text) as note from generate_series(1, 800000) i');
  proxy = new StallingProxy(server.port);
  proxyPort = await proxy.listen();
  s3 = s3Missing() === undefined ? await startS3() : undefined;
  if (s3 !== undefined) Object.assign(process.env, { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey });
  work = tempDir('lies');
  stack = await startStack({
    repositories: {
      local: { type: 'disk', path: './repo' },
      tiny: { type: 'disk', path: './tiny' },
      ...(s3 === undefined ? {} : { cloud: { type: 's3', bucket: s3.bucket, endpoint: s3.endpoint, region: s3.region, forcePathStyle: true, accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' } } }),
    },
    targets: { shop: { ...common(), engine: 'logical', connection: server.url('shop') }, whole: { ...common(), engine: 'physical', connection: server.url() } },
  });
});

afterAll(async () => {
  for (const deps of opened) await deps.stores.close();
  for (const path of mounts) spawnSync('umount', [path]);
  await stack.stop();
  await proxy.stop();
  await work.stop();
  await s3?.stop();
  await server.stop();
});

const common = (): Record<string, unknown> => ({ type: 'postgres', toolsDir: server.pgBin, repositories: ['local'] });

/** A configuration like the stack's with another word about one target. */
function withTarget(name: string, more: Record<string, unknown>): ActivityDeps {
  const config = JSON.parse(readFileSync(stack.configPath, 'utf8')) as { targets: Record<string, object> };
  const path = join(stack.dir, `${randomUUID()}.yaml`);
  writeFileSync(path, JSON.stringify({ ...config, targets: { ...config.targets, [name]: { ...config.targets[name], ...more } } }), { mode: 0o600 });
  const deps = depsOf(path);
  opened.push(deps);
  return deps;
}

/** The server through a proxy that stops in the middle of the largest table: whatever happens then happens in the middle of the dump. */
function slowly(target: 'shop' | 'whole', database = target === 'shop' ? 'large' : 'postgres', more: Record<string, unknown> = {}): ActivityDeps {
  proxy.limit = 6_000_000;
  return withTarget(target, { connection: server.url(database).replace(`:${String(server.port)}/`, `:${String(proxyPort)}/`), ...more });
}

async function stalled(): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    if (proxy.stalled > 0) return;
    await sleep(10);
  }
  throw new Error('nothing stalled');
}

interface Run {
  readonly id: string;
  readonly prepared: PreparedBackup;
  readonly code: string;
}

/** What the workflow does when a dump fails for good; `meanwhile` runs beside the dump. */
async function failedDump(deps: ActivityDeps, target: string, meanwhile: (id: string) => Promise<void> = () => Promise.resolve()): Promise<Run> {
  const id = idFromUuid(randomUUID());
  const startedAt = new Date().toISOString();
  const prepared = await prepareBackup(deps, { id, target, kind: 'full', startedBy: 'test', startedAt });
  const [outcome] = await Promise.allSettled([dumpBackup(deps, prepared), meanwhile(id)]);
  const code = outcome.status === 'fulfilled' ? 'no error' : ((outcome.reason as { code?: string }).code ?? String(outcome.reason));
  await abandonBackup(deps, { id, target, kind: 'full', startedAt, startedBy: 'test', prepared, dumped: null, error: { code, message: 'test' } });
  return { id, prepared, code };
}

const left = (options: { except?: readonly string[] } = {}): Promise<string[]> => leftBehind(stack, { servers: [server], databases: ['shop', 'large'], temporal: false, ...options });

async function delivered(deps: ActivityDeps, prepared: PreparedBackup, dumped: DumpedBackup): Promise<void> {
  for (const repository of prepared.repositories) {
    const step = { prepared, dumped, repository };
    if (repository !== prepared.primary) await storeBackup(deps, step);
    await publishBackup(deps, { ...step, verified: await verifyBackup(deps, step) });
  }
  await finishBackup(deps, { prepared, dumped, outcomes: prepared.repositories.map((name) => ({ name, status: 'verified' })) });
}

describe('B1 B10 pg_dump', () => {
  const codes: Record<DumpLie, string> = {
    'writes nothing and says it went well': 'dumpEmpty',
    'makes an empty directory and says it went well': 'dumpEmpty',
    'leaves the largest table half and says it went well': 'dumpFailed',
    'leaves out a table and says it went well': 'dumpFailed',
    'makes a table empty and says it went well': 'dumpFailed',
    'cuts its table of contents and says it went well': 'dumpFailed',
    'writes all and ends with an error': 'dumpFailed',
    'is killed half-way': 'dumpFailed',
  };
  test.each(Object.keys(dumpLies) as DumpLie[])('%s: no backup', async (lie) => {
    const dir = join(work.path, randomUUID());
    mkdirSync(dir);
    const { code } = await failedDump(withTarget('shop', { toolsDir: lyingTools(dir, server.pgBin, lie), jobs: 1 }), 'shop');
    expect(code).toBe(codes[lie]);
    expect(await left()).toEqual([]);
  });

  test('the program is killed from outside while it dumps: no backup', async () => {
    const { code } = await failedDump(slowly('shop'), 'shop', async () => {
      await stalled();
      const pid = await dumpProcess(proxyPort);
      process.kill(pid, 'SIGKILL');
      proxy.release();
    });
    expect(code).toBe('dumpFailed');
    expect(await left()).toEqual([]);
  });

  test('its session is ended by the server: no backup', async () => {
    const { code } = await failedDump(slowly('shop'), 'shop', async (id) => {
      await stalled();
      await endSession(`application_name = 'resurgo ${id}' and query ilike 'copy %'`);
      proxy.release();
    });
    expect(code).toBe('dumpFailed');
    expect(await left()).toEqual([]);
  });
});

/** A dump that somebody's ALTER TABLE comes upon: both workers are in the middle of a large table when it begins to wait for the small one. */
async function alteredMeanwhile(deps: ActivityDeps, prepared: PreparedBackup): Promise<DumpedBackup> {
  proxy.limit = 6_000_000;
  const dump = dumpBackup(deps, prepared);
  dump.catch(() => undefined);
  await Promise.race([stalled(), dump]);
  const other = new pg.Client(server.url('busy'));
  await other.connect();
  try {
    const altered = other.query(`alter table small add column "at ${randomUUID()}" int`);
    while ((await server.sql('busy', `select 1 from pg_locks where not granted and mode = 'AccessExclusiveLock'`)).length === 0) await sleep(10);
    proxy.release();
    const [outcome] = await Promise.allSettled([dump]);
    await altered;
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  } finally {
    await other.end();
  }
}

test('B1 somebody changes a table while two workers dump: the next attempt dumps by one, and says so', async () => {
  await server.sql('postgres', 'create database busy');
  await server.sql('busy', `create table small (id int); insert into small values (1);
    create table a as select i, md5(i::text) || md5((-i)::text) as note from generate_series(1, 150000) i; create table b as table a; analyze`);
  onTestFinished(async () => {
    await server.sql('postgres', 'drop database if exists busy with (force)');
  });
  const deps = slowly('shop', 'busy', { jobs: 2 });
  proxy.release();
  const prepared = await prepareBackup(deps, { id: idFromUuid(randomUUID()), target: 'shop', kind: 'full', startedBy: 'test', startedAt: new Date().toISOString() });
  await expect(alteredMeanwhile(deps, prepared)).rejects.toMatchObject({ code: 'dumpFailed', message: expect.stringContaining('could not obtain lock') as string });
  // The same again, as Temporal would, and the same happens.
  const dumped = await alteredMeanwhile(deps, prepared);
  expect(dumped.warnings.join()).toContain('Dumped by one worker');
  expect(dumped.counts).toMatchObject({ tables: 3, rows: 300_001 });
  await delivered(deps, prepared, dumped);
  expect(await leftBehind(stack, { servers: [server], databases: ['shop', 'large', 'busy'], temporal: false })).toEqual([]);
});

test('B1 an empty database with settings of its own is a backup, through a pipe too', async () => {
  await server.sql('postgres', 'create database nothing');
  await server.sql('postgres', `alter database nothing set search_path = 'a b', public; comment on database nothing is 'none'`);
  const deps = withTarget('shop', { connection: server.url('nothing') });
  const prepared = await prepareBackup(deps, { id: idFromUuid(randomUUID()), target: 'shop', kind: 'full', startedBy: 'test', startedAt: new Date().toISOString() });
  const dumped = await dumpBackup(deps, prepared);
  expect(dumped.counts).toMatchObject({ tables: 0, rows: 0 });
  await delivered(deps, prepared, dumped);
  await server.sql('postgres', 'drop database nothing');
});

test('B1 O4 a role that may not read everything: refused at once, naming what, however many tables there are', async () => {
  await server.sql('postgres', `create role nobody_much login password 'x'`);
  await server.sql('postgres', 'create database forbidden');
  await server.sql('forbidden', `do $$ begin for i in 1..1500 loop execute format('create table a_rather_long_name_of_a_table_%s (id int)', i); end loop; end $$`);
  const connection = server.url('forbidden').replace('postgres@', 'nobody_much@');
  const deps = withTarget('shop', { connection, password: 'x' });
  const prepared = await prepareBackup(deps, { id: idFromUuid(randomUUID()), target: 'shop', kind: 'full', startedBy: 'test', startedAt: new Date().toISOString() });
  const error: unknown = await dumpBackup(deps, prepared).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'sourceDenied', message: expect.stringMatching(/^forbidden could not be dumped: permission denied for table a_rather_long_name_of_a_table_\d+$/) as string });
  await abandonBackup(deps, { id: prepared.backup, target: 'shop', kind: 'full', startedAt: prepared.startedAt, startedBy: 'test', prepared, dumped: null, error: { code: 'sourceDenied', message: 'test' } });
  await server.sql('postgres', 'drop database forbidden with (force)');
  await server.sql('postgres', 'drop role nobody_much');
  expect(await left()).toEqual([]);
});

describe('B2 B10 a base backup', () => {
  test('whose walsender is ended by the server: no backup', async () => {
    const { code } = await failedDump(slowly('whole'), 'whole', async () => {
      await stalled();
      await endSession(`backend_type = 'walsender'`);
      proxy.release();
    });
    expect(['dumpFailed', 'sourceUnreachable']).toContain(code);
    expect(await left()).toEqual([]);
  });

  test('whose server is shut down: no backup', async () => {
    const { code } = await failedDump(slowly('whole'), 'whole', async () => {
      await stalled();
      await server.shutdown('immediate');
      proxy.release();
    });
    expect(['dumpFailed', 'sourceUnreachable']).toContain(code);
    await server.start();
    expect(await left()).toEqual([]);
  });
});

async function session(where: string): Promise<number> {
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    await sleep(10);
    const [row] = await server.sql<{ pid: number }>('postgres', `select pid from pg_stat_activity where ${where} limit 1`);
    if (row !== undefined) return row.pid;
  }
  throw new Error(`no session ${where}`);
}

async function endSession(where: string): Promise<void> {
  const pid = await session(where);
  await server.sql('postgres', 'select pg_terminate_backend($1)', [pid]);
}

async function dumpProcess(port: number): Promise<number> {
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    await sleep(5);
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (words[0]?.endsWith('/pg_dump') === true && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`PGPORT=${String(port)}`)) return Number(pid);
      } catch {
        // Gone meanwhile.
      }
    }
  }
  throw new Error('pg_dump was not seen');
}

/** A small disk, or why there is none. */
function smallDisk(path: string, bytes: number): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount a small disk';
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${String(bytes)},mode=0700`, 'tmpfs', path], { encoding: 'utf8' });
  if (status !== 0) return `a small disk cannot be mounted here: ${stderr.trim()}`;
  mounts.push(path);
  return undefined;
}

describe('B8 B10 a full disk', () => {
  test('of the primary repository ends the dump, and nothing of it is left there', async ({ skip }) => {
    const why = smallDisk(join(stack.dir, 'tiny'), 2 * 1024 * 1024);
    if (why !== undefined) skip(why);
    const { code } = await failedDump(withTarget('shop', { repositories: ['tiny'] }), 'shop');
    expect(code).toBe('repositoryFull');
    expect(await left()).toEqual([]);
  });

  test('of a further repository fails that one alone', async ({ skip }) => {
    if (mounts.length === 0) skip('no small disk');
    const deps = withTarget('shop', { repositories: ['local', 'tiny'] });
    const id = idFromUuid(randomUUID());
    const prepared = await prepareBackup(deps, { id, target: 'shop', kind: 'full', startedBy: 'test', startedAt: new Date().toISOString() });
    expect(prepared.primary).toBe('local');
    const dumped = await dumpBackup(deps, prepared);
    await expect(storeBackup(deps, { prepared, dumped, repository: 'tiny' })).rejects.toMatchObject({ code: 'repositoryFull' });
    await expect(verifyBackup(deps, { prepared, dumped, repository: 'tiny' })).rejects.toMatchObject({ code: 'partMissing' });
    const step = { prepared, dumped, repository: 'local' };
    await publishBackup(deps, { ...step, verified: await verifyBackup(deps, step) });
    await finishBackup(deps, { prepared, dumped, outcomes: [{ name: 'local', status: 'verified' }, { name: 'tiny', status: 'failed' }] });
    expect(await left()).toEqual([]);
  });

  test('of staging is said, and the dump goes through a pipe', async ({ skip }) => {
    const staging = join(work.path, 'staging');
    const why = smallDisk(staging, 1024 * 1024);
    if (why !== undefined) skip(why);
    const deps = withTarget('shop', { staging });
    const prepared = await prepareBackup(deps, { id: idFromUuid(randomUUID()), target: 'shop', kind: 'full', startedBy: 'test', startedAt: new Date().toISOString() });
    const dumped = await dumpBackup(deps, prepared);
    expect(dumped.warnings.join()).toMatch(/through a pipe/);
    expect(dumped.counts).toMatchObject({ tables: 2, rows: 150_100 });
    await delivered(deps, prepared, dumped);
    expect(await left()).toEqual([]);
    expect(readdirSync(staging)).toEqual([]);
  });

  test('of the spool ends the dump', async ({ skip }) => {
    if (s3 === undefined) skip('no S3 server here');
    const why = smallDisk(join(stack.stateDir, 'spool'), 1024 * 1024);
    if (why !== undefined) skip(why);
    const { code } = await failedDump(withTarget('shop', { repositories: ['cloud'] }), 'shop');
    expect(code).toBe('repositoryFull');
    expect(await left()).toEqual([]);
  });
});
