import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Stores } from '../../activities/stores.ts';
import { walStatus } from '../../client/wal-status.ts';
import type { UpkeepReport, VerifyReport } from '../../domain/operations.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { s3Missing, startPostgres, startS3, type PostgresServer, type S3Server } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

const missing = s3Missing();
let server: PostgresServer;
let s3: S3Server;
let stack: Stack;

const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address, S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey } });
const upkeep = async (): Promise<UpkeepReport> => (await cli('upkeep', 'shop', '--json')).json() as UpkeepReport;
const verify = async (...args: string[]): Promise<VerifyReport> => (await cli('verify', 'shop', '--json', ...args)).json() as VerifyReport;
const wal = (report: VerifyReport | UpkeepReport, repository: string) => report.wal?.find((one) => one.repository === repository);

/** Whole blocks of the archive, oldest first, as keys. */
const blocks = (): string[] => readdirSync(join(stack.dir, 'repo'), { recursive: true }).map(String).filter((name) => {
  const [, from, to] = /\/wal\/.*\/([0-9A-F]{16})-([0-9A-F]{16})-[^/]*$/.exec(`/${name}`) ?? [];
  return from !== undefined && to !== undefined && BigInt(`0x${to}`) - BigInt(`0x${from}`) === 16n * 1024n * 1024n;
}).sort();
const file = (key: string): string => join(stack.dir, 'repo', key);
function damage(key: string): Buffer {
  const bytes = readFileSync(file(key));
  const bad = Buffer.from(bytes);
  bad[bad.length - 40] = (bad[bad.length - 40] ?? 0) ^ 1;
  writeFileSync(file(key), bad);
  return bad;
}

