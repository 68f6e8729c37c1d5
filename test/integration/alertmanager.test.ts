/** A real Alertmanager drives an incident from firing to resolved (T3, I2). */
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { debianTool, freePort, ServerProcess, tempDir, type TempDir } from '../support/index.ts';
import { tail } from '../support/server-process.ts';
import { incidentOf, openIncidents, until } from '../support/alerts.ts';

const token = 'a-token-that-is-long-enough';
let stack: Stack;
let gateway: TestGateway;
let dir: TempDir;
let alertmanager: ServerProcess;
let url: string;

/**
 * Debian's build reads its templates below /usr/share. Where it is not installed but unpacked, a copy is run that has a path of the same length there,
 * relative to its working directory.
 */
async function program(cwd: string): Promise<string> {
  const file = await debianTool('prometheus-alertmanager');
  const shared = '/usr/share/prometheus/alertmanager';
  const root = dirname(dirname(file));
  const unpacked = join(root, 'usr/bin/prometheus-alertmanager');
  if (existsSync(shared) || !existsSync(join(root, shared)) || !existsSync(unpacked)) return file;
  symlinkSync(join(root, shared), join(cwd, 'am'));
  const code = readFileSync(unpacked);
  const there = Buffer.from('./'.repeat((shared.length - 2) / 2) + 'am');
  for (let at = code.indexOf(shared); at >= 0; at = code.indexOf(shared, at + shared.length)) there.copy(code, at);
  const copy = join(cwd, 'alertmanager');
  writeFileSync(copy, code, { mode: 0o755 });
  return copy;
}

beforeAll(async () => {
  dir = tempDir('alertmanager');
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/shop' } },
    sections: { webhooks: [{ name: 'am', format: 'alertmanager', token, rules: [{ match: { team: 'quiet' }, ignore: true }, { match: { alertname: /Api.*/.toString() }, type: 'service' }] }], incidents: { cooldown: '1s' } },
  });
  await stack.startWorker();
  gateway = await startGateway({ configPath: stack.configPath, temporal: { connection: { address: stack.temporal.address }, namespace: 'default' } });
  const port = await freePort();
  url = `http://127.0.0.1:${String(port)}`;
  const file = join(dir.path, 'alertmanager.yml');
  // As docs/guides/alerts.md says it.
  writeFileSync(file, JSON.stringify({
    route: { receiver: 'resurgo', group_by: ['alertname'], group_wait: '1s', group_interval: '1s', repeat_interval: '1m' },
    receivers: [{ name: 'resurgo', webhook_configs: [{ url: `${gateway.url}/hooks/am`, send_resolved: true, http_config: { authorization: { credentials: token } } }] }],
  }));
  const logFile = join(dir.path, 'alertmanager.log');
  alertmanager = new ServerProcess({
    name: 'Alertmanager', file: await program(dir.path), logFile, cwd: dir.path,
    args: [`--config.file=${file}`, `--storage.path=${join(dir.path, 'data')}`, `--web.listen-address=127.0.0.1:${String(port)}`, '--cluster.listen-address='],
  });
  await alertmanager.ready(async () => {
    try {
      return (await fetch(`${url}/-/ready`, { signal: AbortSignal.timeout(2000) })).ok;
    } catch {
      return false;
    }
  }, 120_000);
});

afterAll(async () => {
  await alertmanager.end('SIGTERM');
  await gateway.stop();
  await stack.stop();
  await dir.stop();
});

/** As Prometheus posts them. */
async function post(...alerts: object[]): Promise<void> {
  const answer = await fetch(`${url}/api/v2/alerts`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(alerts) });
  expect(answer.status, await answer.text()).toBe(200);
}

test('T3 I2 a real Alertmanager opens an incident, joins it, and ends it', async () => {
  const { client } = await stack.client();
  const startsAt = new Date().toISOString();
  const api = { labels: { alertname: 'ApiDown', service: 'api', severity: 'high', instance: 'api-1' }, annotations: { summary: 'api is down' }, startsAt, generatorURL: 'http://prometheus.example.test/graph' };
  const later = new Date(Date.now() + 3_600_000).toISOString();
  await post({ ...api, endsAt: later }, { labels: { alertname: 'Noise', team: 'quiet' }, startsAt, endsAt: later });
  const [id = ''] = await until(() => openIncidents(client), (ids) => ids.length > 0);
  const view = await until(() => incidentOf(client, id), (seen) => seen?.stage === 'people');
  expect(view).toMatchObject({ service: 'api', severity: 'high', type: 'service', status: 'investigating', affectedComponents: ['api', 'api-1'], conditions: [{ metric: 'ApiDown' }] });

  // A second instance of it comes into the same group; Alertmanager sends both, and the incident stays one.
  const second = { ...api, labels: { ...api.labels, instance: 'api-2' } };
  await post({ ...second, endsAt: later });
  const both = await until(() => incidentOf(client, id), (seen) => seen?.affectedComponents.includes('api-2') === true);
  expect(both?.id).toBe(view?.id);
  expect(await openIncidents(client)).toEqual([id]);

  // One of the two ends: it is not over, and a delivery has said so.
  const delivered = async (): Promise<number> => Number(/^alertmanager_notification_latency_seconds_count\{integration="webhook"\} (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
  const before = await delivered();
  await post({ ...api, endsAt: new Date().toISOString() });
  await until(delivered, (count) => count > before).catch((error: unknown) => { throw new Error(`${String(error)}\n${tail(join(dir.path, 'alertmanager.log'))}`); });
  expect((await incidentOf(client, id))?.status).toBe('investigating');
  await post({ ...second, endsAt: new Date().toISOString() });
  const over = await until(() => incidentOf(client, id), (seen) => seen?.status === 'resolved');
  expect(over).toMatchObject({ id: view?.id, resolution: 'the alert ended' });
  expect(gateway.log.filter((line) => line.status >= 400)).toEqual([]);
});
