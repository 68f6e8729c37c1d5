import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type PostgresServer,
  type S3Server,
  freePort,
  installedPostgres,
  s3Missing,
  startPostgres,
  startS3,
  tempDir,
  toolsEnv,
} from '../support/index.ts';
import { runCli } from '../support/run-cli.ts';
import type { Finding } from '../../client/checks/finding.ts';

interface Report {
  readonly status: string;
  readonly counts: Readonly<Record<Finding['status'], number>>;
  readonly checks: readonly Finding[];
}

let server: PostgresServer;
let s3: S3Server | undefined;
let cwd: string;
const env: Record<string, string> = { S3_KEY: 'resurgo-test', S3_SECRET: 'resurgo-test-secret' };

beforeAll(async () => {
  [server, s3] = await Promise.all([
    startPostgres({ config: { max_wal_senders: '3' } }),
    s3Missing() === undefined ? startS3() : undefined,
  ]);
  await server.sql('postgres', 'create database shop');
  await server.sql(
    'shop',
    'create table orders (id int primary key); create table "Odd ""name" (x int); create sequence s',
  );
  env['ADMIN'] = server.url('shop');
  env['BACKUP'] = await server.addRole(
    'backup',
    { password: 'p@ss/w:rd', replication: true, memberOf: ['pg_read_all_data'] },
    'shop',
  );
  env['READER'] = await server.addRole('rea"der', { password: 'x' }, 'shop');
});

afterAll(async () => {
  await Promise.all([server.stop(), s3?.stop()]);
});

beforeEach(async () => {
  const temp = tempDir('check');
  cwd = temp.path;
  expect((await runCli(['init', '--quiet'], { cwd })).exitCode).toBe(0);
  return () => temp.stop();
});

/** Replaces what comes after the encryption section. */
function configure(rest: string): void {
  const file = join(cwd, 'resurgo.yaml');
  const [head = ''] = readFileSync(file, 'utf8').split('# Where backups are kept.');
  writeFileSync(file, `${head}# Where backups are kept.\n${rest}`, { mode: 0o600 });
  chmodSync(file, 0o600);
}

const local = 'repositories: { local: { type: disk, path: ./backups } }\n';
const tools = (): string => `toolsDir: ${toolsEnv().pgBin}`;

async function check(
  ...args: string[]
): Promise<{ exitCode: number | null; report: Report; find: (area: string, text: string) => Finding | undefined }> {
  const run = await runCli(['check', '--json', ...args], { cwd, env });
  const report = run.json() as Report;
  return {
    exitCode: run.exitCode,
    report,
    find: (area, text) => report.checks.find((finding) => finding.area === area && finding.message.includes(text)),
  };
}

const problems = (report: Report): string[] =>
  report.checks
    .filter(({ status }) => status === 'fail' || status === 'warn')
    .map(({ area, subject, message }) => `${area} ${subject}: ${message}`);

