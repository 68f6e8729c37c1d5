/** I9 the plan of the field: stop the application, keep what is there, restore configuration and data, clear the cache, start again. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PlanResult } from '../../domain/plan/result.ts';
import type { ResurgoError } from '../../domain/errors.ts';
import { startPostgres, tempDir, type PostgresServer, type TempDir } from '../support/index.ts';
import { freePort } from '../support/ports.ts';
import { killQuietly, sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { checkout, toolsEnv } from '../support/tools-env.ts';

let server: PostgresServer;
let work: TempDir;
let stack: Stack;
let port: number;
const good = { shop: '', conf: '' };
const at = (...names: string[]): string => join(work.path, ...names);

/** Reads its configuration when it starts, counts orders in the database when it is asked. */
const application = (url: string): string => `
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import pg from ${JSON.stringify(pathToFileURL(join(checkout, 'node_modules/pg/esm/index.mjs')).href)};
const theme = readFileSync(${JSON.stringify(at('etc', 'app.conf'))}, 'utf8').trim();
createServer(async (_, response) => {
  const client = new pg.Client(${JSON.stringify(url)});
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query('select count(*)::int as orders from orders');
    response.end(JSON.stringify({ theme, ...rows[0] }));
  } catch (error) {
    response.writeHead(500).end(String(error));
  } finally {
    await client.end().catch(() => undefined);
  }
}).listen(${String(port)}, '127.0.0.1');
`;

/** As an operator would write it; with \`refuse\` there the application does not come up with the good configuration. */
const control = `#!/bin/sh
cd "$(dirname "$0")"
pid=$(cat pid 2>/dev/null)
alive() { [ -n "$pid" ] && [ -d /proc/$pid ] && ! grep -q '^State:.*Z' /proc/$pid/status; }
echo "$1" >> calls
case $1 in
  start)
    if [ -f refuse ] && grep -q good etc/app.conf; then echo 'the application does not like its configuration' >&2; exit 1; fi
    ${toolsEnv().node} app.mjs >app.log 2>&1 </dev/null &
    echo $! > pid;;
  stop) alive && kill $pid; while alive; do sleep 0.1; done;;
  status) alive && echo $pid;;
esac
`;

beforeAll(async () => {
  work = tempDir('field-plan');
  port = await freePort();
  server = await startPostgres();
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table orders (id int primary key, note text); insert into orders select i, md5(i::text) from generate_series(1, 500) i');
  mkdirSync(at('etc'));
  mkdirSync(at('cache'));
  writeFileSync(at('etc', 'app.conf'), 'good\n');
  writeFileSync(at('app.mjs'), application(server.url('shop')));
  writeFileSync(at('app.sh'), control, { mode: 0o755 });
  const app = { name: 'shop-app', manager: 'command', start: [at('app.sh'), 'start'], stop: [at('app.sh'), 'stop'], status: [at('app.sh'), 'status'] };
  stack = await startStack({
    targets: {
      shop: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin },
      conf: { type: 'config', files: [at('etc')] },
    },
    sections: {
      plans: {
        'restore-shop': {
          params: { data: { description: 'backup of the database' }, conf: { description: 'backup of the configuration' } },
          steps: [
            { id: 'stop', uses: 'service.stop', with: app },
            { id: 'keep-data', uses: 'backup', with: { target: 'shop' }, needs: ['stop'] },
            { id: 'keep-conf', uses: 'backup', with: { target: 'conf' }, needs: ['stop'] },
            { id: 'conf', uses: 'restore', with: { target: 'conf', mode: 'in-place', backup: '${{ params.conf }}' }, needs: ['keep-data', 'keep-conf'] },
            { id: 'data', uses: 'restore', with: { target: 'shop', mode: 'in-place', backup: '${{ params.data }}' }, phase: 'data' },
            { id: 'cache', uses: 'exec', with: { command: ['/bin/sh', '-c', `rm -f ${at('cache')}/*`], effect: 'converge' }, compensate: false },
            { id: 'start', uses: 'service.start', with: app, retries: 0, verify: { uses: 'http.ok', with: { url: `http://127.0.0.1:${String(port)}/`, contains: '"orders":500' }, timeout: '2m' } },
          ],
        },
      },
    },
  });
  await stack.startWorker();
  good.shop = (await stack.run('backup', { target: 'shop' })).id;
  good.conf = (await stack.run('backup', { target: 'conf' })).id;
}, 300_000);

