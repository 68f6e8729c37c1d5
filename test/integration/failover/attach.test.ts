/** P1 P3 P4 O6, by the commands: build a standby, fail over without Temporal, move DNS, sign it, clone the old primary back; and what `check` says before. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../../client/checks/finding.ts';
import type { FailoverResult } from '../../../domain/failover.ts';
import { startBind, type BindServer } from '../../support/bind.ts';
import { caughtUp, startCluster, takesWrites, writeConfig, type TestCluster } from '../../support/cluster.ts';
import { freePort, stopAll } from '../../support/index.ts';
import { restoreRoot } from '../../support/physical-cluster.ts';
import { signalAll } from '../../support/postgres-cluster.ts';
import { runCli, type CliRun } from '../../support/run-cli.ts';
import { startStack, type Stack } from '../../support/stack.ts';

let cluster: TestCluster;
let stack: Stack;
let dns: BindServer;
let built: string;
let port: number;
beforeAll(async () => {
  [cluster, dns, port] = await Promise.all([startCluster({ ports: true }), startBind({ records: ['db IN A 10.0.0.1'] }), freePort()]);
  built = join(restoreRoot(), 'c');
  const target = cluster.target({ failover: { dns: [{ server: 'internal', name: 'db.example.test', ttl: '2s', values: { a: '10.0.0.1', b: '10.0.0.2', c: '10.0.0.3' } }] } });
  (target['members'] as unknown[]).push({ name: 'c', connection: `postgres://postgres@127.0.0.1:${String(port)}/postgres`, dataDir: built, host: 'test-host' });
  stack = await startStack({ targets: { shop: target }, sections: { dns: { internal: dns.config() } } });
  await stack.startWorker();
}, 300_000);
afterAll(async () => {
  signalAll(built, 'SIGKILL');
  await stack.stop();
  await stopAll();
});

const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });

describe('P1 P3 P4 standbys and failover by the commands', () => {
  test('P3 check: a member that cannot be fenced, a fence program that is not there, a DNS server that does not answer, a key that is missing or wrong', async () => {
    const [a, b] = [cluster.member('a'), cluster.member('b')];
    const value = { a: '10.0.0.1', b: '10.0.0.2' };
    const record = (server: string) => ({ server, name: 'db.example.test', values: value });
    const config = await writeConfig({
      targets: { shop: { type: 'postgres', engine: 'physical', toolsDir: a.pgBin, members: [{ name: 'a', connection: a.url('postgres'), fence: { exec: ['/nowhere/power-off', 'a'] } }, { name: 'b', connection: b.url('postgres') }], failover: { automatic: true, dns: [record('good'), record('keyless'), record('wrong'), record('gone')] } } },
      dns: { good: dns.config(), keyless: { ...dns.config(), key: undefined }, wrong: dns.config({ key: { name: 'resurgo-key', secret: Buffer.alloc(32).toString('base64') } }), gone: dns.config({ server: '127.0.0.1:1' }) },
    });
    const run = await runCli(['check', '--json', '--config', config], { cwd: dirname(config) });
    const findings = (run.json() as { checks: Finding[] }).checks.filter(({ area }) => area === 'cluster');
    const find = (text: string): Finding | undefined => findings.find(({ message }) => message.includes(text));
    expect(find('b cannot be fenced'), JSON.stringify(findings, null, 1)).toMatchObject({ status: 'warn', hint: expect.stringContaining('fence.exec') as string });
    expect(find('/nowhere/power-off')).toMatchObject({ status: 'fail' });
    expect(find('db.example.test is A 10.0.0.1')).toMatchObject({ status: 'ok' });
    expect(find('dns.keyless has no key')).toMatchObject({ status: 'warn', hint: expect.stringContaining('tsig-keygen') as string });
    expect(findings.find(({ code }) => code === 'dnsRefused')).toMatchObject({ status: 'fail', hint: expect.stringContaining('key') as string });
    expect(findings.find(({ code }) => code === 'dnsUnreachable')).toMatchObject({ status: 'fail', message: expect.stringContaining('127.0.0.1:1') as string });
    expect(run.exitCode).not.toBe(0);
  });

  test('P1 a standby is built into an empty place, once; not over what is there', async () => {
    const a = cluster.member('a');
    await a.sql('shop', `insert into t (note) select 'row ' || i from generate_series(1, 300) i`);
    mkdirSync(built, { recursive: true });
    writeFileSync(join(built, 'precious'), 'not ours');
    const refused = await cli('standby', 'build', 'shop', 'c', '--json');
    expect(refused.exitCode, refused.stderr).not.toBe(0);
    expect(readdirSync(built)).toEqual(['precious']);
    const { rmSync } = await import('node:fs');
    rmSync(join(built, 'precious'));
    const made = await cli('standby', 'build', 'shop', 'c', '--json');
    expect(made.exitCode, made.stderr).toBe(0);
    expect(made.json()).toMatchObject({ status: 'attached', by: 'build', primary: 'a', timeline: 1 });
    expect((await a.sql<{ active: boolean }>('postgres', `select active from pg_replication_slots where slot_name = 'resurgo_c'`))[0]?.active).toBe(true);
    const again = await cli('standby', 'build', 'shop', 'c', '--json');
    expect(again.exitCode, again.stderr).toBe(0);
    const status = await cli('standby', 'status', 'shop', '--json');
    expect(status.json()).toMatchObject({ primary: 'a', members: [{ name: 'a' }, { name: 'b', role: 'standby' }, { name: 'c', role: 'standby', receiver: { status: 'streaming' } }] });
  }, 600_000);

  test('O6 P3 rescue failover needs no Temporal: fenced, promoted, DNS moved, others follow; the record is signed', async () => {
    const [a] = [cluster.member('a')];
    await caughtUp(a, [cluster.member('b')]);
    signalAll(a.dataDir, 'SIGKILL');
    const run = await runCli(['rescue', 'failover', 'shop', '--host', 'test-host', '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: '127.0.0.1:1' } });
    const result = run.json() as FailoverResult;
    expect([0, 7], run.stderr).toContain(run.exitCode);
    expect(result).toMatchObject({ from: 'a', loss: { bytes: 0 }, timeline: { before: 1, after: 2 }, fences: [{ member: 'a', method: 'local' }] });
    const to = result.to ?? '';
    expect(['b', 'c']).toContain(to);
    expect(result.records.join()).toContain('serial');
    const resolver = new Resolver();
    resolver.setServers([dns.address]);
    expect(await resolver.resolve4('db.example.test', { ttl: true })).toEqual([{ address: to === 'b' ? '10.0.0.2' : '10.0.0.3', ttl: 2 }]);
    if (to === 'b') expect(await takesWrites(cluster.member('b'))).toBe(true);

    const listed = await cli('evidence', 'list', '--kind', 'failover', '--json');
    expect(JSON.stringify(listed.json()), listed.stderr).toContain(result.id);
    const verified = await cli('evidence', 'verify', '--json');
    expect(verified.json(), verified.stderr).toMatchObject({ status: 'verified' });
    const shown = await cli('evidence', 'show', result.id, '--json');
    expect(shown.json()).toMatchObject({ kind: 'failover', status: result.status, measured: { decideMs: expect.any(Number) as number, actMs: expect.any(Number) as number, verifyMs: expect.any(Number) as number, lossBytes: 0 } });
  }, 600_000);

  test('P4 the old primary comes back by a fresh copy; its old data is gone once that streams', async () => {
    const a = cluster.member('a');
    const back = await cli('rejoin', 'shop', 'a', '--by', 'clone', '--json');
    expect(back.exitCode, back.stderr).toBe(0);
    expect(back.json()).toMatchObject({ status: 'attached', by: 'clone', kept: null, timeline: 2 });
    expect(existsSync(join(a.dataDir, 'resurgo.fence'))).toBe(false);
    expect(readdirSync(dirname(a.dataDir)).filter((name) => name.startsWith(basename(a.dataDir)))).toEqual([basename(a.dataDir)]);
    expect((await a.sql<{ n: number }>('shop', 'select count(*)::int as n from t'))[0]?.n).toBeGreaterThanOrEqual(300);
    expect(await takesWrites(a)).toBe(false);
  }, 600_000);
});
