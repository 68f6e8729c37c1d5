import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walStatus } from '../../client/wal-status.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import { withClient } from '../../providers/postgres/connection.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { rescueHere } from '../support/in-process.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;

/** What the table held, and where the database was, at one moment at which nobody wrote. */
interface Moment {
  readonly rows: number;
  readonly sum: string;
  readonly lsn: string;
  /** By the database's clock, microseconds, before the next commit. */
  readonly time: string;
}

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create table t(i bigint primary key, note text)');
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walFlush: '500ms', dataDir: server.dataDir } },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

let next = 0;
async function write(): Promise<Moment> {
  const from = next;
  next += randomInt(1, 2000);
  await server.sql('postgres', `insert into t select i, md5(i::text) from generate_series(${String(from)}, ${String(next - 1)}) i; update t set note = note || 'x' where i % 97 = ${String(randomInt(97))}`);
  const [row] = await server.sql<{ rows: number; sum: string; lsn: string; time: string }>('postgres', `select count(*)::int as rows, coalesce(sum(hashtext(note)), 0)::text as sum, pg_current_wal_insert_lsn()::text as lsn, to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time from t`);
  return row as Moment;
}

async function archived(lsn: string): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const status = await walStatus(stack.loaded, 'shop');
    const end = status.repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0';
    if (parseLsn(end) >= parseLsn(lsn)) return;
    if (Date.now() > deadline) throw new Error(`${lsn} is not archived: ${JSON.stringify(status, null, 1)}\n${stack.workerLog}`);
    await sleep(200);
  }
}

async function contentOf(dataDir: string): Promise<{ rows: number; sum: string }> {
  const local = await startLocalServer({ dataDir, toolDirs: [server.pgBin] });
  try {
    return await withClient(local.connection, async (client) => (await client.query<{ rows: number; sum: string }>(`select count(*)::int as rows, coalesce(sum(hashtext(note)), 0)::text as sum from public.t`)).rows[0] as { rows: number; sum: string }, { database: 'postgres' });
  } finally {
    await local.stop();
  }
}

let n = 0;
async function restoredTo(point: { time?: string; lsn?: string; point?: string }): Promise<{ rows: number; sum: string }> {
  const to = join(server.socketDir, `pitr-${String(++n)}`);
  const result = await stack.run('restore', { target: 'shop', mode: 'beside', to, ...point });
  expect(result.status).toBe('restored');
  return contentOf(to);
}

describe('point in time', () => {
  const moments: Moment[] = [];

  test('R4 each of some moments, by time and by LSN, is restored as it was; a named point and the end of the WAL too', async () => {
    await write();
    await stack.run('backup', { target: 'shop' });
    for (let i = 0; i < 8; i++) {
      moments.push(await write());
      if (i === 4) await server.sql('postgres', 'select pg_switch_wal()');
      await sleep(randomInt(20, 300));
    }
    await server.sql('postgres', `select pg_create_restore_point('before the accident')`);
    const atPoint = moments.at(-1) as Moment;
    await server.sql('postgres', 'delete from t where i % 2 = 0');
    const last = await write();
    await archived(last.lsn);
    const some = [moments[1], moments[5]] as [Moment, Moment];
    expect(await restoredTo({ time: some[0].time })).toEqual({ rows: some[0].rows, sum: some[0].sum });
    expect(await restoredTo({ lsn: some[1].lsn })).toEqual({ rows: some[1].rows, sum: some[1].sum });
    expect(await restoredTo({ point: 'before the accident' })).toEqual({ rows: atPoint.rows, sum: atPoint.sum });
    expect(await restoredTo({ time: 'latest' })).toEqual({ rows: last.rows, sum: last.sum });
    moments.push(last);
  }, 900_000);

  test('R4 a time after the last commit of an idle database is reached', async () => {
    const last = moments.at(-1) as Moment;
    await sleep(2000);
    const [row] = await server.sql<{ now: string }>('postgres', `select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as now`);
    const time = row?.now ?? '';
    const deadline = Date.now() + 120_000;
    while ((await walStatus(stack.loaded, 'shop')).newest === null || ((await walStatus(stack.loaded, 'shop')).newest ?? '') < time) {
      if (Date.now() > deadline) throw new Error(`no mark behind ${time}: ${stack.workerLog}`);
      await sleep(500);
    }
    expect(await restoredTo({ time })).toEqual({ rows: last.rows, sum: last.sum });
  }, 600_000);

  test('R4 what cannot be reached is refused before anything is touched, with the reason and the window', async () => {
    const refused = async (point: { time?: string; lsn?: string; point?: string; timeline?: number }): Promise<unknown> => stack.run('restore', { target: 'shop', mode: 'beside', to: join(server.socketDir, 'never'), ...point }).then(() => 'restored', (error: unknown) => error);
    expect(await refused({ time: '2020-01-01T00:00:00Z' })).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining('before the end of the first backup') as string });
    expect(await refused({ time: new Date(Date.now() + 3600_000).toISOString() })).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining('behind the end of the archived WAL') as string });
    expect(await refused({ lsn: 'FF/0' })).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining('reachable:') as string });
    expect(await refused({ point: 'nowhere' })).toMatchObject({ code: 'recoveryTargetUnreachable', message: expect.stringContaining('before the accident') as string });
    expect(await refused({ time: 'latest', timeline: 7 })).toMatchObject({ code: 'recoveryTargetUnreachable' });
  }, 600_000);

  test('O6 R4 rescue restores to a point in time from repository and identity alone', async () => {
    const moment = moments[3] as Moment;
    const to = join(server.socketDir, 'rescued');
    const result = await rescueHere({ repository: join(stack.dir, 'repo'), identity: join(stack.dir, 'resurgo.key'), toolsDir: server.pgBin, input: { mode: 'beside', to, time: moment.time } });
    expect(result.status).toBe('restored');
    expect(await contentOf(to)).toEqual({ rows: moment.rows, sum: moment.sum });
  }, 600_000);
});
