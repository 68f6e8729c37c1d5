import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startSink, type HttpSink } from '../support/http-sink.ts';
import { alertmanagerBody, incidentOf, openIncidents, postAlerts, until } from '../support/alerts.ts';

const token = 'a-token-that-is-long-enough';
const auth = { authorization: `Bearer ${token}` };
let stack: Stack;
let sink: HttpSink;
let gateway: TestGateway;

beforeAll(async () => {
  sink = await startSink();
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/shop' } },
    sections: {
      webhooks: [{ name: 'am', format: 'alertmanager', token, rules: [{ match: { team: 'quiet' }, ignore: true }, { match: { alertname: 'DiskFull' }, service: 'disk', type: 'storage' }] }],
      notify: [{ webhook: { url: `${sink.url}/ops` } }, { name: 'boss', webhook: { url: `${sink.url}/boss` }, events: ['handover'] }, { name: 'tickets', webhook: { url: `${sink.url}/tickets` }, events: ['ticket'] }],
      escalation: [{ level: 'devops', after: '0m', notify: ['webhook'] }, { level: 'cto', after: '3s', notify: ['boss'] }],
      incidents: { cooldown: '3s' },
    },
  });
  await stack.startWorker();
  gateway = await startGateway({ configPath: stack.configPath, temporal: { connection: { address: stack.temporal.address }, namespace: 'default' } });
});

afterAll(async () => {
  await gateway.stop();
  await stack.stop();
  await sink.stop();
});

const paths = (): string[] => sink.received.map((message) => `${message.path} ${String(message.json()['event'])}`);

describe('T3 I2 I3 I4 from a webhook to an incident that people are told about', () => {
  test('an alert opens one incident, repeats join it, nothing is run without a plan, silence escalates, the resolved alert ends it', async () => {
    const { client } = await stack.client();
    const body = alertmanagerBody({ name: 'ApiDown', labels: { service: 'api', severity: 'high', instance: 'api-1' }, annotations: { summary: 'api is down', value: '0', threshold: '1' } }, { name: 'Quiet', labels: { team: 'quiet' } });
    const first = await postAlerts(gateway.url, 'am', body, auth);
    expect(first.status).toBe(202);
    expect(await first.json()).toEqual({ accepted: 1, known: 0, ignored: 1 });
    expect(await (await postAlerts(gateway.url, 'am', body, auth)).json()).toEqual({ accepted: 0, known: 1, ignored: 1 });
    const [id = ''] = await until(() => openIncidents(client), (ids) => ids.length === 1);
    const view = await until(() => incidentOf(client, id), (seen) => seen?.stage === 'people');
    expect(view).toMatchObject({
      service: 'api', severity: 'high', type: 'service', status: 'investigating', conditions: [{ metric: 'ApiDown', value: '0', threshold: '1' }], affectedComponents: ['api', 'api-1'],
      automatic: { armed: true, failures: 0 }, attempts: [],
    });
    expect(view?.timeline.map((entry) => entry.event)).toEqual(expect.arrayContaining(['detected', 'handover', 'escalated']));
    // One message for the moment in which it was detected, handed over and told to devops; the boss hears of the handover, then of the silence.
    await until(async () => paths(), (seen) => seen.filter((path) => path.startsWith('/boss')).length === 2 && seen.includes('/tickets handover'));
    const [detected] = sink.received.filter((message) => message.path === '/ops');
    expect(detected?.json()).toMatchObject({ event: 'handover', also: expect.arrayContaining(['detected', 'escalated']), severity: 'high', facts: { service: 'api', conditions: 'ApiDown = 0 (threshold 1)' } });
    expect(detected?.json()['subject']).toContain('no rule names a plan');

    const resolved = alertmanagerBody({ name: 'ApiDown', labels: { service: 'api', severity: 'high', instance: 'api-1' }, status: 'resolved' });
    expect((await postAlerts(gateway.url, 'am', resolved, auth)).status).toBe(202);
    const after = await until(() => incidentOf(client, id), (seen) => seen?.status === 'resolved');
    expect(after?.resolution).toBe('the alert ended');
    await until(async () => paths(), (seen) => seen.includes('/ops resolved'));
    // The same delivery, late: known. Another one in the cool-down: waits for its end, then opens the next incident.
    await postAlerts(gateway.url, 'am', body.replace('"truncatedAlerts":0', '"truncatedAlerts":1'), auth);
    await postAlerts(gateway.url, 'am', alertmanagerBody({ name: 'ApiDown', labels: { service: 'api', severity: 'high', instance: 'api-1' }, startsAt: '2026-11-25T21:00:00.000Z' }), auth);
    expect((await incidentOf(client, id))?.id).toBe(view?.id);
    const second = await until(() => incidentOf(client, id), (seen) => seen?.id !== view?.id);
    expect(second).toMatchObject({ status: expect.stringMatching(/detected|investigating/), previous: [{ id: view?.id, resolution: 'the alert ended' }] });
  });

  test('a resolved alert starts nothing', async () => {
    const { client } = await stack.client();
    const before = await openIncidents(client);
    const answer = await postAlerts(gateway.url, 'am', alertmanagerBody({ name: 'Other', labels: { service: 'never-seen' }, status: 'resolved' }), auth);
    expect(answer.status).toBe(202);
    expect(await openIncidents(client)).toEqual(before);
  });
});
