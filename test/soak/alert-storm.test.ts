import { createServer, type Server } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IncidentView } from '../../domain/incident.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { alertmanagerBody, postAlerts, until } from '../support/alerts.ts';
import { sleep } from '../support/server-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

const token = 'a-token-that-is-long-enough';
let work: TempDir;
let stack: Stack;
let gateways: TestGateway[] = [];
let web: Server;

beforeAll(async () => {
  work = tempDir('alert-storm');
  web = createServer((_, response) => response.end('ok'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as { port: number };
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/shop' } },
    sections: {
      plans: { 'restart-api': { steps: [{ id: 'run', uses: 'exec', with: { command: ['/bin/sh', '-c', `sleep 2; echo x >> ${join(work.path, 'ran')}`], probe: ['/usr/bin/test', '-s', join(work.path, 'ran')] } }] } },
      webhooks: [{ name: 'am', format: 'alertmanager', token, rate: 10_000, rules: [{ plan: 'restart-api' }] }],
      monitors: Array.from({ length: 200 }, (_, i) => ({ name: `web-${String(i)}`, http: `http://127.0.0.1:${String(port)}/${String(i)}`, every: '15s' })),
    },
  });
  await stack.startWorker();
  const temporal = { connection: { address: stack.temporal.address }, namespace: 'default' };
  for (let i = 0; i < 2; i++) gateways.push(await startGateway({ configPath: stack.configPath, temporal, recentMs: 0 }));
});

afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  gateways = [];
  await stack.stop();
  web.closeAllConnections();
  web.close();
  await work.stop();
});

test('T3 1,000 deliveries of one alert, 20 at a time, from two gateways, worker and Temporal restarted meanwhile: one incident, one plan run', async () => {
  const body = alertmanagerBody({ name: 'ApiDown', labels: { service: 'api' } });
  const took: number[] = [];
  const statuses: number[] = [];
  let down = false;
  let next = 0;
  // However fast they are: from the 200th on they come to no worker, and from the 400th on to no Temporal.
  const gates = [200, 400].map((at) => ({ at, ...Promise.withResolvers<undefined>() }));
  const sender = async (): Promise<void> => {
    while (next < 1000) {
      const i = next++;
      for (const gate of gates) if (i >= gate.at) await gate.promise;
      const wasDown = down;
      const begun = performance.now();
      const { status } = await postAlerts(gateways[i % 2]?.url ?? '', 'am', body, { authorization: `Bearer ${token}` });
      statuses.push(status);
      if (!wasDown && !down) took.push(performance.now() - begun);
    }
  };
  const senders = Promise.all(Array.from({ length: 20 }, sender));
  await until(async () => next, (count) => count > 200);
  await stack.stopWorker('SIGKILL');
  gates[0]?.resolve(undefined);
  await until(async () => next, (count) => count > 400);
  down = true;
  await stack.temporal.kill();
  gates[1]?.resolve(undefined);
  await sleep(1000);
  await stack.temporal.start();
  await sleep(3000);
  down = false;
  await stack.startWorker();
  await senders;
  const { client } = await stack.client();
  const ids: string[] = [];
  await until(async () => {
    ids.length = 0;
    for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'incident'` })) ids.push(workflowId);
    return new Set(ids).size;
  }, (count) => count === 1);
  const view = await until(async () => client.workflow.getHandle(ids[0] ?? '').query<IncidentView>('incident'), (seen) => seen.attempts.length === 1);
  expect(view.attempts).toMatchObject([{ plan: 'restart-api', status: 'completed' }]);
  expect(readFileSync(join(work.path, 'ran'), 'utf8').trim().split('\n')).toEqual(['x']);
  expect(statuses).toHaveLength(1000);
  expect([...new Set(statuses)].filter((status) => !(status >= 200 && status < 300) && status < 500)).toEqual([]);
  took.sort((a, b) => a - b);
  console.log(`answers while Temporal was up: median ${String(Math.round(took[Math.floor(took.length / 2)] ?? 0))} ms, p99 ${String(Math.round(took[Math.floor(took.length * 0.99)] ?? 0))} ms; ${String(statuses.filter((status) => status >= 500).length)} answered 5xx`);
  expect(took[Math.floor(took.length * 0.99)]).toBeLessThan(1000);
});
