import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { rescueFailover } from '../../../client/rescue-failover.ts';
import type { FailoverInput, FailoverResult } from '../../../domain/failover.ts';
import { FailoverFailed } from '../../../workflows/failover-flow.ts';
import { caughtUp, startCluster, takesWrites, walReceiver, writeConfig, type TestCluster } from '../../support/cluster.ts';
import { depsOf } from '../../support/in-process.ts';
import { stopAll } from '../../support/index.ts';
import { sleep } from '../../support/server-process.ts';

afterEach(stopAll);

const failover = async (configPath: string, input: Partial<FailoverInput> = {}): Promise<FailoverResult> => {
  try {
    return await rescueFailover({ deps: depsOf(configPath), input: { target: 'shop', ...input }, onStep: () => undefined, onNote: () => undefined, signal: new AbortController().signal });
  } catch (error) {
    if (error instanceof FailoverFailed) return error.result;
    throw error;
  }
};
const configOf = (cluster: TestCluster, extra: object = {}, members: Readonly<Record<string, object>> = {}): Promise<string> => writeConfig({ targets: { shop: cluster.target(extra, members) } });

describe('P3 failover', () => {
  test('P3 the primary is killed: fenced, the standby promoted, writes proved, nothing lost; the old one cannot come back as a primary', async () => {
    const cluster = await startCluster();
    const [a, b] = [cluster.member('a'), cluster.member('b')];
    const config = await configOf(cluster);
    await a.sql('shop', `insert into t (note) select 'row ' || i from generate_series(1, 1000) i`);
    await caughtUp(a, [b]);

    expect(await failover(config)).toMatchObject({ status: 'failed', error: { code: 'primaryAlive' }, steps: [{ name: 'confirm', outcome: 'failed' }] });
    expect(await takesWrites(a)).toBe(true);
    await caughtUp(a, [b]);

    expect(a.pid).toBeGreaterThan(0);
    process.kill(a.pid, 'SIGKILL');
    const preview = await failover(config, { preview: true });
    expect(preview).toMatchObject({ status: 'preview', to: 'b', would: [expect.stringContaining('fence a'), expect.stringContaining('promote b'), expect.any(String)] });
    expect(existsSync(join(a.dataDir, 'resurgo.fence'))).toBe(false);

    const result = await failover(config);
    expect(result, JSON.stringify(result, null, 1)).toMatchObject({ status: 'completed', from: 'a', to: 'b', timeline: { before: 1, after: 2 }, fences: [{ member: 'a', method: 'local', override: null }] });
    expect(result.loss).toMatchObject({ bytes: 0 });
    expect(await takesWrites(b)).toBe(true);
    expect((await b.sql<{ n: number }>('shop', 'select count(*)::int as n from t'))[0]?.n).toBe(1002);

    // A supervisor that starts the old one in a hurry: refused; and where somebody mends the mode, it starts read-only.
    await expect(a.start()).rejects.toThrow(/invalid permissions/);
    const mode = statSync(a.dataDir).mode & 0o777;
    expect(mode & 0o007).not.toBe(0);
    const { chmodSync } = await import('node:fs');
    chmodSync(a.dataDir, 0o700);
    await a.start();
    expect(await takesWrites(a)).toBe(false);
  });

  test('P3 a primary that was paused is ended before it can go on, and its busy backends with it', async () => {
    const cluster = await startCluster();
    const [a, b] = [cluster.member('a'), cluster.member('b')];
    const config = await configOf(cluster, { failover: { timeout: '1s' } });
    const { clusterProcesses, signalAll } = await import('../../support/postgres-cluster.ts');
    const client = a.session('shop', async (session) => {
      for (;;) await session.query(`insert into t (note) values ('busy')`);
    }).catch(() => 'ended');
    await sleep(200);
    signalAll(a.dataDir, 'SIGSTOP');
    const result = await failover(config);
    expect(result, JSON.stringify(result, null, 1)).toMatchObject({ to: 'b', from: 'a' });
    expect(clusterProcesses(a.dataDir)).toEqual([]);
    expect(await client).toBe('ended');
    expect(await takesWrites(b)).toBe(true);
  });

  test('P3 nothing is promoted when the fence cannot be proved, unless a person answers for it', async () => {
    const cluster = await startCluster();
    const [a, b] = [cluster.member('a'), cluster.member('b')];
    const config = await configOf(cluster, {}, { a: { fence: { local: false } } });
    await a.kill();
    const refused = await failover(config);
    expect(refused).toMatchObject({ status: 'failed', to: null, error: { code: 'fenceUnproved' } });
    expect(await takesWrites(b)).toBe(false);
    const failing = await configOf(cluster, {}, { a: { fence: { local: false, exec: ['/bin/false'] } } });
    expect(await failover(failing)).toMatchObject({ error: { code: 'fenceUnproved', message: expect.stringContaining('exit code 1') as string } });
    const wrong = await configOf(cluster, {}, { a: { dataDir: b.dataDir }, b: { dataDir: '/nowhere' } });
    expect(await failover(wrong)).toMatchObject({ error: { code: 'fenceUnproved', message: expect.stringContaining('listens on port') as string } });
    expect(await takesWrites(b)).toBe(false);
    expect(b.isRunning).toBe(true);
    const result = await failover(config, { overrideFence: 'I pulled the plug myself', startedBy: 'test' });
    expect(result).toMatchObject({ status: 'completed-with-warnings', to: 'b', fences: [{ member: 'a', override: 'I pulled the plug myself' }] });
    expect(result.warnings.join()).toContain('not proved to be fenced');
  });

  test('P3 the freshest of several standbys is promoted, and the others follow it', async () => {
    const cluster = await startCluster({ standbys: 2 });
    const [a, b, c] = [cluster.member('a'), cluster.member('b'), cluster.member('c')];
    const config = await configOf(cluster);
    // b falls behind: its receiver is cut off from new WAL.
    const [row] = await b.sql<{ info: string }>('postgres', `select setting as info from pg_settings where name = 'primary_conninfo'`);
    const set = async (info: string): Promise<void> => {
      await b.sql('postgres', `alter system set primary_conninfo = '${info.replaceAll("'", "''")}'`);
      await b.sql('postgres', 'select pg_reload_conf()');
    };
    await set('host=127.0.0.1 port=1 user=postgres');
    while ((await walReceiver(b)) > 0) await sleep(50);
    await a.sql('shop', `insert into t (note) select repeat('x', 500) from generate_series(1, 2000)`);
    await caughtUp(a, [c]);
    await a.kill();
    await set(row?.info ?? '');
    expect(await failover(config, { to: 'b' })).toMatchObject({ status: 'compensated', error: { code: 'noStandby' } });
    expect(existsSync(join(a.dataDir, 'resurgo.fence'))).toBe(false);
    const result = await failover(config);
    expect(result, JSON.stringify(result, null, 1)).toMatchObject({ status: 'completed', to: 'c', loss: { bytes: 0 } });
    await c.sql('shop', `insert into t (note) values ('after')`);
    await caughtUp(c, [b]);
  });
});
