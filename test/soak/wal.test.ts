import { randomInt } from 'node:crypto';
import { readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { walStatus, readWalHealth, type WalStatus } from '../../client/wal-status.ts';
import { statusReport } from '../../client/status/report.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import { withClient } from '../../providers/postgres/connection.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

/** Minutes of the kill loop; the issue asks for 5. */
const minutes = Number(process.env['SOAK_MINUTES'] ?? 5);
const targets = Number(process.env['SOAK_TARGETS'] ?? 20);

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

async function stackOf(server: PostgresServer, more: Record<string, unknown> = {}): Promise<Stack> {
  const stack = await startStack({ targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walFlush: '1s', ...more } } });
  open.push(stack);
  await stack.startWorker();
  return stack;
}

async function until<T>(what: string, read: () => Promise<T>, good: (value: T) => boolean, timeoutMs = 300_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not happen: ${JSON.stringify(value, null, 1).slice(0, 4000)}`);
    await sleep(250);
  }
}

const endOf = (status: WalStatus): bigint => parseLsn(status.repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0');
const archived = (stack: Stack, lsn: string): Promise<WalStatus> => until(`${lsn} archived`, () => walStatus(stack.loaded, 'shop'), (status) => endOf(status) >= parseLsn(lsn));

/** Accounts whose sum is always 0 and a counter that tells how many transfers were made; several writers at once. */
class Load {
  private running = true;
  private readonly done: Promise<void>[];
  errors = 0;

  constructor(server: () => PostgresServer, clients = 3) {
    this.done = Array.from({ length: clients }, async () => {
      while (this.running) {
        try {
          await server().session('postgres', async (client) => {
            while (this.running) {
              await client.query(`with a as (update accounts set balance = balance - 1 where id = ${String(randomInt(500))}), b as (update accounts set balance = balance + 1 where id = ${String(500 + randomInt(500))}) insert into moves(pad) values (repeat(md5(random()::text), 20))`);
            }
          });
        } catch {
          this.errors++;
          await sleep(200);
        }
      }
    });
  }

  static async prepare(server: PostgresServer): Promise<void> {
    await server.sql('postgres', `create table accounts(id int primary key, balance bigint not null default 0); insert into accounts select i from generate_series(0, 999) i; create table moves(id bigint generated always as identity primary key, at timestamptz default clock_timestamp(), pad text)`);
  }

  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.done);
  }
}

interface Recorded {
  readonly moves: string;
  readonly sum: string;
  readonly lsn: string;
  readonly time: string;
}

const stateSql = `select count(*)::text as moves, (select coalesce(sum(hashtextextended(a::text, 0)), 0) from public.accounts a)::text as sum from public.moves`;

/** The state at one instant: writers are held by a lock while it is read. */
async function record(server: PostgresServer): Promise<Recorded> {
  return server.session('postgres', async (client) => {
    await client.query('begin; lock table accounts, moves in share mode');
    const { rows: [state] } = await client.query<{ moves: string; sum: string }>(stateSql);
    const { rows: [at] } = await client.query<{ lsn: string; time: string }>(`select pg_current_wal_insert_lsn()::text as lsn, to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`);
    await sleep(5);
    await client.query('commit');
    return { ...(state as { moves: string; sum: string }), ...(at as { lsn: string; time: string }) };
  });
}

let n = 0;
async function restored(stack: Stack, server: PostgresServer, point: { time?: string; lsn?: string; timeline?: number }): Promise<{ moves: string; sum: string }> {
  const to = join(server.socketDir, `soak-${String(++n)}`);
  const result = await stack.run('restore', { target: 'shop', mode: 'beside', to, ...point });
  expect(result.status).toBe('restored');
  const local = await startLocalServer({ dataDir: to, toolDirs: [server.pgBin] });
  try {
    return await withClient(local.connection, async (client) => (await client.query<{ moves: string; sum: string }>(stateSql)).rows[0] as { moves: string; sum: string }, { database: 'postgres' });
  } finally {
    await local.stop();
  }
}

describe('WAL archive under load', () => {
  test('R4 random points under load are restored as they were, also across a failover', async () => {
    const primary = await startPostgres({ dataChecksums: true });
    open.push(primary);
    await Load.prepare(primary);
    const standby = await primary.createStandby();
    const stack = await stackOf(primary, { standbys: [{ name: 'b', connection: standby.url() }] });
    let active: PostgresServer = primary;
    const load = new Load(() => active);
    await stack.run('backup', { target: 'shop' });
    const points: Recorded[] = [];
    for (let i = 0; i < targets / 2; i++) {
      await sleep(randomInt(200, 2500));
      points.push(await record(active));
    }
    await until('the slot is on the standby', () => standby.sql<{ there: number }>('postgres', `select count(*)::int as there from pg_replication_slots where slot_name = 'resurgo_shop'`), ([row]) => row?.there === 1);
    // The standby has everything: the old one is killed, the new one is promoted.
    const before = await record(active);
    await archived(stack, before.lsn);
    await until('the standby has caught up', () => standby.sql<{ lsn: string }>('postgres', 'select pg_last_wal_replay_lsn()::text as lsn'), ([row]) => row !== undefined && parseLsn(row.lsn) >= parseLsn(before.lsn));
    await primary.kill();
    await standby.sql('postgres', 'select pg_promote(true, 60)');
    active = standby;
    for (let i = 0; i < targets / 2; i++) {
      await sleep(randomInt(200, 2500));
      points.push(await record(active));
    }
    await load.stop();
    const last = await record(active);
    await archived(stack, last.lsn);
    const status = await walStatus(stack.loaded, 'shop');
    // Idle from here on: a time after the last commit is reached by a mark.
    await sleep(3000);
    const [idle] = await active.sql<{ time: string }>('postgres', `select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`);
    await until('a mark behind the idle time', () => walStatus(stack.loaded, 'shop'), ({ newest }) => (newest ?? '') > (idle?.time ?? ''));
    points.push({ ...last, time: idle?.time ?? '', lsn: last.lsn });
    expect(status.repositories[0]?.lineages.flatMap(({ timelines }) => timelines.map(({ timeline }) => timeline))).toContain(2);
    for (const [i, point] of points.entries()) {
      const by = i % 2 === 0 || i === points.length - 1 ? { time: point.time } : { lsn: point.lsn, timeline: i < targets / 2 ? 1 : 2 };
      expect({ i, ...(await restored(stack, standby, by)) }).toEqual({ i, moves: point.moves, sum: point.sum });
    }
  });

  test(`B3 a worker killed at random for ${String(minutes)} minutes: no gap, lag median at most 5 s, 20 s after each kill`, async () => {
    const server = await startPostgres({ dataChecksums: true });
    open.push(server);
    await Load.prepare(server);
    const stack = await stackOf(server);
    const load = new Load(() => server, 2);
    await until('it runs', () => walStatus(stack.loaded, 'shop'), ({ newest }) => newest !== null);
    const lags: number[] = [];
    const recoveries: number[] = [];
    /** What Temporal knew while a return took long. */
    const late: string[] = [];
    const deadline = Date.now() + minutes * 60_000;
    let nextKill = Date.now() + 5000;
    let killedAt: number | undefined;
    let marker = '';
    let starting: Promise<void> | undefined;
    while (Date.now() < deadline) {
      const status = await walStatus(stack.loaded, 'shop');
      if (killedAt !== undefined && Date.now() - killedAt > 12_000 && late.length < 20) {
        const { client } = await stack.client();
        const { raw } = await client.workflow.getHandle('wal/shop').describe();
        late.push(`${String(Date.now() - killedAt)} ms after the kill: worker ${starting === undefined ? 'polls' : 'starts'}, newest ${status.newest ?? '-'}, ${JSON.stringify({ activities: raw.pendingActivities, task: raw.pendingWorkflowTask })}`);
      }
      lags.push(status.rpoMs ?? Number.POSITIVE_INFINITY);
      if (killedAt !== undefined && (status.newest ?? '') > marker) {
        recoveries.push(Date.now() - killedAt);
        killedAt = undefined;
        nextKill = Date.now() + randomInt(3000, 25_000);
      }
      if (killedAt === undefined && starting === undefined && Date.now() > nextKill) {
        await stack.stopWorker('SIGKILL');
        killedAt = Date.now();
        marker = new Date(killedAt).toISOString();
        starting = stack.startWorker().finally(() => { starting = undefined; });
      }
      await sleep(500);
    }
    await starting;
    await load.stop();
    const { lsn } = await record(server);
    const status = await until('the end without a gap', () => archived(stack, lsn), ({ repositories }) => repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.length === 1);
    expect(status.repositories.flatMap(({ gaps }) => gaps)).toEqual([]);
    lags.sort((a, b) => a - b);
    const median = lags[Math.floor(lags.length / 2)] ?? 0;
    process.stderr.write(`lag median ${String(median)} ms, p95 ${String(lags[Math.floor(lags.length * 0.95)])} ms; after ${String(recoveries.length)} kills: ${recoveries.map((ms) => (ms / 1000).toFixed(1)).join(' ')} s\n`);
    if (late.length > 0) process.stderr.write(`${late.join('\n')}\n`);
    expect(recoveries.length).toBeGreaterThan(2);
    expect(median).toBeLessThanOrEqual(5000);
    expect(Math.max(...recoveries)).toBeLessThanOrEqual(20_000);
  });

  test('B3 an archive that is down: the disk of the primary stays bounded, health turns bad, and it recovers by itself with a new base backup', async () => {
    const server = await startPostgres({ dataChecksums: true, config: { max_slot_wal_keep_size: '48MB', min_wal_size: '32MB', max_wal_size: '64MB' } });
    open.push(server);
    await Load.prepare(server);
    const stack = await stackOf(server);
    await stack.run('backup', { target: 'shop' });
    const first = await record(server);
    await archived(stack, first.lsn);
    // The disk of the repository is gone; a file stands where its directory was.
    const repository = join(stack.dir, 'repo');
    renameSync(repository, `${repository}.away`);
    writeFileSync(repository, '');
    const walBytes = (): number => readdirSync(join(server.dataDir, 'pg_wal')).reduce((sum, name) => sum + (statSync(join(server.dataDir, 'pg_wal', name), { throwIfNoEntry: false })?.size ?? 0), 0);
    let most = 0;
    let worst = '';
    for (let i = 0; i < 40; i++) {
      await server.sql('postgres', `insert into moves(pad) select repeat(md5(i::text), 40) from generate_series(1, 6000) i; select pg_switch_wal(); checkpoint`);
      most = Math.max(most, walBytes());
      const health = await readWalHealth(stack.stateDir, 'shop');
      if (health !== null && health.problems.length > 0) worst = health.problems.join('; ');
      await sleep(300);
    }
    expect(most).toBeLessThan(300 * 1024 * 1024);
    expect(worst).toMatch(/slot|takes no WAL/);
    // Given up by the server; or made anew already, where it is now, so that the gap ends there.
    const [slot] = await server.sql<{ status: string; skipped: string | null }>('postgres', `select wal_status as status, (restart_lsn - $1::pg_lsn)::text as skipped from pg_replication_slots where slot_name = 'resurgo_shop'`, [first.lsn]);
    expect(slot?.status === 'lost' || slot?.status === 'unreserved' || Number(slot?.skipped) > 48 * 1024 * 1024, JSON.stringify(slot)).toBe(true);
    process.stderr.write(`pg_wal at most ${String(Math.round(most / 1024 / 1024))} MB; slot ${JSON.stringify(slot)}; told: ${worst}\n`);
    rmSync(repository);
    renameSync(`${repository}.away`, repository);
    await until('a gap is told and a base backup is taken by itself', () => statusReport(stack.loaded), (report) => report.targets[0]?.problems.some(({ code }) => code === 'walGap') === true && report.targets[0].newest !== null && report.targets[0].newest.startedAt > first.time, 600_000);
    const after = await record(server);
    await archived(stack, after.lsn);
    // The slot may have been lost a second time while the first base backup was under way: then another one follows.
    const reached = await until('what was written after it is reachable', async () => restored(stack, server, { lsn: after.lsn }).catch((error: unknown) => error), (outcome) => !(isResurgoError(outcome, 'recoveryTargetUnreachable')), 600_000);
    expect(reached).toEqual({ moves: after.moves, sum: after.sum });
    await expect(stack.run('restore', { target: 'shop', mode: 'beside', to: join(server.socketDir, 'never'), lsn: after.lsn, backup: (await statusReport(stack.loaded)).targets[0]?.newest?.id ?? '' })).resolves.toMatchObject({ status: 'restored' });
  });

  test('R4 B3 after a restore in place to an earlier point: a new lineage, its own base backup, the slot again; points of both are reachable', async () => {
    const server = await startPostgres({ dataChecksums: true });
    open.push(server);
    await Load.prepare(server);
    const stack = await stackOf(server, { dataDir: server.dataDir });
    await stack.run('backup', { target: 'shop' });
    const wanted = await record(server);
    await server.sql('postgres', 'delete from moves; update accounts set balance = 77');
    const accident = await record(server);
    await archived(stack, accident.lsn);
    await server.shutdown();
    const result = await stack.run('restore', { target: 'shop', mode: 'in-place', lsn: wanted.lsn });
    expect(result.status).toBe('restored');
    await server.start();
    expect(await record(server)).toMatchObject({ moves: wanted.moves, sum: wanted.sum });
    const status = await until('a new lineage', () => walStatus(stack.loaded, 'shop'), ({ repositories }) => (repositories[0]?.lineages.length ?? 0) === 2);
    expect(status.repositories[0]?.lineages[0]?.parent).toBe(status.repositories[0]?.lineages[1]?.id);
    await until('its own base backup', () => statusReport(stack.loaded), (report) => (report.targets[0]?.newest?.startedAt ?? '') > result.endedAt.slice(0, 19), 600_000);
    await server.sql('postgres', `insert into moves(pad) values ('after')`);
    const later = await record(server);
    await archived(stack, later.lsn);
    expect(await restored(stack, server, { time: 'latest' })).toEqual({ moves: later.moves, sum: later.sum });
    expect(await restored(stack, server, { time: accident.time })).toEqual({ moves: accident.moves, sum: accident.sum });
  });
});