describe('O4 check', () => {
  test('O4 everything well: exit code 0, nothing left behind, no secret shown', async () => {
    const remote = s3
      ? `  remote: { type: s3, bucket: ${s3.bucket}, prefix: a/b, endpoint: "${s3.endpoint}", forcePathStyle: true, region: us-east-1, accessKeyId: { env: S3_KEY }, secretAccessKey: { env: S3_SECRET } }\n`
      : '';
    configure(`repositories:
  local: { type: disk, path: ./backups }
${remote}targets:
  shop: { type: postgres, engine: physical, connection: { env: BACKUP }, ${tools()} }
  orders: { type: postgres, engine: logical, connection: { env: BACKUP }, ${tools()}, service: { stop: [sh, -c, 'true'] } }
policies:
  - { targets: [shop, orders], schedule: '0 2 * * *' }
  - { targets: [shop], kind: incremental, schedule: '@hourly' }
objectives: { rpo: 24h }
`);
    const { exitCode, report, find } = await check();
    expect(problems(report)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(report.status).toBe('ok');
    expect(find('target', 'primary')?.message).toMatch(
      /PostgreSQL \d+\.\d+, primary, .* as backup@127\.0\.0\.1:\d+\/shop/,
    );
    expect(find('target', 'replication sessions are allowed')).toBeDefined();
    expect(find('tools', 'pg_dump')).toBeDefined();
    expect(find('tools', 'pg_controldata')?.status).toBe('ok');
    expect(find('service', '/sh')?.status).toBe('ok');
    expect(report.checks.filter(({ area, status }) => area === 'repository' && status === 'ok')).toHaveLength(
      s3 ? 2 : 1,
    );
    expect(find('temporal', 'no Temporal')?.status).toBe('note');
    expect(JSON.stringify(report)).not.toMatch(/p@ss|p%40ss|resurgo-test-secret/);
    expect(readdirSync(cwd).sort()).toEqual(['resurgo-host.key', 'resurgo.key', 'resurgo.yaml']);
  });

  test('O4 what a role may not do is said with the statement that mends it', async () => {
    await server.sql('shop', 'alter table orders enable row level security');
    configure(`${local}targets:
  shop: { type: postgres, engine: physical, connection: { env: READER }, ${tools()} }
  orders: { type: postgres, engine: logical, connection: { env: READER }, ${tools()} }
`);
    const { exitCode, find } = await check();
    await server.sql('shop', 'alter table orders disable row level security');
    expect(exitCode).toBe(3);
    expect(find('target', 'lacks REPLICATION')).toMatchObject({
      status: 'fail',
      subject: 'shop',
      code: 'sourceDenied',
      hint: expect.stringContaining('alter role "rea""der" replication;'),
    });
    expect(find('target', 'may not read 3 tables or sequences of shop')).toMatchObject({
      status: 'fail',
      hint: 'grant pg_read_all_data to "rea""der";',
    });
    expect(find('target', 'row security hides rows of 1 tables')).toMatchObject({
      status: 'fail',
      hint: 'alter role "rea""der" bypassrls;',
    });
  });

  test('B2 settings that incrementals need, and checksums', async () => {
    await server.sql('postgres', 'alter system set summarize_wal = off');
    await server.sql('postgres', 'select pg_reload_conf()');
    configure(`${local}targets:
  shop: { type: postgres, engine: physical, connection: { env: BACKUP }, ${tools()}, dataDir: /somewhere/else }
policies: [{ targets: [shop], kind: incremental, schedule: '0 0 * * 0' }]
`);
    const off = await check();
    await server.sql('postgres', 'alter system reset summarize_wal');
    await server.sql('postgres', "alter system set wal_summary_keep_time = '5d'");
    await server.sql('postgres', 'select pg_reload_conf()');
    expect(off.exitCode).toBe(3);
    expect(off.find('target', 'summarize_wal is off')).toMatchObject({
      status: 'fail',
      code: 'walSummaryMissing',
      hint: expect.stringContaining('alter system set summarize_wal = on'),
    });
    expect(off.find('schedule', 'no policy takes full backups')?.status).toBe('warn');
    const short = await check();
    await server.sql('postgres', 'alter system reset wal_summary_keep_time');
    await server.sql('postgres', 'select pg_reload_conf()');
    expect(short.exitCode).toBe(0);
    expect(short.find('target', 'wal_summary_keep_time is 5d, the schedules lie up to 7d apart')?.status).toBe('warn');
    expect(short.find('schedule', 'up to 7d lie between two backups: an RPO of 1h 00m cannot be met')?.status).toBe(
      'warn',
    );
  });

  test.skipIf(installedPostgres(15) === undefined)('B2 PostgreSQL 15: full backups only, and it says so', async () => {
    const old = await startPostgres({ major: 15, dataChecksums: false });
    try {
      env['OLD'] = old.url();
      configure(`${local}targets: { old: { type: postgres, engine: physical, connection: { env: OLD }, toolsDir: ${old.pgBin} } }
policies: [{ targets: [old], kind: differential, schedule: '@daily' }, { targets: [old], schedule: '@weekly' }]
`);
      const { exitCode, find } = await check();
      expect(exitCode).toBe(3);
      expect(find('target', 'differential backups need PostgreSQL 17 or later, this is 15.')).toMatchObject({
        status: 'fail',
        code: 'sourceVersion',
      });
      expect(find('target', 'data checksums are off')?.status).toBe('warn');
      expect(find('tools', 'pg_controldata 15')?.status).toBe('ok');
    } finally {
      await old.stop();
    }
  });

  test('P2 a cluster with a standby, and one whose servers do not belong together', async () => {
    const [standby, stranger] = await Promise.all([server.createStandby(), startPostgres()]);
    try {
      Object.assign(env, { STANDBY: standby.url(), STRANGER: stranger.url() });
      const write = (second: string, from: string): void => {
        configure(
          `${local}targets: { shop: { type: postgres, engine: physical, backupFrom: ${from}, ${tools()}, members: [{ name: a, connection: { env: ADMIN } }, { name: b, connection: { env: ${second} } }] } }\n`,
        );
      };
      write('STANDBY', 'standby');
      const good = await check();
      // All that is wrong with it: nobody could fence its members, which have neither a host nor a program for it.
      expect(problems(good.report)).toEqual(['a', 'b'].map((member) => `cluster shop: ${member} cannot be fenced: a failover away from it asks a person`));
      expect(good.find('target', 'b: PostgreSQL')?.message).toContain('standby');
      write('STRANGER', 'standby');
      const bad = await check();
      expect(bad.exitCode).toBe(3);
      expect(bad.find('target', 'its servers are not one cluster')?.code).toBe('sourceChanged');
      expect(bad.find('target', 'no standby answers')?.status).toBe('fail');
    } finally {
      await Promise.all([standby.stop(), stranger.stop()]);
    }
  });

  test('B8 repositories: closed, denied, missing bucket, wrong secret', async () => {
    const port = await freePort();
    writeFileSync(join(cwd, 'file'), 'in the way', { mode: 0o600 });
    const buckets = s3
      ? `  gone: { type: s3, bucket: no-such-bucket, endpoint: "${s3.endpoint}", forcePathStyle: true, region: us-east-1, accessKeyId: { env: S3_KEY }, secretAccessKey: { env: S3_SECRET } }\n`
      : '';
    configure(`repositories:
  blocked: { type: disk, path: ./file/backups }
  unset: { type: s3, bucket: dr, endpoint: "http://127.0.0.1:${port}", accessKeyId: { env: S3_KEY }, secretAccessKey: { env: NOT_SET } }
${buckets}targets: { shop: { type: postgres, engine: logical, connection: { env: ADMIN }, ${tools()} } }
`);
    const { exitCode, report } = await check();
    expect(exitCode).toBe(3);
    const of = (name: string) => report.checks.filter(({ area, subject }) => area === 'repository' && subject === name);
    expect(of('blocked')).toMatchObject([{ status: 'fail' }]);
    expect(of('unset')).toMatchObject([
      {
        status: 'fail',
        code: 'configInvalid',
        message: expect.stringContaining('repositories.unset.secretAccessKey: environment variable NOT_SET is not set'),
      },
    ]);
    if (s3) expect(of('gone')).toMatchObject([{ status: 'fail' }]);
    expect(readFileSync(join(cwd, 'file'), 'utf8')).toBe('in the way');
  });

  test('O4 keys: missing, readable by others, of somebody else; and secrets in plain text', async () => {
    configure(
      `${local}targets: { shop: { type: postgres, engine: logical, connection: "postgres://u:topsecret@127.0.0.1:1/d", password: topsecret2 } }\n`,
    );
    chmodSync(join(cwd, 'resurgo.yaml'), 0o644);
    chmodSync(join(cwd, 'resurgo-host.key'), 0o640);
    mkdirSync(join(cwd, 'other'));
    expect((await runCli(['init', '--config', 'other/resurgo.yaml', '--quiet'], { cwd })).exitCode).toBe(0);
    writeFileSync(join(cwd, 'resurgo.key'), readFileSync(join(cwd, 'other/resurgo.key')));
    const { exitCode, report, find } = await check('--offline');
    expect(exitCode).toBe(3);
    expect(find('keys', 'has mode 0640')).toMatchObject({ status: 'fail', code: 'configUnsafe' });
    expect(find('keys', 'belongs to none of the recipients')).toMatchObject({
      status: 'fail',
      code: 'wrongKey',
      hint: expect.stringContaining('age1'),
    });
    expect(
      find(
        'config',
        'targets.shop.connection, targets.shop.password: in plain text in the configuration, which others may read (mode 0644)',
      )?.status,
    ).toBe('warn');
    expect(JSON.stringify(report)).not.toContain('topsecret');
    expect(report.checks.some(({ area }) => area === 'repository' || area === 'target')).toBe(false);

    chmodSync(join(cwd, 'resurgo-host.key'), 0o600);
    writeFileSync(join(cwd, 'resurgo.key'), '');
    const empty = await check('--offline');
    expect(empty.exitCode).toBe(2);
    expect(empty.find('keys', 'is empty')?.code).toBe('configInvalid');
  });

  test('O1 in words: one line a finding, the remedy below, a sum at the end', async () => {
    configure(
      `${local}targets: { shop: { type: postgres, engine: logical, connection: "postgres://u@127.0.0.1:${await freePort()}/d" } }\n`,
    );
    const run = await runCli(['check'], { cwd, env });
    expect(run.exitCode).toBe(3);
    expect(run.stdout).toMatch(/^ok {4}config: .* is valid/m);
    expect(run.stdout).toMatch(/^fail {2}target shop: .*ECONNREFUSED.*\n {6}Check address/m);
    expect(run.stdout).toMatch(/\n\d+ ok, 0 warnings, 1 failed\n$/);
    const quiet = await runCli(['check', '--quiet'], { cwd, env });
    expect(quiet.stdout).not.toMatch(/^(ok|note) /m);
  });

  test('O1 a server that never answers: Ctrl-C ends it with 130', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    configure(
      `${local}targets: { shop: { type: postgres, engine: logical, connection: "postgres://u@127.0.0.1:${port}/d" } }\n`,
    );
    const run = await runCli(['check'], {
      cwd,
      env,
      on: {
        text: 'repository local',
        then: (kill) => {
          kill('SIGINT');
        },
      },
    });
    await new Promise((resolve) => silent.close(resolve));
    expect(run.exitCode).toBe(130);
    expect(existsSync(join(cwd, 'backups'))).toBe(false);
  });
});
