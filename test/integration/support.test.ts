import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, statSync } from 'node:fs';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import {
  freePort,
  installedPostgres,
  leakCheck,
  openPostgres,
  pgRunAs,
  pgTool,
  s3Missing,
  startPostgres,
  startS3,
  startTemporal,
  stopAll,
  tempDir,
} from '../support/index.ts';

afterEach(stopAll);

describe('PostgreSQL', () => {
  test('starts, survives SIGKILL, makes a standby and leaves nothing', async () => {
    const server = await startPostgres();
    const [facts] = await server.sql<{ checksums: string; summarize: string }>(
      'postgres',
      `select current_setting('data_checksums') checksums, current_setting('summarize_wal') summarize`,
    );
    expect(facts).toEqual({ checksums: 'on', summarize: 'on' });
    await server.sql('postgres', 'create table t (n int); insert into t select generate_series(1, 1000)');
    await server.kill();
    expect(server.isRunning).toBe(false);
    await server.start();
    expect(await server.sql('postgres', 'select count(*)::int n from t where n <= $1', [500])).toEqual([{ n: 500 }]);

    const standby = await server.createStandby();
    expect(await standby.sql('postgres', 'select pg_is_in_recovery() standby')).toEqual([{ standby: true }]);
    await server.stop();
    expect(existsSync(server.dataDir)).toBe(false);
    await leakCheck();
  });

  test('roles log in with a password only, and contrib modules are there', async () => {
    const server = await startPostgres({ config: { autovacuum: 'off' } });
    const url = await server.addRole(`o'hara "x"`, {
      password: `p'w/@:"`,
      replication: true,
      memberOf: ['pg_read_all_data'],
    });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    expect((await client.query<{ who: string }>('select current_user who')).rows).toEqual([{ who: `o'hara "x"` }]);
    await client.end();
    const wrong = new pg.Client({ connectionString: server.url('postgres', `o'hara "x"`, 'wrong') });
    await expect(wrong.connect()).rejects.toThrow(/password authentication failed/);
    await server.sql('postgres', 'create extension amcheck; create extension pg_visibility');
    const space = server.tablespaceDir('space');
    await server.sql('postgres', `create tablespace space location '${space}'`);
    expect(await server.sql('postgres', 'show autovacuum')).toEqual([{ autovacuum: 'off' }]);
  });

  test('opens a data directory that somebody else wrote', async () => {
    const server = await startPostgres({ dataChecksums: false, encoding: 'LATIN1' });
    await server.sql('postgres', 'create database "Ünï cøde"');
    await server.shutdown();
    const dir = tempDir('restored');
    const copy = `${dir.path}/data`;
    cpSync(server.dataDir, copy, { recursive: true });
    chmodSync(copy, 0o700);
    const opened = await openPostgres(copy);
    expect(
      await opened.sql(
        'postgres',
        `select current_setting('data_checksums') c, pg_encoding_to_char(encoding) e from pg_database where datname like '%n%de'`,
      ),
    ).toEqual([{ c: 'off', e: 'LATIN1' }]);
    await opened.stop();
    expect(existsSync(copy)).toBe(true);
  });

  test('its programs are of one version', async () => {
    const server = await startPostgres();
    const versions = ['postgres', 'psql', 'pg_dump', 'pg_basebackup', 'pg_combinebackup', 'pg_rewind'].map((name) =>
      pgTool(server.pgBin, name, ['--version']).replace(/^\D*/, '').trim(),
    );
    expect(new Set(versions).size).toBe(1);
  });

  const old = installedPostgres(15);
  test.skipIf(!old)('PostgreSQL 15 runs beside it', async () => {
    const server = await startPostgres({ major: 15 });
    expect(server.major).toBe(15);
    expect(await server.sql('postgres', 'select 1 one')).toEqual([{ one: 1 }]);
  });
});

describe('Temporal', () => {
  test('keeps its workflows, address and search attributes across SIGKILL', async () => {
    const server = await startTemporal({ searchAttributes: { ResurgoTest: 'Keyword' } });
    const start = async (id: string): Promise<void> => {
      const connection = await Connection.connect({ address: server.address });
      const client = new Client({ connection });
      await client.workflow.start('nobody', {
        taskQueue: 'none',
        workflowId: id,
        typedSearchAttributes: [{ key: defineSearchAttributeKey('ResurgoTest', 'KEYWORD'), value: 'x' }],
      });
      await connection.close();
    };
    await start('before');
    await server.kill();
    await server.start();
    const connection = await Connection.connect({ address: server.address });
    const description = await new Client({ connection }).workflow.getHandle('before').describe();
    expect(description.status.name).toBe('RUNNING');
    await connection.close();
    await server.stop();
    await leakCheck();
  });
});

describe('S3', () => {
  test.skipIf(s3Missing() !== undefined)('answers, is killed and comes back', async () => {
    const server = await startS3();
    const client = new S3Client(server.clientConfig);
    const names = async () => (await client.send(new ListBucketsCommand({}))).Buckets?.map((bucket) => bucket.Name);
    expect(await names()).toEqual([server.bucket]);
    await server.kill();
    await server.start();
    expect(await names()).toEqual([server.bucket]);
    client.destroy();
    await server.stop();
    await leakCheck();
  });
});

describe('leftovers', () => {
  test('a forgotten directory is noticed', async () => {
    const dir = tempDir();
    expect(statSync(dir.path).mode & 0o766).toBe(0o700);
    await expect(leakCheck(0)).rejects.toThrow(dir.path);
    await dir.stop();
    await leakCheck();
  });

  test('a forgotten process is noticed', async () => {
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    await expect(leakCheck(0)).rejects.toThrow('sleep 1000');
    child.kill('SIGKILL');
    await leakCheck();
  });

  test('ports are not given twice; root does not run PostgreSQL', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, () => freePort()));
    expect(new Set(ports).size).toBe(20);
    expect(pgRunAs() === undefined).toBe(process.getuid?.() !== 0);
  });
});
