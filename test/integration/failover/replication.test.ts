/** P2: the watch over replication, on real servers: a late standby, a dead one, the last healthy one; and a failover nobody asked for. */
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../../client/status/report.ts';
import { watchReport } from '../../../client/monitors/report.ts';
import type { IncidentView } from '../../../domain/incident.ts';
import type { ClusterReport } from '../../../domain/replication.ts';
import { until } from '../../support/alerts.ts';
import { startBind, type BindServer } from '../../support/bind.ts';
import { startCluster, takesWrites, type TestCluster } from '../../support/cluster.ts';
import { OutsideWriters, superviseBy } from '../../support/failover-lab.ts';
import { startSink, type HttpSink } from '../../support/http-sink.ts';
import { stopAll } from '../../support/index.ts';
import { clusterProcesses, signalAll } from '../../support/postgres-cluster.ts';
import { runCli } from '../../support/run-cli.ts';
import { sleep } from '../../support/server-process.ts';
import { startStack, type Stack } from '../../support/stack.ts';

let cluster: TestCluster;
let stack: Stack;
let sink: HttpSink;
let dns: BindServer;
let writing = true;
let writer: Promise<void>;

beforeAll(async () => {
  [cluster, sink, dns] = await Promise.all([startCluster({ ports: true, standbys: 2 }), startSink(), startBind({ records: ['db IN A 10.0.0.1'] })]);
  stack = await startStack({
    targets: { shop: cluster.target({ failover: { automatic: true, dns: [{ server: 'internal', name: 'db.example.test', ttl: '1s', values: { a: '10.0.0.1', b: '10.0.0.2', c: '10.0.0.3' } }] } }) },
    sections: {
      dns: { internal: dns.config() },
      replication: { every: '1s', maxLag: '4s', criticalLag: '12s', lostAfter: '4s', cooldown: '2m' },
      notify: [{ webhook: { url: `${sink.url}/ops` } }],
    },
  });
  writer = (async () => {
    for (let i = 0; writing; i++) {
      await Promise.all(Object.values(cluster.members).map((member) => member.sql('shop', `insert into t (note) values ('w${String(i)}')`).catch(() => undefined)));
      await sleep(200);
    }
  })();
  await stack.startWorker();
}, 400_000);
afterAll(async () => {
  writing = false;
  await writer;
  await stack.stop();
  await stopAll();
});

const report = async (): Promise<ClusterReport | undefined> => (await watchReport((await stack.client()).client, null))?.clusters?.[0];
const standby = async (name: string): Promise<ClusterReport['standbys'][number] | undefined> => (await report())?.standbys.find((each) => each.name === name);
const told = (): string[] => sink.received.map((one) => String(one.json()['subject']));
const inFlight = async (state: ClusterReport['state']): Promise<ClusterReport> => (await until(report, (seen) => seen?.state === state, 240_000)) as ClusterReport;
const wants = (text: string): Promise<string[]> => until(async () => told(), (all) => all.some((subject) => subject.includes(text)), 240_000);
/** The watch has looked for so long: a busy machine looks later. */
const watchedFor = async (ms: number): Promise<void> => {
  const from = Date.now();
  await until(report, (seen) => Date.parse(seen?.at ?? '') > from + ms, 240_000);
};
const historyOf = async (): Promise<number> => Number((await (await stack.client()).client.workflow.getHandle('monitors').describe()).historyLength);

