/** A cluster whose watch fails over by itself, clients that look on from outside, and disasters. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Resolver } from 'node:dns/promises';
import pg from 'pg';
import { watchReport } from '../../client/monitors/report.ts';
import type { AttachWay } from '../../domain/attach.ts';
import type { FailoverResult } from '../../domain/failover.ts';
import type { ClusterReport } from '../../domain/replication.ts';
import { startBind, type BindServer } from './bind.ts';
import { startCluster, type TestCluster } from './cluster.ts';
import type { PostgresServer } from './postgres.ts';
import { clusterProcesses } from './postgres-cluster.ts';
import { pgRunAs } from './run-as.ts';
import { sleep } from './server-process.ts';
import { startStack, type Stack } from './stack.ts';

interface Ack {
  readonly member: string;
  readonly id: string;
  readonly sentAt: number;
  readonly ackedAt: number;
}

/** Clients that write to every address all the time and note what was acknowledged. */
export class OutsideWriters {
  readonly acks: Ack[] = [];
  private readonly stopped = new AbortController();
  private readonly loops: Promise<void>[];
  private n = 0;

  /** @param perMember sessions that write to each address, every `everyMs` */
  constructor(addresses: Readonly<Record<string, () => string>>, perMember: number, everyMs: number) {
    this.loops = Object.entries(addresses).flatMap(([member, url]) => Array.from({ length: perMember }, () => this.write(member, url, everyMs)));
  }

  private isStopped(): boolean {
    return this.stopped.signal.aborted;
  }

  private async write(member: string, url: () => string, everyMs: number): Promise<void> {
    while (!this.isStopped()) {
      const client = new pg.Client({ connectionString: url(), connectionTimeoutMillis: 1000, query_timeout: 4000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!this.isStopped()) {
          const id = `${member}-${String(++this.n)}-${String(Date.now())}`;
          const sentAt = performance.now();
          await client.query('insert into w (id, member) values ($1, $2)', [id, member]);
          this.acks.push({ member, id, sentAt, ackedAt: performance.now() });
          await sleep(everyMs);
        }
      } catch {
        await sleep(everyMs);
      } finally {
        void client.end().catch(() => undefined);
      }
    }
  }

  /** Writes one server acknowledged although they were sent after another one had acknowledged one. Meaningful over one change of roles. */
  overlaps(from: string, to: string): Ack[] {
    const first = this.acks.filter(({ member }) => member === to).reduce((least, { ackedAt }) => Math.min(least, ackedAt), Infinity);
    return this.acks.filter(({ member, sentAt }) => member === from && sentAt > first);
  }

  /** Acknowledged writes a server does not have. */
  async missingOn(server: PostgresServer, acks: readonly Ack[] = this.acks): Promise<string[]> {
    const rows = await server.sql<{ id: string }>('shop', 'select id from w');
    const there = new Set(rows.map(({ id }) => id));
    return acks.map(({ id }) => id).filter((id) => !there.has(id));
  }

  /** Waits until so many writes were acknowledged by a member. */
  async acked(member: string, count: number, ms = 240_000): Promise<void> {
    for (const until = Date.now() + ms; this.acks.filter((ack) => ack.member === member).length < count; ) {
      if (Date.now() > until) throw new Error(`${member} acknowledged fewer than ${String(count)} writes in ${String(ms)} ms`);
      await sleep(50);
    }
  }

  forget(): void {
    this.acks.length = 0;
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await Promise.all(this.loops);
  }
}

export interface LabOptions {
  readonly standbys?: number;
  readonly failover?: object;
  readonly replication?: object;
  readonly config?: Readonly<Record<string, string>>;
  /** `synchronous_standby_names` of every member, once there are standbys. */
  readonly synchronous?: string;
  /** URL by which worker and clients reach a member, in place of its own. */
  readonly through?: (name: string, server: PostgresServer, cluster: TestCluster) => Promise<string>;
  readonly members?: Readonly<Record<string, object>>;
}

const address = (i: number): string => `10.0.0.${String(i + 1)}`;
const record = 'db.example.test';

export class FailoverLab {
  readonly cluster: TestCluster;
  readonly stack: Stack;
  readonly dns: BindServer;
  readonly urls: Readonly<Record<string, string>>;
  private readonly resolver = new Resolver({ timeout: 300, tries: 1 });

  constructor(cluster: TestCluster, stack: Stack, dns: BindServer, urls: Readonly<Record<string, string>>) {
    this.cluster = cluster;
    this.stack = stack;
    this.dns = dns;
    this.urls = urls;
    this.resolver.setServers([dns.address]);
  }

  writers(perMember = 1, everyMs = 20): OutsideWriters {
    return new OutsideWriters(Object.fromEntries(Object.keys(this.cluster.members).map((name) => [name, () => this.urlOf(name)])), perMember, everyMs);
  }

  urlOf(name: string): string {
    return (this.urls[name] ?? this.cluster.member(name).url('shop')).replace(/\/postgres(\?|$)/, '/shop$1');
  }

  async report(): Promise<ClusterReport | undefined> {
    return (await watchReport((await this.stack.client()).client, null))?.clusters?.[0];
  }

  /** @throws when it is not so in time, with the last report */
  async until(isSo: (report: ClusterReport) => boolean, ms = 240_000): Promise<ClusterReport> {
    for (const end = Date.now() + ms; ; ) {
      const report = await this.report();
      if (report !== undefined && isSo(report)) return report;
      if (Date.now() > end) throw new Error(`the watch does not say so within ${String(ms)} ms: ${JSON.stringify(report, null, 1)}\n${this.stack.workerLog}`);
      await sleep(200);
    }
  }

