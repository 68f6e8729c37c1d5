import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FailoverResult } from '../../../domain/failover.ts';
import { caughtUp, startCluster, takesWrites, type TestCluster, walReceiver } from '../../support/cluster.ts';
import { stopAll } from '../../support/index.ts';
import { signalAll } from '../../support/postgres-cluster.ts';
import { runCli, type CliRun } from '../../support/run-cli.ts';
import { startStack, type Stack } from '../../support/stack.ts';

let cluster: TestCluster;
let stack: Stack;
beforeAll(async () => {
  cluster = await startCluster({ ports: true });
  stack = await startStack({ targets: { shop: cluster.target() } });
  await stack.startWorker();
}, 300_000);
afterAll(async () => {
  await stack.stop();
  await stopAll();
});

const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
const count = async (name: string): Promise<number> => (await cluster.member(name).sql<{ n: number }>('shop', 'select count(*)::int as n from t'))[0]?.n ?? -1;

describe('P1 P3 P4 the roles of a cluster, by the commands', () => {
  test('P4 switchover without loss, P3 failover, P4 rejoin by rewind and keep, P1 rebuild', async () => {
    const [a, b] = [cluster.member('a'), cluster.member('b')];
    await a.sql('shop', `insert into t (note) select 'row ' || i from generate_series(1, 500) i`);

    // Planned: a → b, and a follows.
    await a.sql('postgres', `select pg_create_physical_replication_slot('resurgo_b', true)`);
    const over = await cli('switchover', 'shop', '--json');
    expect(over.exitCode, over.stderr + over.stdout).toBe(0);
    expect(over.json()).toMatchObject({ kind: 'switchover', status: 'completed', from: 'a', to: 'b', timeline: { before: 1, after: 2 }, loss: { bytes: 0 } });
    expect(await count('b')).toBe(500);
    expect(await takesWrites(b)).toBe(true);
    expect(await takesWrites(a)).toBe(false);
    await caughtUp(b, [a]);
    const status = await cli('standby', 'status', 'shop', '--json');
    expect(status.json()).toMatchObject({ primary: 'b', members: [{ name: 'a', role: 'standby', receiver: { status: 'streaming' } }, { name: 'b', role: 'primary' }] });

    // The slot it kept for b holds no WAL on it any more.
    expect(await a.sql('postgres', `select slot_name from pg_replication_slots where slot_name = 'resurgo_b'`)).toEqual([]);

    // Unplanned: b dies with writes nobody else has.
    const receiver = await walReceiver(a);
    expect(receiver).toBeGreaterThan(0);
    process.kill(receiver, 'SIGSTOP');
    await b.sql('shop', `insert into t (note) select repeat('lost', 400) from generate_series(1, 20000)`);
    signalAll(b.dataDir, 'SIGKILL');
    signalAll(a.dataDir, 'SIGCONT');
    const failed = await cli('failover', 'shop', '--json');
    const result = failed.json() as FailoverResult;
    expect([0, 7], failed.stderr).toContain(failed.exitCode);
    expect(result).toMatchObject({ from: 'b', to: 'a', timeline: { before: 2, after: 3 }, fences: [{ member: 'b', method: 'local' }] });
    expect(result.loss.bytes).toBeGreaterThan(1_000_000);
    expect(await takesWrites(a)).toBe(true);

    // b comes back, without what nobody else had; its own settings stay.
    const refused = await cli('standby', 'rebuild', 'shop', 'b', '--json');
    expect(refused.exitCode).toBe(3);
    const back = await cli('rejoin', 'shop', 'b', '--by', 'rewind', '--json');
    expect(back.exitCode, back.stderr).toBe(0);
    expect(back.json()).toMatchObject({ status: 'attached', primary: 'a', timeline: 3, by: 'rewind' });
    await caughtUp(a, [b]);
    expect(await count('b')).toBe(await count('a'));
    expect(await takesWrites(b)).toBe(false);
    const again = await cli('rejoin', 'shop', 'b', '--by', 'rewind', '--json');
    expect(again.exitCode, again.stderr).toBe(0);

    // Once more, and this time the old data is kept as it was.
    signalAll(a.dataDir, 'SIGKILL');
    const third = await cli('failover', 'shop', '--json');
    expect(third.json(), third.stderr).toMatchObject({ from: 'a', to: 'b', timeline: { after: 4 } });
    const kept = await cli('rejoin', 'shop', 'a', '--by', 'keep', '--json');
    expect(kept.exitCode, kept.stderr).toBe(0);
    const { kept: path } = kept.json() as { kept: string };
    expect(existsSync(path)).toBe(true);
    await caughtUp(b, [a]);

    // A standby is replaced by a fresh copy; what it replaced is gone, what was kept stays.
    const rebuilt = await cli('standby', 'rebuild', 'shop', 'a', '--json');
    expect(rebuilt.exitCode, rebuilt.stderr).toBe(0);
    await caughtUp(b, [a]);
    expect(readdirSync(dirname(a.dataDir)).filter((name) => name.startsWith(basename(a.dataDir)) && name !== basename(a.dataDir))).toEqual([basename(path)]);
    chmodSync(path, 0o700);
    const nobody = await cli('rejoin', 'shop', 'b', '--by', 'clone', '--json');
    expect(nobody.exitCode).toBe(3);
  }, 900_000);
});