afterAll(async () => {
  if (existsSync(at('pid'))) killQuietly(Number(readFileSync(at('pid'), 'utf8')));
  await stack.stop();
  await server.stop();
  await work.stop();
});

async function answer(): Promise<unknown> {
  for (const deadline = Date.now() + 120_000; ; ) {
    try {
      return await (await fetch(`http://127.0.0.1:${String(port)}/`)).json();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
const calls = (): string[] => readFileSync(at('calls'), 'utf8').trim().split('\n').filter((call) => call !== 'status');

/** A bad release: other configuration, most orders gone, a cache of it; and the application runs on that. */
async function damage(orders: number): Promise<void> {
  writeFileSync(at('etc', 'app.conf'), 'bad\n');
  await server.sql('shop', `delete from orders where id > ${String(orders)}`);
  writeFileSync(at('cache', 'page'), 'stale');
  execFileSync(at('app.sh'), ['stop']);
  execFileSync(at('app.sh'), ['start']);
  expect(await answer()).toEqual({ theme: 'bad', orders });
  writeFileSync(at('calls'), '');
}

async function recover(id: string): Promise<PlanResult> {
  const { client } = await stack.client();
  const handle = await client.workflow.start('recover', { taskQueue: 'resurgo', workflowId: `plan/restore-shop/${id}`, args: [{ plan: 'restore-shop', params: { data: good.shop, conf: good.conf } }] });
  return stack.resultOf<PlanResult>({ handle, workflowId: handle.workflowId } as never);
}

describe('I9 the plan of the field', () => {
  test('I9 A6 brings configuration and data back, and the application answers with them', async () => {
    await damage(100);
    const result = await recover('000000000001');
    expect(result).toMatchObject({ status: 'completed', warnings: [] });
    expect(result.steps.map(({ id, status }) => `${id} ${status}`)).toEqual(['stop completed', 'keep-data completed', 'keep-conf completed', 'conf completed', 'data completed', 'cache completed', 'start completed']);
    expect(await answer()).toEqual({ theme: 'good', orders: 500 });
    expect(calls()).toEqual(['stop', 'start']);
    expect(existsSync(at('cache', 'page'))).toBe(false);
    // What was there is in the backup the plan took, and beside until it is confirmed.
    const output = (id: string): Record<string, unknown> => result.steps.find((step) => step.id === id)?.output as Record<string, unknown>;
    expect(output('keep-data')).toMatchObject({ status: 'verified', complete: true });
    expect(output('data')).toMatchObject({ status: 'restored', backup: good.shop, restoredRecords: 500 });
    expect(await server.sql('postgres', "select datname from pg_database where datname ~ '_old$'")).toEqual([{ datname: 'shop_old' }]);
    const { client } = await stack.client();
    for (const [step, target] of [['data', 'shop'], ['conf', 'conf']] as const)
      expect(await client.workflow.execute('finishRestore', { taskQueue: 'resurgo', workflowId: `confirm-${target}`, args: [{ target, id: output(step)['id'], action: 'confirm' }] })).toMatchObject({ status: 'confirmed' });
  }, 300_000);

  test('I9 A6 a failure at the very end brings everything back in reverse, and the application runs as before', async () => {
    await damage(200);
    writeFileSync(at('refuse'), '');
    const error = (await recover('000000000002').then(() => { throw new Error('it completed'); }, (reason: unknown) => reason)) as ResurgoError;
    expect(error.message).toContain('does not like its configuration');
    const result = error.details['result'] as PlanResult;
    expect(result.status).toBe('compensated');
    expect(result.steps.map(({ id, status }) => `${id} ${status}`)).toEqual(['stop compensated', 'keep-data completed', 'keep-conf completed', 'conf compensated', 'data compensated', 'cache completed', 'start failed']);
    expect(result.compensation.map(({ step, outcome }) => `${step} ${outcome}`)).toEqual(['start undone', 'data undone', 'conf undone', 'stop undone']);
    // It refuses to start on the good configuration: that it runs shows that it was started after the bad one had come back.
    expect(await answer()).toEqual({ theme: 'bad', orders: 200 });
    expect(calls()).toEqual(['stop', 'start', 'start']);
    expect(readFileSync(at('etc', 'app.conf'), 'utf8')).toBe('bad\n');
  }, 300_000);
});