  /** Every member streams and the watch says that all is well. */
  ready = (): Promise<ClusterReport> => this.until(({ state, standbys }) => state === 'ok' && standbys.length === Object.keys(this.cluster.members).length - 1);

  /** Which member DNS names now. */
  async named(): Promise<string | undefined> {
    const [ip] = await this.resolver.resolve4(record).catch(() => [] as string[]);
    return Object.keys(this.cluster.members).find((_, i) => address(i) === ip);
  }

  /** Milliseconds until a client that asks DNS anew each time has a write acknowledged by another member than `from`. */
  async untilWritable(from: string, since: number, ms = 180_000): Promise<{ tookMs: number; to: string }> {
    for (const end = since + ms; performance.now() < end; ) {
      const to = await this.named();
      if (to !== undefined && to !== from) {
        const client = new pg.Client({ connectionString: this.urlOf(to), connectionTimeoutMillis: 1000, query_timeout: 5000 });
        client.on('error', () => undefined);
        try {
          await client.connect();
          await client.query('insert into w (id, member) values ($1, $2)', [`verified-${String(Date.now())}`, to]);
          return { tookMs: performance.now() - since, to };
        } catch {
          // Not yet.
        } finally {
          void client.end().catch(() => undefined);
        }
      }
      await sleep(20);
    }
    throw new Error(`no write within ${String(ms)} ms: ${JSON.stringify(await this.report(), null, 1)}\n${this.stack.workerLog}`);
  }

  /** All failovers the watch started, oldest first, with their results. */
  async failovers(): Promise<FailoverResult[]> {
    const { client } = await this.stack.client();
    const found: FailoverResult[] = [];
    for await (const run of client.workflow.list({ query: 'WorkflowType = "failover"' })) if (run.status.name === 'COMPLETED') found.push((await client.workflow.getHandle(run.workflowId, run.runId).result()) as FailoverResult);
    return found.sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
  }

  async rejoin(member: string, by: AttachWay = 'rewind'): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await this.stack.run('attachStandby', { target: 'shop', member, by });
        return;
      } catch (error) {
        if (tries > 4) throw error;
        await sleep(1000);
      }
    }
  }

  async stop(): Promise<void> {
    await this.stack.stop();
  }
}

export async function startFailoverLab(options: LabOptions = {}): Promise<FailoverLab> {
  const [cluster, dns] = await Promise.all([
    startCluster({ ports: true, standbys: options.standbys ?? 1, ...(options.config === undefined ? {} : { config: options.config }) }),
    startBind({ records: [`db IN A ${address(0)}`] }),
  ]);
  await cluster.member('a').sql('shop', 'create table w (id text primary key, member text not null, at timestamptz default clock_timestamp())');
  for (const member of options.synchronous === undefined ? [] : Object.values(cluster.members)) {
    await member.sql('postgres', `alter system set synchronous_standby_names = '${options.synchronous ?? ''}'`);
    await member.sql('postgres', 'select pg_reload_conf()');
  }
  const names = Object.keys(cluster.members);
  const urls: Record<string, string> = {};
  for (const name of names) if (options.through !== undefined) urls[name] = await options.through(name, cluster.member(name), cluster);
  const members = Object.fromEntries(names.map((name) => [name, { ...(urls[name] === undefined ? {} : { connection: urls[name] }), ...options.members?.[name] }]));
  const stack = await startStack({
    targets: {
      shop: cluster.target({ failover: { automatic: true, dns: [{ server: 'internal', name: record, ttl: '1s', values: Object.fromEntries(names.map((name, i) => [name, address(i)])) }], ...options.failover } }, members),
    },
    sections: { dns: { internal: dns.config() }, replication: { every: '1s', maxLag: '30s', criticalLag: '10m', lostAfter: '10m', rebuild: false, cooldown: '20s', ...options.replication } },
  });
  const lab = new FailoverLab(cluster, stack, dns, urls);
  await stack.startWorker();
  await lab.ready();
  return lab;
}

/** By its own file: another process of the cluster that dies is a crash from which it comes back by itself. @throws when none runs: a signal to -1 would go to everybody */
export function postmasterOf(dataDir: string): number {
  const pid = Number(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
  if (!clusterProcesses(dataDir).includes(pid)) throw new Error(`no server runs on ${dataDir}`);
  return pid;
}

/** A supervisor (`Restart=always`) at the worst time: it tries again and again from the moment the fence begins. */
export function superviseBy(its: Pick<FailoverLab, 'cluster'>, name: string): { stop: () => void; starts: () => number } {
  const { dataDir, pgBin } = its.cluster.member(name);
  const runAs = pgRunAs();
  let count = 0;
  const child: { current?: ReturnType<typeof spawn> } = {};
  const timer = setInterval(() => {
    if (child.current !== undefined && child.current.exitCode === null && child.current.signalCode === null) return;
    if (!existsSync(join(dataDir, 'resurgo.fence')) || clusterProcesses(dataDir).length > 0) return;
    count++;
    child.current = spawn(`${pgBin}/postgres`, ['-D', dataDir], { stdio: 'ignore', cwd: '/', env: { PATH: process.env['PATH'], LC_ALL: 'C' }, ...(runAs === undefined ? {} : { uid: runAs.uid, gid: runAs.gid }) });
    child.current.on('error', () => undefined);
  }, 50);
  return { stop: () => { clearInterval(timer); }, starts: () => count };
}
