/** Crash cases of a failover: the primary is dead, and the worker dies too, in every phase of what is done about it. */
import { expect } from 'vitest';
import { gatherEvidence } from '../../../client/evidence.ts';
import type { FailoverResult } from '../../../domain/failover.ts';
import { readFenceMark } from '../../../providers/postgres/fence-block.ts';
import { caughtUp, startCluster, takesWrites, type TestCluster } from '../cluster.ts';
import { startBind, type BindServer } from '../bind.ts';
import { clusterProcesses, signalAll } from '../postgres-cluster.ts';
import { sleep } from '../server-process.ts';
import { startStack, type Stack } from '../stack.ts';
import { Resolver } from 'node:dns/promises';
import type { Places } from './matrix.ts';
import { describePlan, type CrashPlan, type Effect } from './plan.ts';

/** Every activity of a failover that touches anything; places inside by what it does. */
export const failoverPlaces: Places = { observeCluster: 2, fenceLocal: 3, promoteMember: 3, proveWrites: 2, moveRecords: 1, followPrimary: 2, measureLoss: 1, recordFailover: 3 };

const names = ['a', 'b', 'c'] as const;
const addresses: Readonly<Record<string, string>> = { a: '10.0.0.1', b: '10.0.0.2', c: '10.0.0.3' };

export class FailoverArena {
  readonly cluster: TestCluster;
  readonly stack: Stack;
  private readonly resolver = new Resolver({ timeout: 1000, tries: 3 });
  private rows = 0;

  constructor(cluster: TestCluster, stack: Stack, dns: BindServer) {
    this.cluster = cluster;
    this.stack = stack;
    this.resolver.setServers([dns.address]);
  }

  async primary(): Promise<string> {
    for (const name of names) if (await takesWrites(this.cluster.member(name))) return name;
    throw new Error('no member takes writes');
  }

  /** The primary dies with all its data on the standbys. @returns its name and timeline */
  async killPrimary(): Promise<{ from: string; timeline: number }> {
    const from = await this.primary();
    const server = this.cluster.member(from);
    await server.sql('shop', `insert into t (note) select 'row ' || i from generate_series(1, 500) i`);
    await caughtUp(server, names.filter((name) => name !== from).map((name) => this.cluster.member(name)));
    const [row] = await server.sql<{ n: number; tli: number }>('shop', `select count(*)::int as n, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as tli from t`);
    this.rows = row?.n ?? -1;
    signalAll(server.dataDir, 'SIGKILL');
    return { from, timeline: row?.tli ?? -1 };
  }

  /** What must be true at the end, whatever died in between: looked at on the servers themselves. */
  async judge(result: FailoverResult, { from, timeline }: { from: string; timeline: number }, effects: readonly Effect[]): Promise<void> {
    const said = JSON.stringify(result, null, 1);
    expect(['completed', 'completed-with-warnings'], said).toContain(result.status);
    const to = result.to ?? '';
    const server = this.cluster.member(to);
    // Promoted once: one timeline further, and nobody else was.
    expect(result, said).toMatchObject({ from, timeline: { before: timeline, after: timeline + 1 }, loss: { bytes: 0 } });
    const [row] = await server.sql<{ n: number; tli: number }>('shop', `select count(*)::int as n, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as tli from t`);
    expect(row, said).toEqual({ n: this.rows, tli: timeline + 1 });
    expect(await takesWrites(server)).toBe(true);
    for (const name of names) if (name !== to && name !== from) await caughtUp(server, [this.cluster.member(name)]);
    // Fenced, and before anything was promoted.
    const { dataDir } = this.cluster.member(from);
    expect(await readFenceMark(dataDir), 'the fence of the old primary').toMatchObject({ format: 1 });
    expect(clusterProcesses(dataDir)).toEqual([]);
    expect(result.fences, said).toMatchObject([{ member: from, method: 'local', override: null }]);
    const promoted = effects.findIndex(({ started }) => started === 'promoteMember');
    const fencing = effects.findLastIndex(({ activity }) => activity === 'fenceLocal');
    expect(promoted).toBeGreaterThan(-1);
    expect(fencing, 'fenced before promoted').toBeLessThan(promoted);
    expect(effects.slice(0, promoted).some(({ started }) => started === 'fenceLocal')).toBe(true);
    expect(await this.resolver.resolve4('db.example.test')).toEqual([addresses[to]]);
    const { evidence } = await gatherEvidence(this.stack.loaded, { kind: 'failover' });
    expect(evidence.filter(({ id }) => id === result.id), 'one signed record').toHaveLength(1);
    expect(evidence.find(({ id }) => id === result.id)).toMatchObject({ status: result.status, document: { measured: { lossBytes: 0 } } });
  }

  async bringBack(member: string): Promise<void> {
    await this.stack.run('attachStandby', { target: 'shop', member, by: 'rewind' });
  }

  async run(plan: CrashPlan | undefined): Promise<readonly Effect[]> {
    const { stack } = this;
    if (!stack.workerRuns) await stack.startWorker();
    const before = stack.effects().length;
    const dead = await this.killPrimary();
    if (plan !== undefined) stack.arm(plan);
    const run = await stack.start('failover', { target: 'shop' });
    const result = stack.resultOf(run);
    result.catch(() => undefined);
    if (plan !== undefined) {
      const first = await Promise.race([result.then(() => 'ended' as const, (error: unknown) => String(error)), stack.workerDeath().then(() => 'dead' as const)]);
      if (first !== 'dead' || !stack.crashed) {
        stack.disarm();
        throw new Error(`the worker did not die ${describePlan(plan)}: ${first}`);
      }
      // Somebody may start the old primary while nobody is at work.
      await sleep(300);
      await stack.startWorker();
    }
    const ended = await result;
    const effects = stack.effects().slice(before);
    await this.judge(ended, dead, effects);
    await this.bringBack(dead.from);
    return effects;
  }
}

export async function startFailoverArena(): Promise<FailoverArena> {
  const [cluster, dns] = await Promise.all([startCluster({ ports: true, standbys: 2 }), startBind({ records: ['db IN A 10.0.0.1'] })]);
  const stack = await startStack({
    targets: { shop: cluster.target({ failover: { dns: [{ server: 'internal', name: 'db.example.test', ttl: '1s', values: addresses }] } }) },
    sections: { dns: { internal: dns.config() } },
  });
  await stack.startWorker();
  return new FailoverArena(cluster, stack, dns);
}