async function archived(holes = 0): Promise<string> {
  const lsn = (await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text as lsn'))[0]?.lsn ?? '';
  const deadline = Date.now() + 180_000;
  for (;;) {
    const { repositories } = await walStatus(stack.loaded, 'shop');
    if (repositories.length === 2 && repositories.every(({ gaps, lineages }) => gaps.length === holes && parseLsn(lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0') >= parseLsn(lsn))) return lsn;
    if (Date.now() > deadline) throw new Error(`${lsn} is not archived: ${JSON.stringify(repositories, null, 1)}\n${stack.workerLog}`);
    await sleep(300);
  }
}

async function write(holes = 0): Promise<string> {
  await server.sql('postgres', 'insert into t select generate_series(1, 5000); select pg_switch_wal()');
  await server.sql('postgres', 'insert into t values (1)');
  return archived(holes);
}

describe.skipIf(missing !== undefined)('B8 B10 archived WAL is read back', () => {
  beforeAll(async () => {
    server = await startPostgres({});
    s3 = await startS3();
    process.env['S3_KEY'] = s3.accessKeyId;
    process.env['S3_SECRET'] = s3.secretAccessKey;
    await server.sql('postgres', 'create table t(i int)');
    stack = await startStack({
      repositories: { local: { type: 'disk', path: './repo' }, cloud: { type: 's3', bucket: s3.bucket, endpoint: s3.endpoint, region: s3.region, forcePathStyle: true, accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' } } },
      targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walRequired: ['local', 'cloud'], walFlush: '1s' } },
      env: { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey },
    });
    await stack.startWorker();
    await stack.run('backup', { target: 'shop' });
    for (let i = 0; i < 4; i++) await write();
  });

  afterAll(async () => {
    await stack.stop();
    await s3.stop();
    await server.stop();
  });

  test('upkeep reads what was never read, in disk and S3, and then only what is new', async () => {
    const first = await upkeep();
    expect(first).toMatchObject({ status: 'done', wal: [{ repository: 'local', status: 'verified', depth: 'checksum', damaged: 0, losses: [] }, { repository: 'cloud', status: 'verified', losses: [] }] });
    // All there are; how many, depends on what has been joined into larger ones by then.
    for (const one of first.wal ?? []) expect([one.repository, one.objects]).toEqual([one.repository, one.total]);
    const second = await upkeep();
    for (const one of second.wal ?? []) {
      expect(one.objects, one.repository).toBeLessThan(4);
      expect(one.unread).toBeLessThan(4);
    }
    expect(await verify('--deep')).toMatchObject({ status: 'verified', wal: [{ repository: 'local', depth: 'content', status: 'verified' }, { repository: 'cloud', depth: 'content', status: 'verified' }] });
  }, 900_000);

  test('damage in one repository is named by verify and status, restores go around it, upkeep heals it; so for a lost object, a lost key and a lost lineage file', async () => {
    const [, second = '', third = ''] = blocks();
    const good = readFileSync(file(second));
    damage(second);
    const run = await cli('verify', 'shop', '--json');
    expect(run.exitCode).toBe(1);
    const report = run.json() as VerifyReport;
    expect(report.status).toBe('damaged');
    expect(wal(report, 'local')).toMatchObject({ status: 'damaged', damaged: 1, problems: [expect.stringContaining(second) as string], losses: [{ why: 'damaged', timeline: 1 }] });
    expect(wal(report, 'cloud')).toMatchObject({ status: 'verified', damaged: 0, losses: [] });
    expect((await walStatus(stack.loaded, 'shop')).repositories.map(({ name, gaps }) => [name, gaps.length])).toEqual([['local', 1], ['cloud', 0]]);
    expect((await walStatus(stack.loaded, 'shop')).repositories[0]?.gaps[0]).toContain('is damaged');
    expect((await cli('status', '--json')).stdout).toContain('is damaged');
    const preview = await cli('restore', 'shop', '--time', 'latest', '--to', join(server.socketDir, 'never'), '--preview', '--json');
    expect(preview.exitCode, preview.stderr).toBe(0);

    rmSync(file(third));
    rmSync(join(stack.dir, 'repo', 'keys', readdirSync(join(stack.dir, 'repo', 'keys')).find((name) => name.startsWith('wal')) ?? 'none', '1.age'));
    const healed = await upkeep();
    expect(healed.status, JSON.stringify(healed, null, 1)).toBe('done');
    expect(wal(healed, 'local')).toMatchObject({ status: 'verified', damaged: 0, healedFrom: ['cloud'], losses: [] });
    expect(readFileSync(file(second)).equals(good)).toBe(true);
    expect((await walStatus(stack.loaded, 'shop')).repositories.flatMap(({ gaps }) => gaps)).toEqual([]);

    const lineage = readdirSync(join(stack.dir, 'repo'), { recursive: true }).map(String).find((name) => name.endsWith('/lineage.json')) ?? '';
    writeFileSync(file(lineage), '{');
    expect(wal(await verify(), 'local')).toMatchObject({ status: 'damaged', error: { code: 'walDamaged' } });
    expect(wal(await upkeep(), 'local')).toMatchObject({ status: 'verified' });
    expect(await verify('--deep')).toMatchObject({ status: 'verified' });
  }, 900_000);

  test('what no repository has whole is named with what cannot be reached any more, and a backup behind it makes it whole again', async () => {
    const [first = ''] = blocks().slice(-2);
    const from = await archived();
    const bad = damage(first);
    const stores = new Stores(stack.loaded);
    await (await stores.open('cloud')).put(first, bad);
    await stores.close();
    await verify();
    const run = await cli('upkeep', 'shop', '--json');
    expect(run.exitCode).toBe(7);
    const report = run.json() as UpkeepReport;
    expect(report.warnings.join('\n')).toMatch(/WAL in local: WAL \S+ to \S+ of timeline 1 is damaged .*cannot be reached any more; take a full backup now/);
    for (const repository of ['local', 'cloud']) expect(wal(report, repository)).toMatchObject({ status: 'damaged', losses: [{ why: 'damaged', reachableAgainFrom: null }] });
    const refused = await cli('restore', 'shop', '--lsn', from, '--to', join(server.socketDir, 'never'), '--preview', '--json');
    expect(refused.exitCode).toBe(3);
    expect(refused.stdout + refused.stderr).toContain('recoveryTargetUnreachable');

    const { id } = await stack.run('backup', { target: 'shop', kind: 'full' });
    await write(1);
    const after = await upkeep();
    expect(after.status, JSON.stringify(after, null, 1)).toBe('done');
    expect(wal(after, 'local')?.losses).toMatchObject([{ why: 'damaged', reachableAgainFrom: id }]);
    expect((await cli('restore', 'shop', '--time', 'latest', '--to', join(server.socketDir, 'never'), '--preview', '--json')).exitCode).toBe(0);
  }, 900_000);

  test('B9 after a rotation of the keys archived WAL is as whole as before, and its wrapped keys come back as they are now', async () => {
    const [repository, damaged] = [join(stack.dir, 'repo', 'keys'), wal(await upkeep(), 'local')?.damaged];
    const rotated = await cli('keys', 'rotate', '--json');
    expect(rotated.exitCode, rotated.stderr).toBe(0);
    const ofWal = readdirSync(repository).filter((name) => name.startsWith('wal'));
    expect(ofWal.length).toBeGreaterThan(0);
    for (const name of ofWal) expect(readdirSync(join(repository, name))).toContain('2.age');
    for (const name of ['local', 'cloud']) expect(wal(await verify('--deep'), name)).toMatchObject({ damaged, problems: damaged === 0 ? [] : expect.any(Array) as unknown });

    for (const name of ofWal) rmSync(join(repository, name), { recursive: true });
    const healed = await upkeep();
    await verify('--deep');
    expect(wal(healed, 'local')).toMatchObject({ damaged });
    const again = await upkeep();
    expect(wal(again, 'local')).toMatchObject({ damaged });
    for (const name of ofWal) expect(readdirSync(join(repository, name))).toContain('2.age');
  }, 900_000);
});
