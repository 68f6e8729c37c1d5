import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostCleanLogs, hostEndProcesses, hostProcesses } from '../../activities/actions/host/host.ts';
import { postgresEndSessions, postgresValidate } from '../../activities/actions/postgres/sessions.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { parseConfig } from '../../config/load.ts';
import { contextOf } from '../support/action-context.ts';
import { startPostgres, tempDir, type PostgresServer } from '../support/index.ts';
import { recipient } from '../unit/config/bad-configs.ts';

const dir = tempDir('host-actions');
let server: PostgresServer;
let deps: ActivityDeps;

beforeAll(async () => {
  server = await startPostgres({});
  const text = JSON.stringify({ version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: dir.path } }, targets: { shop: { type: 'postgres', engine: 'logical', connection: server.url('postgres') } } });
  const config = parseConfig(text, { shown: 'resurgo.yaml', dir: dir.path, env: {} });
  deps = { loaded: { config, source: config, path: join(dir.path, 'resurgo.yaml'), dir: dir.path, stateDir: dir.path, hash: 'x', owner: 0 } } as unknown as ActivityDeps;
});
afterAll(async () => {
  await server.stop();
  await dir.stop();
});

describe('A5 I6 host actions', () => {
  test('host.processes names the largest by memory and by CPU, and ends nothing', async () => {
    const busy = spawn(process.execPath, ['-e', 'for(;;);'], { stdio: 'ignore' });
    try {
      const largest = async (count?: number): Promise<{ pid: number; cpuPercent: number }[]> =>
        ((await hostProcesses.apply(contextOf(hostProcesses, { by: 'cpu', ...(count === undefined ? {} : { count }) }), {})).output as { processes: { pid: number; cpuPercent: number }[] }).processes;
      expect(await largest()).toHaveLength(5);
      // Others may be as busy as this one.
      const processes = await largest(50);
      expect(processes.map(({ cpuPercent }) => cpuPercent)).toEqual(processes.map(({ cpuPercent }) => cpuPercent).toSorted((a, b) => b - a));
      expect(processes.find(({ pid }) => pid === busy.pid)?.cpuPercent ?? 0).toBeGreaterThan(0);
      const byMemory = ((await hostProcesses.apply(contextOf(hostProcesses, { count: 2 }), {})).output as { processes: { rssBytes: number }[] }).processes;
      expect(byMemory[0]?.rssBytes).toBeGreaterThanOrEqual(byMemory[1]?.rssBytes ?? 0);
      expect(busy.exitCode).toBeNull();
    } finally {
      busy.kill('SIGKILL');
    }
  });

  test('host.end-processes ends exactly the named ones, also one that does not listen, and spares the worker itself', async () => {
    // A program of a name of its own.
    const file = join(dir.path, 'resurgo-tst');
    copyFileSync('/bin/sleep', file);
    const [one, other] = [spawn(file, ['600']), spawn('/bin/sleep', ['600'])];
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { output } = await hostEndProcesses.apply(contextOf(hostEndProcesses, { names: ['resurgo-tst', 'node', 'MainThread'].slice(0, 1), grace: '2s' }), {});
    expect(output).toEqual({ ended: 1 });
    await expect.poll(() => one.signalCode ?? one.exitCode, { timeout: 30_000 }).not.toBeNull();
    expect(other.exitCode).toBeNull();
    other.kill('SIGKILL');
    expect((await hostEndProcesses.apply(contextOf(hostEndProcesses, { names: ['resurgo-tst'] }), {})).output).toEqual({ ended: 0 });
    expect(() => hostEndProcesses.parse({ names: [] })).toThrow();
  });

  test('host.clean-logs removes old regular files of that ending only; the preview lists them; links and other directories stay', async () => {
    const logs = join(dir.path, 'logs');
    mkdirSync(join(logs, 'below'), { recursive: true });
    const old = new Date(Date.now() - 8 * 86_400_000);
    for (const name of ['a.log', 'new.log', 'notes.txt', 'below/b.log']) writeFileSync(join(logs, name), 'x'.repeat(5000));
    for (const name of ['a.log', 'notes.txt', 'below/b.log']) utimesSync(join(logs, name), old, old);
    writeFileSync(join(dir.path, 'precious.log'), 'x');
    utimesSync(join(dir.path, 'precious.log'), old, old);
    symlinkSync(join(dir.path, 'precious.log'), join(logs, 'link.log'));
    const context = contextOf(hostCleanLogs, { directory: logs });
    expect(await hostCleanLogs.check?.(context)).toEqual([expect.stringMatching(/^1 files/), join(logs, 'a.log')]);
    expect((await hostCleanLogs.apply(context, {})).output).toMatchObject({ removed: 1 });
    expect(['a.log', 'new.log', 'notes.txt', 'below/b.log'].map((name) => existsSync(join(logs, name)))).toEqual([false, true, true, true]);
    expect(existsSync(join(dir.path, 'precious.log'))).toBe(true);
    await expect(hostCleanLogs.apply(contextOf(hostCleanLogs, { directory: join(logs, 'nope') }), {})).rejects.toMatchObject({ code: 'hostFailed' });
    expect(() => hostCleanLogs.parse({ directory: '/var/log/../../etc' })).toThrow(/absolute path/);
  });
});

describe('A5 I5 postgres actions', () => {
  test('postgres.validate answers, refuses false, no row and wrong SQL, changes nothing, and proves writes', async () => {
    const action = postgresValidate(deps);
    expect((await action.apply(contextOf(action, { target: 'shop', writes: true }), {})).output).toMatchObject({ answered: 2 });
    for (const query of ['select 1 = 2', 'select 1 where false', 'select nonsense', 'create table sneaky(a int)', 'select pg_sleep(60)'])
      await expect(action.apply(contextOf(action, { target: 'shop', queries: [query], timeout: '2s' }), {}), query).rejects.toMatchObject({ code: 'validationFailed' });
    expect(await server.sql('postgres', "select count(*) from pg_class where relname = 'sneaky'")).toEqual([{ count: '0' }]);
  });

  test('postgres.end-sessions ends idle sessions of an application and no others', async () => {
    await server.sql('postgres', "create role app login password 'x'; create role other login password 'x'");
    const { default: pg } = await import('pg');
    const url = new URL(server.url('postgres'));
    const open = async (user: string, application: string) => {
      const client = new pg.Client({ host: url.hostname, port: Number(url.port), database: 'postgres', user, password: 'x', application_name: application });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    };
    const [app, other] = [await open('app', 'pool'), await open('other', 'elsewhere')];
    const action = postgresEndSessions(deps);
    expect((await action.apply(contextOf(action, { target: 'shop', application: 'pool', idleFor: '1h' }), {})).output).toEqual({ ended: 0 });
    expect((await action.apply(contextOf(action, { target: 'shop', application: 'pool' }), {})).output).toEqual({ ended: 1 });
    await expect(app.query('select 1')).rejects.toThrow();
    expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await other.end();
  });
});
