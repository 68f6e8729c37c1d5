import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walStatus } from '../../client/wal-status.ts';
import { pruneActivities } from '../../activities/prune.activities.ts';
import { listCatalogue } from '../../client/catalogue.ts';
import { gatherFacts } from '../../client/status/gather.ts';
import { parseLsn } from '../../domain/lsn.ts';
import type { RestoreInput } from '../../domain/operations.ts';
import { depsOf } from '../support/in-process.ts';
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

  test('B2 B11 B13 R4 a backup taken between the swap and the rollback is of a history that was given up: nobody takes it for the newest', async () => {
    const base = await stack.run('backup', { target: 'shop', kind: 'full', onBusy: 'wait' });
    await server.sql('postgres', 'insert into t select generate_series(1, 3000)');
    const rows = await count();
    await archived(await lsnNow());
    await server.shutdown();
    const restored = await stack.run('restore', { target: 'shop', mode: 'in-place', backup: base.id });
    await server.start();
    await server.sql('postgres', 'insert into t select generate_series(1, 70000)');
    const given = await stack.run('backup', { target: 'shop', kind: 'full', onBusy: 'wait' });
    await archived(await lsnNow());
    await server.shutdown();
    expect(await stack.run('finishRestore', { id: restored.id, target: 'shop', action: 'rollback' })).toMatchObject({ status: 'rolled-back' });
    await server.start();
    expect(await count()).toBe(rows);
    // Before anything new is archived or backed up the newest is the one of before.
    const to = `${server.socketDir}/never`;
    const preview = async (input: Partial<RestoreInput>) => stack.run('restore', { target: 'shop', mode: 'beside', to, preview: true, ...input });
    const latest = await preview({});
    expect(latest.plan?.backup).toBe(base.id);
    expect(latest.warnings.join('\n')).toContain(`backup ${given.id} is newer than the one taken, and was left out`);
    expect((await preview({ time: 'latest' })).plan).toMatchObject({ backup: base.id });
    const named = await preview({ backup: given.id });
    expect(named.plan?.backup).toBe(given.id);
    expect(named.warnings.join('\n')).toContain(`restore ${restored.id}, which was rolled back`);
    expect((await listCatalogue(stack.loaded, 'shop')).backups.filter(({ givenUp }) => givenUp !== null).map(({ id }) => id)).toContain(given.id);
    expect((await gatherFacts(stack.loaded, ['shop'])).targets[0]?.newest?.id).toBe(base.id);
    const pruned = await pruneActivities(depsOf(stack.loaded.path)).planPrune({ target: 'shop', repository: 'local', now: Date.now() });
    expect(pruned.keep.find(({ id }) => id === base.id)?.reasons).toContain('the newest verified backup');
    expect(pruned.keep.find(({ id }) => id === given.id)?.reasons.join()).toContain('counted apart');
    // The history goes on, beyond the positions of the one given up; what is restored is its end.
    await server.sql('postgres', 'insert into t select generate_series(1, 90000); select pg_switch_wal(); insert into t values (7)');
    await archived(await lsnNow());
    const end = await preview({ time: 'latest' });
    expect(end.plan).toMatchObject({ backup: base.id });
    const beside = await stack.run('restore', { target: 'shop', mode: 'scratch', time: 'latest' });
    expect(beside.status).toBe('restored');
    const next = await stack.run('backup', { target: 'shop', kind: 'incremental', onBusy: 'wait' });
    expect(next.warnings.join('\n')).toContain(`${given.id} is not built on`);
    expect(next.parent).toBe(base.id);
  }, 600_000);
});
