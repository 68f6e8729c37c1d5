/** I1: 200 monitors that see nothing wrong cost next to nothing: no history, and little of a core. SOAK_QUIET_MS: how long, default ten minutes. */
import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cpuSeconds } from '../../bench/processes.ts';
import { startPostgres, stopAll } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

const quietMs = Number(process.env['SOAK_QUIET_MS'] ?? 600_000);
let stack: Stack;
let web: Server;
let looks = 0;

beforeAll(async () => {
  const database = await startPostgres();
  web = createServer((_, response) => {
    looks += 1;
    response.end('ok');
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as { port: number };
  const url = `http://127.0.0.1:${String(port)}`;
  const kind = (i: number): object => {
    if (i % 10 === 0) return { postgres: { connection: database.url() } };
    if (i % 50 === 1) return { host: i === 51 ? 'disk' : 'memory', ...(i === 51 ? { path: '/' } : {}), above: 101 };
    return { http: { url: `${url}/${String(i)}`, contains: 'ok' } };
  };
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/shop' } },
    sections: { monitors: Array.from({ length: 200 }, (_, i) => ({ name: `m-${String(i)}`, every: '15s', ...kind(i) })) },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  web.closeAllConnections();
  web.close();
  await stopAll();
});

test('I1 200 healthy monitors write no history, open no incident and take less than a tenth of a core', async () => {
  const { client } = await stack.client();
  const length = async (): Promise<number> => Number((await client.workflow.getHandle('monitors').describe()).historyLength);
  // The start of a worker is none of theirs.
  await sleep(45_000);
  const before = { length: await length(), cpu: await cpuSeconds(stack.workerPid), looks, at: performance.now() };
  await sleep(quietMs);
  const seconds = (performance.now() - before.at) / 1000;
  const share = (await cpuSeconds(stack.workerPid) - before.cpu) / seconds;
  const rate = (looks - before.looks) / seconds;
  console.log(`${String(Math.round(seconds))} s: ${(share * 100).toFixed(1)} % of a core, ${rate.toFixed(1)} looks by HTTP a second`);
  // They do look: 176 by HTTP every 15 s.
  expect(rate).toBeGreaterThan(5);
  expect(await length()).toBe(before.length);
  expect(share).toBeLessThan(0.1);
  const incidents: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'incident'` })) incidents.push(workflowId);
  expect(incidents).toEqual([]);
});
