import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walStatus } from '../../client/wal-status.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;

beforeAll(async () => {
  server = await startPostgres({ config: { summarize_wal: 'on' } });
  await server.sql('postgres', 'create table t(i int)');
  const target = { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, dataDir: server.dataDir };
  stack = await startStack({ targets: { plain: target, shop: { ...target, wal: true, walFlush: '500ms', maxRate: '6MB' } } });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const count = async (): Promise<number> => (await server.sql<{ n: number }>('postgres', 'select count(*)::int as n from t'))[0]?.n ?? -1;
const lsnNow = async (): Promise<string> => (await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_insert_lsn()::text as lsn'))[0]?.lsn ?? '';

async function until(what: string, good: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 180_000;
  while (!(await good())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen\n${stack.workerLog}`);
    await sleep(200);
  }
}

const archived = (lsn: string): Promise<void> => until(`${lsn} archived`, async () => parseLsn((await walStatus(stack.loaded, 'shop')).repositories[0]?.lineages[0]?.timelines.at(-1)?.stretches.at(-1)?.to ?? '0/0') >= parseLsn(lsn));

describe('after a restore in place', () => {
  test('B2 R3 the first incremental becomes a full one and says why: what was taken before is another history on the same timeline', async () => {
    await server.sql('postgres', 'insert into t select generate_series(1, 1000)');
    const first = await stack.run('backup', { target: 'plain', kind: 'full' });
    await server.sql('postgres', 'insert into t select generate_series(1, 100)');
    const second = await stack.run('backup', { target: 'plain', kind: 'incremental' });
    expect(second).toMatchObject({ kind: 'incremental', parent: first.id });
    await server.shutdown();
    const restored = await stack.run('restore', { target: 'plain', mode: 'in-place', backup: first.id });
    expect(restored.status).toBe('restored');
    await server.start();
    expect(await count()).toBe(1000);
    // Beyond where the second ended: the server alone cannot tell any more.
    await server.sql('postgres', `insert into t select generate_series(1, 20000); select pg_switch_wal(); insert into t values (1); checkpoint`);
    const third = await stack.run('backup', { target: 'plain', kind: 'incremental' });
    expect(third).toMatchObject({ kind: 'full', parent: null });
    expect(third.warnings.join('\n')).toContain(`the data was replaced by restore ${restored.id} since`);
    expect(third.warnings.join('\n')).toContain('a full backup was taken instead of incremental');
    const fourth = await stack.run('backup', { target: 'plain', kind: 'incremental' });
    await stack.run('finishRestore', { id: restored.id, target: 'plain', action: 'confirm' });
    expect(fourth, fourth.warnings.join('\n')).toMatchObject({ kind: 'incremental', parent: third.id });
  }, 600_000);

  test('R3 R4 B3 rollback right after a restore to a point in time: the base backup that the archive began by itself stands in nobody\'s way', async () => {
    const base = await stack.run('backup', { target: 'shop', kind: 'full' });
    const wanted = await lsnNow();
    const rows = await count();
    await server.sql('postgres', 'insert into t select generate_series(1, 5000)');
    await archived(await lsnNow());
    await server.shutdown();
    const restored = await stack.run('restore', { target: 'shop', mode: 'in-place', lsn: wanted });
    expect(restored.status).toBe('restored');
    await server.start();
    expect(await count()).toBe(rows);
    const { client } = await stack.client();
    const describe = async (): Promise<string | undefined> => client.workflow.getHandle('op/shop').describe().then((run) => (run.status.name === 'RUNNING' ? run.parentExecution?.workflowId ?? undefined : undefined), () => undefined);
    await until('the archive begins a base backup', async () => (await describe())?.startsWith('backup-shop-wal-') === true);
    await server.shutdown();
    expect((await describe())?.startsWith('backup-shop-wal-'), 'it still runs').toBe(true);
    const finished = await stack.run('finishRestore', { id: restored.id, target: 'shop', action: 'rollback' });
    expect(finished.status).toBe('rolled-back');
    await server.start();
    expect(await count()).toBe(rows + 5000);
    // What was taken before the restore is the history of this server again.
    await server.sql('postgres', 'insert into t values (1)');
    const next = await stack.run('backup', { target: 'shop', kind: 'incremental', onBusy: 'wait' });
    expect(next.warnings.join('\n')).not.toContain('instead of incremental');
    expect(next.parent).toBe(base.id);
    await archived(await lsnNow());
    // The history that was rolled back began last, but is not the present one.
    const preview = await stack.run('restore', { target: 'shop', mode: 'beside', to: `${server.socketDir}/never`, time: 'latest', preview: true });
    expect(preview.plan?.recovery).toMatchObject({ timeline: 1, lineage: (await walStatus(stack.loaded, 'shop')).repositories[0]?.lineages[0]?.id });
  }, 600_000);
});
