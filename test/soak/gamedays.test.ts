import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGameDayStack, type GameDayStack } from '../support/gameday-stack.ts';
import { walStatus } from '../../client/wal-status.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { startPostgres } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let day: GameDayStack;
let stack: Stack;

beforeAll(async () => {
  day = await startGameDayStack();
  ({ stack } = day);
}, 300_000);
afterAll(() => day.stop());

describe('D2 game days', () => {
  test('D2 the server is killed; the service a plan starts is the sandbox\'s own', async () => {
    const result = await stack.run('gameday', { plan: 'start' });
    expect(result.checks.filter((check) => check.outcome === 'failed')).toEqual([]);
    expect(result).toMatchObject({ status: 'passed', simulated: [], cleanedUp: true });
    expect(day.server.isRunning).toBe(true);
    await day.nothingLeft();
  });

  test.each([{ kind: 'data-lost' }, { kind: 'config-broken' }, { kind: 'database-dropped' }, { kind: 'data-corrupted', table: 'orders' }, { kind: 'server-stopped' }, { kind: 'rows-deleted', table: 'public.orders', where: 'id > 100' }] as const)('D2 disaster $kind: restored in place', async (disaster) => {
    const result = await stack.run('gameday', { plan: 'recover', disaster });
    expect(result.checks.filter((check) => check.outcome === 'failed'), JSON.stringify(result.phases)).toEqual([]);
    expect(result, JSON.stringify(result.error ?? result.steps)).toMatchObject({ status: 'passed', planStatus: 'completed', cleanedUp: true });
  });

  test('D2 a disaster that cannot be made to happen fails the game day before the plan runs', async () => {
    const missing = await stack.run('gameday', { plan: 'useless', target: 'shop', disaster: { kind: 'table-dropped', table: 'nope' } });
    expect(missing).toMatchObject({ status: 'failed', planStatus: null, cleanedUp: true, error: { code: 'inputInvalid', message: expect.stringContaining('there is no table public.nope') as string } });
    await day.nothingLeft();
  });

  test('D2 cancelled, and the worker killed while the plan runs: nothing stays behind', async () => {
    const { client } = await stack.client();
    const during = async (step: string): Promise<void> => {
      const until = Date.now() + 180_000;
      while (Date.now() < until) {
        await sleep(50);
        const steps = await client.workflow.getHandle('drill/shop').query<{ name: string; state: string }[]>('steps').catch(() => []);
        if (steps.some((item) => item.name === step && item.state === 'in progress')) return;
      }
      throw new Error(`the game day never came to "${step}"`);
    };
    const cancelled = await stack.start('gameday', { plan: 'slow', target: 'shop', disaster: { kind: 'server-killed' } });
    await during('run the plan');
    await expect(stack.run('drill', { target: 'shop' })).rejects.toMatchObject({ code: 'lockBusy' });
    await sleep(1000);
    await cancelled.handle.cancel();
    await expect(cancelled.handle.result()).rejects.toThrow();
    await day.nothingLeft();

    stack.arm({ activity: 'sandboxRestoreStep', when: 'inside', operation: 'sql', at: 1 });
    const killed = await stack.start('gameday', { plan: 'recover' });
    await during('run the plan');
    await stack.stopWorker();
    stack.disarm();
    await stack.startWorker();
    expect(await stack.resultOf(killed)).toMatchObject({ status: 'passed', cleanedUp: true });
    await day.nothingLeft();

    // The run is ended by force and the worker dies: the next one finds what is left.
    const lost = await stack.start('gameday', { plan: 'slow', target: 'shop', disaster: { kind: 'server-killed' } });
    await during('run the plan');
    await stack.stopWorker();
    await client.workflow.getHandle('drill/shop').terminate('by force');
    await stack.startWorker();
    await lost.handle.result().catch(() => undefined);
    await day.nothingLeft();
  }, 900_000);
});

test('D2 with a WAL archive the sandbox stands at its end: a plan that restores only the backup is found out, one that replays is not', async () => {
  const server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create table t(i bigint primary key, at timestamptz default clock_timestamp())');
  await server.sql('postgres', 'insert into t select generate_series(1, 1000)');
  const restore = (more: object): object => ({ steps: [{ id: 'restore', uses: 'restore', with: { target: 'shop', ...more } }, { id: 'start', uses: 'service.start', with: { name: 'postgresql' } }] });
  const archived = await startStack({
    targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walFlush: '500ms', dataDir: server.dataDir, service: { stop: ['/bin/false'], start: ['/bin/false'] } } },
    sections: {
      plans: { old: restore({}), new: restore({ time: 'latest' }) },
      drills: [{ target: 'shop', checks: [{ name: 'all of it', sql: 'select count(*) = 1500 from t' }], marker: 'select max(at) from t', integrity: 'none' }],
      gamedays: ['old', 'new'].map((plan) => ({ plan, target: 'shop', disaster: 'data-lost', services: ['postgresql'] })),
    },
  });
  try {
    await archived.startWorker();
    await archived.run('backup', { target: 'shop' });
    await server.sql('postgres', 'insert into t select generate_series(1001, 1500)');
    const [row] = await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_insert_lsn()::text as lsn');
    const until = Date.now() + 180_000;
    while (parseLsn((await walStatus(archived.loaded, 'shop')).repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0') < parseLsn(row?.lsn ?? '0/0')) {
      if (Date.now() > until) throw new Error(`not archived in time\n${archived.workerLog}`);
      await sleep(200);
    }
    const old = await archived.run('gameday', { plan: 'old' });
    expect(old, JSON.stringify(old.error ?? old.steps)).toMatchObject({ status: 'failed', planStatus: 'completed', rtoMs: null, cleanedUp: true });
    expect(old.checks).toContainEqual(expect.objectContaining({ name: 'all of it', outcome: 'failed' }));
    const replayed = await archived.run('gameday', { plan: 'new' });
    expect(replayed.checks.filter((check) => check.outcome === 'failed')).toEqual([]);
    expect(replayed, JSON.stringify(replayed.error ?? replayed.steps)).toMatchObject({ status: 'passed', rpoMs: 0, rpoBasis: 'marker', cleanedUp: true });
    // The archive of production goes on, and nothing of the sandbox is in it.
    await server.sql('postgres', 'insert into t select generate_series(1501, 1600)');
    expect((await archived.run('backup', { target: 'shop' })).status).toBe('verified');
  } finally {
    await archived.stop();
    await server.stop();
  }
}, 900_000);