describe('P2 the watch over replication', () => {
  test('P2 lag is told by status and board; while all is well no history grows', async () => {
    const seen = (await until(report, (now) => now?.state === 'ok' && now.standbys.every(({ lagMs }) => lagMs !== null && lagMs < 4000), 240_000)) as ClusterReport;
    expect(seen).toMatchObject({ primary: 'a', timeline: 1, automatic: true, standbys: [{ name: 'b', state: 'streaming' }, { name: 'c', state: 'streaming' }] });
    for (const { lagMs, lagBytes, slot } of seen.standbys) {
      expect(lagMs).toBeLessThan(4000);
      expect(lagBytes).not.toBeNull();
      expect(slot).toMatchObject({ active: true });
    }
    const before = await historyOf();
    await watchedFor(5000);
    expect(await historyOf()).toBe(before);
    const status = await runCli(['status', '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
    expect((status.json() as StatusReport).targets[0]?.replication, status.stderr).toMatchObject({ primary: 'a', state: 'ok', standbys: [{ name: 'b' }, { name: 'c' }] });
  }, 400_000);

  test('P2 a late standby: people are told, then it is rebuilt; the last healthy one is kept', async () => {
    const [b, c] = [cluster.member('b'), cluster.member('c')];
    const pause = (server: typeof b): Promise<unknown> => server.sql('postgres', 'select pg_wal_replay_pause()');
    // Both, so that neither is healthy when the other one comes to the limit: none of them is replaced.
    await Promise.all([pause(b), pause(c)]);
    await wants('standby b is');
    await until(report, (seen) => seen?.standbys.every(({ lagMs }) => (lagMs ?? 0) > 13_000) === true && seen.detail.includes('kept'), 240_000);
    expect((await report())?.repairs).toEqual({});
    expect(await c.sql('postgres', 'select pg_is_in_recovery() as r')).toEqual([{ r: true }]);
    const pid = b.pid;
    await c.sql('postgres', 'select pg_wal_replay_resume()');
    await wants('rebuild of standby b succeeded');
    expect(clusterProcesses(b.dataDir)).not.toContain(pid);
    await until(() => standby('b'), (seen) => seen?.state === 'streaming' && (seen.lagMs ?? Infinity) < 4000, 240_000);
    await inFlight('ok');
    // Its old slot, of another name, holds no WAL on the primary any more.
    const slots = await cluster.member('a').sql<{ slot_name: string }>('postgres', 'select slot_name from pg_replication_slots order by 1');
    expect(slots.map(({ slot_name }) => slot_name)).toEqual(['resurgo_b', 'standby_2']);
  }, 600_000);

  test('P2 a dead standby is an incident, and is started again without being copied', async () => {
    const c = cluster.member('c');
    const identity = (await c.sql<{ at: string }>('postgres', `select (pg_stat_file('PG_VERSION')).modification::text as at`))[0]?.at;
    signalAll(c.dataDir, 'SIGKILL');
    await wants('reattach of standby c succeeded');
    await until(() => standby('c'), (seen) => seen?.state === 'streaming', 240_000);
    expect((await c.sql<{ at: string }>('postgres', `select (pg_stat_file('PG_VERSION')).modification::text as at`))[0]?.at).toBe(identity);
    expect(told().some((subject) => subject.includes('standby c'))).toBe(true);
    await inFlight('ok');
  }, 600_000);

  test('P3 the primary is killed under load and its supervisor starts it again: the watch fails over by itself, DNS follows, nothing acknowledged is lost, nobody writes to two', async () => {
    const a = cluster.member('a');
    await a.sql('shop', 'create table w (id text primary key, member text not null)');
    for (const member of Object.values(cluster.members)) {
      await member.sql('postgres', `alter system set synchronous_standby_names = 'ANY 1 (*)'`);
      await member.sql('postgres', 'select pg_reload_conf()');
    }
    const writers = new OutsideWriters(Object.fromEntries(Object.entries(cluster.members).map(([name, member]) => [name, () => member.url('shop')])), 2, 20);
    const supervisor = superviseBy({ cluster }, 'a');
    try {
      await writers.acked('a', 30);
      signalAll(a.dataDir, 'SIGKILL');
      const to = await until(async () => Object.keys(cluster.members).find((name) => name !== 'a' && writers.acks.some(({ member }) => member === name)), (name) => name !== undefined, 240_000) ?? '';
      await writers.acked(to, 10);
      const acks = [...writers.acks];
      expect(writers.overlaps('a', to)).toEqual([]);
      expect(await writers.missingOn(cluster.member(to), acks)).toEqual([]);
      expect(supervisor.starts()).toBeGreaterThan(0);
    } finally {
      supervisor.stop();
      await writers.stop();
    }
    const after = (await until(report, (seen) => seen?.failover?.outcome != null && seen.primary !== 'a', 240_000)) as ClusterReport;
    expect(after.failover?.outcome, JSON.stringify(after)).toMatch(/^completed/);
    const primary = cluster.member(after.primary ?? '');
    expect(await takesWrites(primary)).toBe(true);
    await wants(`failed over: ${after.primary ?? ''} is the primary`);
    await expect(a.start()).rejects.toThrow(/invalid permissions/);
    // Longer than lost: it is not started, not rebuilt.
    await watchedFor(8000);
    const later = await report();
    expect(later?.repairs['a']).toBeUndefined();
    expect(clusterProcesses(a.dataDir)).toEqual([]);
    const { client } = await stack.client();
    const handle = client.workflow.getHandle('incident/' + (await import('../../../providers/alerts/incident-id.ts')).fingerprintOf('shop'));
    const incident = await until(() => handle.query<IncidentView | null>('incident'), (view) => view?.status === 'resolved', 240_000);
    expect(incident).toMatchObject({ service: 'shop', status: 'resolved', timeline: expect.arrayContaining([expect.objectContaining({ event: 'started', text: expect.stringContaining('the watch fails over') as string })]) as unknown });
  }, 600_000);

  test('P3 somebody mends the fence and starts the old primary: two primaries stop everything and call a person', async () => {
    const a = cluster.member('a');
    chmodSync(a.dataDir, 0o700);
    rmSync(join(a.dataDir, 'standby.signal'));
    await a.start();
    const seen = await inFlight('stopped');
    expect(seen.detail).toContain('two members say that they are the primary');
    const status = await runCli(['status', '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
    expect(status.exitCode).toBe(6);
    await wants('two primaries are suspected');
    expect(await takesWrites(cluster.member(seen.primary ?? ''))).toBe(true);
    await a.shutdown();
    await until(report, (now) => now?.state !== 'stopped', 240_000);
  }, 600_000);
});
