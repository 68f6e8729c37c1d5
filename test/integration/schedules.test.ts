import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client, Connection, ScheduleOverlapPolicy } from '@temporalio/client';
import type { ScheduleReport } from '../../client/schedules/reconcile.ts';
import { startTemporal, tempDir, type TempDir, type TemporalServer } from '../support/index.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { recipient } from '../unit/config/bad-configs.ts';

let temporal: TemporalServer;
let connection: Connection;
let client: Client;
let dir: TempDir;

beforeAll(async () => {
  temporal = await startTemporal({});
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  dir = tempDir('schedules');
});

afterAll(async () => {
  await connection.close();
  await temporal.stop();
  await dir.stop();
});

const base = (more: object): object => ({
  version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: './repo' } },
  targets: { shop: { type: 'postgres', engine: 'physical', connection: 'postgres://h/d' }, orders: { type: 'postgres', engine: 'logical', connection: 'postgres://h/d' } }, upkeep: { enabled: false }, ...more,
});
const write = (more: object): void => {
  writeFileSync(join(dir.path, 'resurgo.yaml'), JSON.stringify(base(more)), { mode: 0o600 });
};
const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: dir.path, env: { TEMPORAL_ADDRESS: temporal.address } });
async function schedules(what: 'diff' | 'apply'): Promise<ScheduleReport> {
  const run = await cli('schedules', what, '--json');
  expect(run.exitCode, run.stderr).toBe(0);
  return run.json() as ScheduleReport;
}
const actions = (report: ScheduleReport): Record<string, string> => Object.fromEntries(report.schedules.map((one) => [one.id, one.action]));

describe('B12 T1 schedules in Temporal', () => {
  test('diff tells and touches nothing, apply makes it so, twice is once, drift is shown and mended, what is gone is deleted', async () => {
    write({
      policies: [{ targets: ['shop', 'orders'], schedule: '30 2 1 * mon', timezone: 'Asia/Seoul', jitter: '5m' }, { targets: ['shop'], kind: 'incremental', schedule: '*/15 8-18 * jan-mar 1-5', overlap: 'wait', catchup: '10m' }],
      retention: [{ last: 3 }],
    });
    const wanted = { 'resurgo/shop/full/1': 'create', 'resurgo/orders/full/1': 'create', 'resurgo/shop/incremental/1': 'create', 'resurgo/shop/prune/1': 'create', 'resurgo/orders/prune/1': 'create' };
    expect(actions(await schedules('diff'))).toEqual(wanted);
    expect(actions(await schedules('diff'))).toEqual(wanted);
    expect(actions(await schedules('apply'))).toEqual(wanted);
    for (const what of ['diff', 'apply', 'diff'] as const) expect((await schedules(what)).counts).toEqual({ create: 0, update: 0, delete: 0, none: 5, foreign: 0 });

    const full = client.schedule.getHandle('resurgo/shop/full/1');
    const made = await full.describe();
    expect(made.action).toMatchObject({ workflowType: 'backup', taskQueue: 'resurgo', args: [{ target: 'shop', kind: 'full', onBusy: 'skip', startedBy: 'schedule' }] });
    expect(made.policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 3_600_000 });
    // 02:30 in Seoul (less the jitter) on the first of a month or a Monday.
    for (const at of made.info.nextActionTimes.slice(0, 5)) {
      const seoul = new Date(at.getTime() + 9 * 3_600_000);
      expect(seoul.getUTCHours()).toBe(2);
      expect(seoul.getUTCDate() === 1 || seoul.getUTCDay() === 1, seoul.toISOString()).toBe(true);
    }

    // A pause with a note by hand stays, also when the rest is put right.
    await full.pause('disk is being replaced');
    expect((await schedules('diff')).schedules.find((one) => one.id === 'resurgo/shop/full/1')).toMatchObject({ action: 'none', paused: true, note: 'disk is being replaced' });
    await full.update((before) => ({ ...before, spec: { ...before.spec, timezone: 'UTC' }, policies: { ...before.policies, overlap: ScheduleOverlapPolicy.ALLOW_ALL } }));
    const drift = (await schedules('diff')).schedules.find((one) => one.id === 'resurgo/shop/full/1');
    expect(drift).toMatchObject({ action: 'update', changes: ['time zone: UTC → Asia/Seoul', 'overlap: ALLOW_ALL → SKIP'] });
    await schedules('apply');
    expect(await full.describe()).toMatchObject({ spec: { timezone: 'Asia/Seoul' }, policies: { overlap: 'SKIP' }, state: { paused: true, note: 'disk is being replaced' } });
    expect((await schedules('diff')).counts.none).toBe(5);

    // The configuration pauses and lets go again; what is gone from it is deleted.
    write({ policies: [{ targets: ['orders'], schedule: '0 3 * * *', paused: 'until Monday' }] });
    const report = await schedules('apply');
    expect(report.counts).toMatchObject({ update: 1, delete: 4 });
    const orders = client.schedule.getHandle('resurgo/orders/full/1');
    expect((await orders.describe()).state).toMatchObject({ paused: true, note: 'configuration: until Monday' });
    await expect(full.describe()).rejects.toThrow();
    write({ policies: [{ targets: ['orders'], schedule: '0 3 * * *' }] });
    expect(actions(await schedules('apply'))).toEqual({ 'resurgo/orders/full/1': 'update' });
    expect((await orders.describe()).state.paused).toBe(false);
  });

  test('what others made is never touched, not even under an id of ours', async () => {
    const spec = { spec: { intervals: [{ every: '1 day' as const }] }, action: { type: 'startWorkflow' as const, workflowType: 'x', taskQueue: 'y' } };
    for (const scheduleId of ['resurgo/other/full/1', 'resurgo/shop/full/1', 'nightly']) await client.schedule.create({ scheduleId, ...spec });
    write({ policies: [{ targets: ['shop'], schedule: '0 3 * * *' }] });
    const run = await cli('schedules', 'apply', '--json');
    expect(run.exitCode).toBe(7);
    expect(actions(run.json() as ScheduleReport)).toMatchObject({ 'resurgo/shop/full/1': 'foreign' });
    for (const id of ['resurgo/other/full/1', 'resurgo/shop/full/1', 'nightly']) expect((await client.schedule.getHandle(id).describe()).action.workflowType).toBe('x');
  });

  test('without Temporal it says so', async () => {
    const run = await runCli(['schedules', 'diff', '--json'], { cwd: dir.path, env: { TEMPORAL_ADDRESS: '127.0.0.1:1' } });
    expect(run.exitCode).toBe(1);
    expect(run.json()).toMatchObject({ error: { code: 'temporalUnreachable' } });
  });
});
