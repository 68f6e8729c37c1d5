/** What else may die in a run: Temporal, the database server, and the worker in the steps that only a run that goes wrong has. */
import { join } from 'node:path';
import { readFileSync, readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { BackupResult } from '../../domain/operations.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { createShop } from '../support/crash/arena.ts';
import { ended, partPuts, starts, throughCrash } from '../support/crash/cases.ts';
import { describePlan, type CrashPlan } from '../support/crash/plan.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { leftBehind } from '../support/left-behind.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
let digest: string;
const digestOf = async (database: string): Promise<string> => (await digestDatabase(resolveConnection(server.url(database)), {})).digest;

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await createShop(server, 150_000);
  digest = await digestOf('shop');
  const common = { type: 'postgres', toolsDir: server.pgBin, repositories: ['local', 'second'], ...(server.runAs === undefined ? {} : { runAs: server.runAs.user }) };
  stack = await startStack({
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    targets: {
      logical: { ...common, engine: 'logical', connection: server.url('shop'), jobs: 2 },
      physical: { ...common, engine: 'physical', connection: server.url() },
    },
  });
  await stack.startWorker();
}, 300_000);

afterAll(async () => {
  await stack.stop();
  await server.stop();
}, 120_000);

afterEach(async () => {
  stack.disarm();
  stack.breakStores();
  expect(await leftBehind(stack, { servers: [server], databases: ['shop'] })).toEqual([]);
});

/** Good in both repositories, and what it restores to is what was there. */
async function assertGood(result: BackupResult, target: string): Promise<void> {
  expect(result).toMatchObject({ status: 'verified', complete: true });
  expect(await stack.run('verify', { target, backup: result.id, deep: true })).toMatchObject({ status: 'verified' });
  if (target !== 'logical') {
    expect(await stack.run('restore', { target, backup: result.id, mode: 'scratch' })).toMatchObject({ status: 'restored' });
    return;
  }
  await stack.run('restore', { target, backup: result.id, mode: 'beside', to: 'copy' });
  const copy = await digestOf('copy');
  await server.sql('postgres', 'drop database copy with (force)');
  expect(copy).toBe(digest);
}

/** Temporal is killed while the activity waits in the middle of its work, is away for a while, and comes back. */
async function withoutTemporal(): Promise<void> {
  await stack.reached();
  await stack.temporal.kill();
  stack.release();
  await sleep(3000);
  await stack.temporal.start();
}

describe('B10 B15 Temporal is killed in a backup', () => {
  test.each([
    ['logical', 'dumpBackup', 'put'],
    ['physical', 'dumpBackup', 'put'],
    ['logical', 'storeBackup', 'put'],
    ['physical', 'verifyBackup', 'get'],
    ['logical', 'publishBackup', 'put'],
  ] as const)('%s, in %s: the run goes on where it was, and nothing is sent twice', async (target, activity, operation) => {
    const before = stack.effects().length;
    stack.arm({ activity, when: 'inside', operation, hold: true });
    const run = await stack.start('backup', { target });
    await withoutTemporal();
    const result = await stack.resultOf(run);
    const effects = stack.effects().slice(before);
    const puts = partPuts(effects);
    const final = puts.at(-1)?.attempt;
    const kept = puts.filter(({ attempt }) => attempt === final).map(({ store, key }) => `${store} ${key}`);
    expect(kept.length).toBe(new Set(kept).size);
    if (activity !== 'dumpBackup') expect(starts(effects, 'dumpBackup')).toBe(1);
    await assertGood(result, target);
  }, 600_000);
});

describe('R1 Temporal is killed in a restore', () => {
  test('the restore ends, and the data is the same', async () => {
    await stack.run('backup', { target: 'logical' });
    stack.arm({ activity: 'buildRestore', when: 'inside', operation: 'get', match: '/parts/', hold: true });
    const run = await stack.start('restore', { target: 'logical', mode: 'beside', to: 'copy' });
    await withoutTemporal();
    expect(await stack.resultOf(run)).toMatchObject({ status: 'restored' });
    expect(await digestOf('copy')).toBe(digest);
    await server.sql('postgres', 'drop database copy with (force)');
  }, 600_000);
});

describe('B1 B2 the database server is killed in a dump', () => {
  test.each(['logical', 'physical'])('%s: when it is back the dump is taken again, whole', async (target) => {
    const before = stack.effects().length;
    // The dump is certainly under way when its first part is stored.
    stack.arm({ activity: 'dumpBackup', when: 'inside', operation: 'put', match: '/parts/', hold: true });
    const run = await stack.start('backup', { target });
    await stack.reached();
    await server.kill();
    stack.release();
    await sleep(2000);
    await server.start();
    const result = await stack.resultOf(run);
    const attempts = new Set(partPuts(stack.effects().slice(before)).map(({ attempt }) => attempt));
    expect(attempts.size).toBeLessThanOrEqual(starts(stack.effects().slice(before), 'dumpBackup'));
    await assertGood(result, target);
  }, 600_000);
});

describe('B10 B15 the worker is killed in the steps of a run that goes wrong', () => {
  const parts = '/parts/';
  const failing: CrashPlan[] = [
    { activity: 'abandonBackup', when: 'before' },
    { activity: 'abandonBackup', when: 'inside', operation: 'rm' },
    { activity: 'abandonBackup', when: 'inside', operation: 'delete', afterwards: true },
    { activity: 'abandonBackup', when: 'inside', operation: 'put', match: '^runs/', afterwards: true },
    { activity: 'abandonBackup', when: 'after' },
  ];
  test.each(failing.map((plan) => [describePlan(plan), plan] as const))('%s: the failed run is recorded once, and swept', async (_, plan) => {
    const dir = (name: string): string => join(stack.dir, name, 'runs', 'logical');
    stack.breakStores({ store: 'local', operation: 'put', key: parts, fault: { kind: 'forget' } }, { store: 'second', operation: 'put', key: parts, fault: { kind: 'forget' } });
    const { error, effects } = await throughCrash({ stack } as never, plan, 'backup', { target: 'logical' });
    expect(error).toMatchObject({ code: 'repositoryLost' });
    expect(starts(effects, 'dumpBackup')).toBe(1);
    for (const name of ['repo', 'second']) {
      const newest = readdirSync(dir(name)).toSorted().at(-1) ?? '';
      expect(JSON.parse(readFileSync(join(dir(name), newest), 'utf8'))).toMatchObject({ error: { code: 'repositoryLost' } });
    }
  }, 600_000);

  const mending: CrashPlan[] = [
    { activity: 'repairBackup', when: 'before' },
    { activity: 'repairBackup', when: 'inside', operation: 'get', at: 2 },
    { activity: 'repairBackup', when: 'inside', operation: 'put', afterwards: true },
    { activity: 'repairBackup', when: 'after' },
  ];
  test.each(mending.map((plan) => [describePlan(plan), plan] as const))('%s: what was damaged is sent again, once', async (_, plan) => {
    stack.breakStores({ store: 'second', operation: 'put', key: '/index$', at: 1, fault: { kind: 'corrupt' } });
    // The next worker counts anew: its stores are whole.
    const whole = stack.workerDeath().then(() => { stack.breakStores(); });
    const crashed = await throughCrash({ stack } as never, plan, 'backup', { target: 'logical' });
    await whole;
    expect(starts(crashed.effects, 'dumpBackup')).toBe(1);
    await assertGood(ended(crashed), 'logical');
  }, 600_000);
});
