/** The gateway over real HTTP, with a stand-in only for Temporal: what is accepted, and what is refused how. */
import { createHmac, createSign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import type { Alert } from '../../../domain/alert.ts';
import { createGateway } from '../../../client/gateway/server.ts';
import { Problem } from '../../../client/gateway/problem.ts';
import { SnsVerifier, stringToSign } from '../../../client/gateway/sns.ts';
import type { Submission } from '../../../client/gateway/submit.ts';
import { alertmanagerBody, postAlerts } from '../../support/alerts.ts';
import { checkout } from '../../support/tools-env.ts';
import { recipient } from '../config/bad-configs.ts';

const token = 'old-token-of-16-characters';
const newToken = 'new-token-of-16-characters';
const key = 'old-key-of-16-characters';
const newKey = 'new-key-of-16-characters';
const topic = 'arn:aws:sns:ap-northeast-2:123456789012:alarms';
const bearer = (value = token): Record<string, string> => ({ authorization: `Bearer ${value}` });
const hmac = (secret: string, ...parts: (string | Buffer)[]): string => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', secret)).digest('hex');

const webhooks = [
  { name: 'am', format: 'alertmanager', token: [token, newToken], rules: [{ match: { alertname: 'ApiDown', zone: '/eu-.*/' }, service: 'api-eu', severity: 'critical' }, { match: { service: 'mute' }, ignore: true }] },
  { name: 'grafana', format: 'grafana', hmac: [key, newKey] },
  { name: 'grafana-timed', format: 'grafana', hmac: key, timestampHeader: 'X-Sent-At', signatureHeader: 'X-My-Signature' },
  { name: 'pd', format: 'pagerduty', hmac: [key, newKey] },
  { name: 'sns', format: 'sns', topics: [topic], rules: [{ match: { InstanceId: 'i-1' }, service: 'web' }] },
  { name: 'generic', format: 'generic', hmac: key, map: { alerts: 'data.items', name: 'check.name', status: 'state', severity: 'prio', service: 'check.host', startsAt: 'since', value: 'now', threshold: 'limit', metric: 'what', labels: 'tags' } },
  { name: 'one', format: 'generic', token, map: { name: 'title', key: 'id' } },
  { name: 'small', format: 'generic', token, map: { name: 'title' }, maxBody: '1KiB', rate: 1 },
];

const config = parseConfig(JSON.stringify({ version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: '/b' } }, targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://a@b/c' } }, webhooks }), { shown: 'x', dir: '/nowhere', env: {} });

let app: FastifyInstance | undefined;
let taken: Submission[] = [];
let fetched: string[] = [];
const pem = readFileSync(join(checkout, 'test/fixtures/sns/test-only.pem'), 'utf8');
const privateKey = readFileSync(join(checkout, 'test/fixtures/sns/test-only.key'), 'utf8');

async function start(options: { fail?: Error; now?: () => number; requestMs?: number; recentMs?: number; fetchFails?: boolean; wrong?: number } = {}): Promise<string> {
  taken = [];
  fetched = [];
  app = await createGateway({
    webhooks: config.webhooks ?? [], wrongPerSecond: options.wrong ?? 1000, env: {}, recentMs: options.recentMs ?? 0, isUp: () => Promise.resolve(options.fail === undefined),
    submit: (submission) => { if (options.fail !== undefined) return Promise.reject(options.fail); taken.push(submission); return Promise.resolve(); },
    sns: new SnsVerifier({ fetchText: (url) => { fetched.push(url); return options.fetchFails === true ? Promise.reject(new Error('no')) : Promise.resolve(pem); } }),
    ...(options.now === undefined ? {} : { now: options.now }), ...(options.requestMs === undefined ? {} : { requestMs: options.requestMs }),
  });
  return app.listen({ host: '127.0.0.1', port: 0 });
}
afterEach(async () => {
  await app?.close();
  app = undefined;
});
const alerts = (): Alert[] => taken.flatMap((submission) => [...submission.alerts]);
const status = async (answer: Promise<Response>): Promise<number> => (await answer).status;

describe('T3 tokens and what is refused before anything is read', () => {
  test('bearer, basic or header; old and new at once; never by the URL', async () => {
    const url = await start();
    const body = alertmanagerBody({ name: 'ApiDown' });
    expect(await status(postAlerts(url, 'am', body, bearer()))).toBe(202);
    expect(await status(postAlerts(url, 'am', body, bearer(newToken)))).toBe(202);
    expect(await status(postAlerts(url, 'am', body, { authorization: `Basic ${Buffer.from(`am:${token}`).toString('base64')}` }))).toBe(202);
    expect(await status(postAlerts(url, 'am', body, { 'x-resurgo-token': token }))).toBe(202);
    for (const headers of [{}, bearer('wrong'), bearer(''), bearer(`${token}x`), { authorization: token }, { authorization: 'Basic !!!' }]) expect(await status(postAlerts(url, 'am', body, headers))).toBe(401);
    expect((await fetch(`${url}/hooks/am?token=${token}`, { method: 'POST', body })).status).toBe(401);
    expect(taken).toHaveLength(4);
  });

  test('names, methods, encodings, sizes', async () => {
    const url = await start();
    const body = alertmanagerBody({ name: 'ApiDown' });
    for (const name of ['nope', '..', '%2e%2e%2fam', 'am%00', 'am/', 'constructor', '__proto__', 'a'.repeat(300)]) expect([404, 400, 414]).toContain(await status(postAlerts(url, name, body, bearer())));
    expect((await fetch(`${url}/hooks/am`)).status).toBe(404);
    expect(await status(postAlerts(url, 'am', body, bearer(), 'PUT'))).toBe(202);
    expect(await status(postAlerts(url, 'am', gzipSync(body), { ...bearer(), 'content-encoding': 'gzip' }))).toBe(415);
    expect(await status(postAlerts(url, 'small', JSON.stringify({ title: 'x'.repeat(2000) }), bearer()))).toBe(413);
    expect(await status(postAlerts(url, 'am', 'x'.repeat(9 * 1024 ** 2), bearer()).catch(() => new Response('', { status: 413 })))).toBe(413);
    expect(await status(postAlerts(url, 'am', '', bearer()))).toBe(400);
    // 512 KiB are taken.
    expect(await status(postAlerts(url, 'am', alertmanagerBody({ name: 'Big', annotations: { summary: 'x'.repeat(512 * 1024) } }), bearer()))).toBe(202);
    expect(alerts().at(-1)?.description.length).toBeLessThanOrEqual(2000);
  });

  test('bodies that mean two things, or nothing', async () => {
    const url = await start();
    const post = (body: string | Buffer): Promise<number> => status(postAlerts(url, 'one', body, bearer()));
    expect(await post('{"title":"a","title":"b"}')).toBe(400);
    expect(await post('{"title":"a","\\u0074itle":"b"}')).toBe(400);
    expect(await post('{"a":[{"x":1},{"x":1}],"title":"fine"}')).toBe(202);
    expect(await post('{"title":"a\\"b","b":{"title":1}}')).toBe(202);
    expect(await post(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))).toBe(400);
    expect(await post('[')).toBe(400);
    expect(await post('['.repeat(200) + ']'.repeat(200))).toBe(400);
    expect(await post('null')).toBe(422);
    expect(await post('{"title":{"toString":1}}')).toBe(422);
    expect(await post('{"title":"x","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')).toBe(202);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('guessing is slowed down; deliveries above the rate are asked to come again, not dropped', async () => {
    const url = await start({ wrong: 2 });
    const guesses = await Promise.all(Array.from({ length: 20 }, (_, i) => status(postAlerts(url, 'am', '{}', bearer(`guess-${String(i)}`)))));
    expect(guesses).toContain(429);
    expect(await status(postAlerts(url, 'am', alertmanagerBody({ name: 'A' }), bearer()))).toBe(202);
    const many = await Promise.all(Array.from({ length: 12 }, (_, i) => postAlerts(url, 'small', `{"title":"a${String(i)}"}`, bearer())));
    const over = many.filter((answer) => answer.status !== 202);
    expect(over.length).toBeGreaterThan(0);
    for (const answer of over) expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  });

  test('Temporal away: 503 with Retry-After, never 4xx; what is ours to mend is 500 without its words', async () => {
    const away = await start({ fail: new Problem(503, 'Temporal is at 10.0.0.1', 5) });
    const answer = await postAlerts(away, 'am', alertmanagerBody({ name: 'A' }), bearer());
    expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([503, '5', expect.not.stringContaining('10.0.0.1')]);
    expect((await fetch(`${away}/healthz`)).status).toBe(503);
    expect(await (await fetch(`${away}/metrics`)).text()).toContain('resurgo_webhook_deliveries_total{hook="am",status="503"} 1');
    await app?.close();
    const broken = await start({ fail: new Error('secret detail') });
    const inner = await postAlerts(broken, 'am', alertmanagerBody({ name: 'A' }), bearer());
    expect([inner.status, await inner.text()]).toEqual([500, expect.not.stringContaining('secret')]);
  });

  test('a sender that drips its request is cut off', async () => {
    const url = new URL(await start({ requestMs: 1000 }));
    const socket = connect(Number(url.port), '127.0.0.1');
    const begun = Date.now();
    socket.write(`POST /hooks/am HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1000\r\n\r\n{`);
    const drip = setInterval(() => { socket.write(' '); }, 100);
    await new Promise<void>((resolve) => { socket.on('error', () => undefined).on('close', () => { resolve(); }); socket.resume(); });
    clearInterval(drip);
    expect(Date.now() - begun).toBeLessThan(20_000);
  });
});

describe('T3 Alertmanager', () => {
  test('firing and resolved of one group are handled alert by alert; rules decide; keys stay the same', async () => {
    const url = await start();
    const body = alertmanagerBody(
      { name: 'ApiDown', labels: { zone: 'eu-1', instance: 'a' } }, { name: 'ApiDown', labels: { zone: 'us-1', job: 'api-us' } }, { name: 'Old', labels: { zone: 'eu-1', service: 'batch', severity: 'warning' }, status: 'resolved' }, { name: 'X', labels: { service: 'mute' } },
    );
    expect(await (await postAlerts(url, 'am', body, bearer())).json()).toMatchObject({ accepted: 3, ignored: 1 });
    expect(alerts()).toMatchObject([
      { name: 'ApiDown', status: 'firing', service: 'api-eu', severity: 'critical', source: 'webhook/am', tracks: true },
      { name: 'ApiDown', status: 'firing', service: 'api-us', severity: 'high' },
      { name: 'Old', status: 'resolved', service: 'batch', severity: 'medium' },
    ]);
    const keys = alerts().map((alert) => alert.key);
    expect(new Set(keys).size).toBe(3);
    await postAlerts(url, 'am', body.replace('"truncatedAlerts":0', '"truncatedAlerts":7'), bearer());
    expect(alerts().slice(3).map((alert) => alert.key)).toEqual(keys);
  });

  test('payloads of templates: without version, group key, fingerprint; without alerts it is told what to use', async () => {
    const url = await start();
    expect(await status(postAlerts(url, 'am', '{"alerts":[{"labels":{"alertname":"Bare","n":1}},7,{"x":1}]}', bearer()))).toBe(202);
    expect(alerts()).toMatchObject([{ name: 'Bare', labels: { alertname: 'Bare', n: '1' }, startsAt: null }]);
    expect(await (await postAlerts(url, 'am', '{"text":"ApiDown"}', bearer())).text()).toContain('format: generic');
    expect(await status(postAlerts(url, 'am', '{"alerts":[]}', bearer()))).toBe(202);
  });

  test('labels without end, hostile names and control characters', async () => {
    const url = await start();
    const labels = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`label${String(i)}`, 'v'.repeat(50)]));
    const text = alertmanagerBody({ name: 'Many\u202e\u0000 labels', labels: { ...labels, zone: 'eu-9' } }).replace('"label0":', '"__proto__":');
    expect(await status(postAlerts(url, 'am', text, bearer()))).toBe(202);
    const [alert] = alerts();
    expect(Object.keys(alert?.labels ?? {}).length).toBeLessThan(80);
    expect(alert?.labels['zone']).toBe('eu-9');
    expect(alert?.name).not.toMatch(/[\u0000\u202e]/);
  });

  test('accepted a moment ago is not sent to Temporal again', async () => {
    const url = await start({ recentMs: 60_000 });
    const body = alertmanagerBody({ name: 'A' });
    expect(await (await postAlerts(url, 'am', body, bearer())).json()).toEqual({ accepted: 1, known: 0, ignored: 0 });
    expect(await (await postAlerts(url, 'am', body, bearer())).json()).toEqual({ accepted: 0, known: 1, ignored: 0 });
    expect(taken).toHaveLength(1);
  });
});

describe('T3 Grafana', () => {
  const body = JSON.stringify({ receiver: 'r', version: '1', orgId: 1, status: 'firing', state: 'alerting', title: 't', alerts: [{ status: 'firing', labels: { alertname: 'HighErrors', service: 'api' }, annotations: {}, startsAt: '2026-11-25T20:00:00Z', endsAt: '0001-01-01T00:00:00Z', fingerprint: 'c6eadffa33fcdf37', values: { B: 0.7, C: 1 } }] });

  test('signature over the raw body, with the old or the new key; by PUT; values become conditions', async () => {
    const url = await start();
    const sign = (secret: string, text = body): Record<string, string> => ({ 'x-grafana-alerting-signature': hmac(secret, text) });
    expect(await status(postAlerts(url, 'grafana', body, sign(key), 'PUT'))).toBe(202);
    expect(await status(postAlerts(url, 'grafana', body, sign(newKey)))).toBe(202);
    expect(alerts()[0]).toMatchObject({ name: 'HighErrors', conditions: [{ metric: 'HighErrors B', value: 0.7 }, { metric: 'HighErrors C', value: 1 }] });
    expect(await status(postAlerts(url, 'grafana', body, sign('another-key-of-16-characters')))).toBe(403);
    expect(await status(postAlerts(url, 'grafana', body.replace('0.7', '0.8'), sign(key)))).toBe(403);
    expect(await status(postAlerts(url, 'grafana', body))).toBe(403);
  });

  test('with a signed time, an old one is refused, and so is one that was exchanged', async () => {
    const now = Date.UTC(2026, 10, 25, 20);
    const url = await start({ now: () => now });
    const headers = (seconds: number, signed = seconds): Record<string, string> => ({ 'x-sent-at': String(seconds), 'x-my-signature': hmac(key, `${String(signed)}:`, body) });
    const s = now / 1000;
    expect(await status(postAlerts(url, 'grafana-timed', body, headers(s - 200)))).toBe(202);
    expect(await status(postAlerts(url, 'grafana-timed', body, headers(s - 400)))).toBe(403);
    expect(await status(postAlerts(url, 'grafana-timed', body, headers(s + 400)))).toBe(403);
    expect(await status(postAlerts(url, 'grafana-timed', body, headers(s, s - 400)))).toBe(403);
    expect(await status(postAlerts(url, 'grafana-timed', body, { 'x-my-signature': hmac(key, body) }))).toBe(403);
  });

  test('no data is no evidence that something is broken: a plan runs only where a rule names that alert', async () => {
    const { decideAlert } = await import('../../../domain/alert.ts');
    const raw = { key: 'k', identity: 'i', status: 'firing' as const, name: 'DatasourceNoData', description: '', labels: { service: 'api' }, startsAt: null, conditions: [], tracks: true, unobserved: true };
    expect(decideAlert(raw, 's', [{ match: { service: 'api' }, plan: ['restart'] }])).not.toHaveProperty('plan');
    expect(decideAlert(raw, 's', [{ match: { alertname: 'DatasourceNoData' }, plan: ['restart'] }])).toHaveProperty('plan');
  });
});

describe('T3 PagerDuty V3', () => {
  const event = (more: object = {}, data: object = {}): string => JSON.stringify({ event: { id: '01BZ', event_type: 'incident.triggered', resource_type: 'incident', occurred_at: '2026-11-25T20:00:00Z', agent: null, client: null, data: { id: 'PGR0VU2', type: 'incident', number: 2, status: 'triggered', incident_key: 'd3640fbd', created_at: '2026-11-25T19:59:00Z', title: 'A little bump in the road', service: { id: 'PF9K', summary: 'API Service', type: 'service_reference' }, urgency: 'high', priority: { summary: 'P1' }, html_url: 'https://acme.pagerduty.example.test/incidents/PGR0VU2', ...data }, ...more } });
  const sign = (body: string, ...keys: string[]): Record<string, string> => ({ 'x-pagerduty-signature': keys.map((secret) => `v1=${hmac(secret, body)}`).join(',') });

  test('any of several signatures; the id of the signed event is the key, whatever a header says', async () => {
    const url = await start();
    const body = event();
    expect(await status(postAlerts(url, 'pd', body, { ...sign(body, 'another-key', newKey), 'x-webhook-id': '1' }))).toBe(202);
    expect(await status(postAlerts(url, 'pd', body, { ...sign(body, key), 'x-webhook-id': '2' }))).toBe(202);
    expect(alerts()).toMatchObject([{ service: 'API Service', severity: 'critical', status: 'firing', name: 'A little bump in the road' }, {}]);
    expect(alerts()[0]?.key).toBe(alerts()[1]?.key);
    expect(await status(postAlerts(url, 'pd', body, sign(body, 'another-key-of-16-char')))).toBe(403);
    expect(await status(postAlerts(url, 'pd', `${body} `, sign(body, key)))).toBe(403);
    expect(await status(postAlerts(url, 'pd', body, { 'x-pagerduty-signature': 'v1=,v0=abc' }))).toBe(403);
  });

  test('an event days old is taken: PagerDuty repeats for 48 h; others change nothing; our own message that comes back is none', async () => {
    const url = await start();
    const post = (body: string): Promise<Response> => postAlerts(url, 'pd', body, sign(body, key));
    expect(await (await post(event({ id: 'r', event_type: 'incident.resolved', occurred_at: '2026-11-20T00:00:00Z' }))).json()).toMatchObject({ accepted: 1 });
    expect(alerts()).toMatchObject([{ status: 'resolved' }]);
    for (const type of ['incident.acknowledged', 'incident.annotated', 'pagey.ping', 'service.updated']) expect(await (await post(event({ event_type: type }))).json()).toMatchObject({ accepted: 0 });
    expect(await (await post(event({}, { incident_key: 'resurgo/api-1' }))).json()).toMatchObject({ accepted: 0, reason: 'our own message came back' });
    expect((await post('{"messages":[]}')).status).toBe(422);
    // Reopened is new, though created at the same time.
    await post(event());
    await post(event({ id: 'z', event_type: 'incident.reopened', occurred_at: '2026-11-25T21:00:00Z' }));
    expect(alerts().at(-1)?.startsAt).not.toBe(alerts().at(-2)?.startsAt);
  });
});

describe('T3 SNS and CloudWatch', () => {
  const alarm = { AlarmName: 'cpu-high', AlarmDescription: null, AWSAccountId: '123456789012', NewStateValue: 'ALARM', NewStateReason: 'Threshold Crossed: 1 datapoint [95.3 (25/11/26 20:00:00)] was greater than the threshold (90.0).', StateChangeTime: '2026-11-25T20:01:32.006+0000', Region: 'Asia Pacific (Seoul)', AlarmArn: 'arn:aws:cloudwatch:ap-northeast-2:123456789012:alarm:cpu-high', OldStateValue: 'OK', Trigger: { MetricName: 'CPUUtilization', Namespace: 'AWS/EC2', Dimensions: [{ name: 'InstanceId', value: 'i-1' }], Threshold: 90 } };
  const certificate = 'https://sns.ap-northeast-2.amazonaws.com/SimpleNotificationService-x.pem';
  function envelope(more: Record<string, string> = {}, version: '1' | '2' = '2'): string {
    const message: Record<string, string> = { Type: 'Notification', MessageId: 'm-1', TopicArn: topic, Message: JSON.stringify(alarm), Timestamp: new Date().toISOString(), SignatureVersion: version, SigningCertURL: certificate, ...more };
    message['Signature'] = createSign(version === '2' ? 'RSA-SHA256' : 'RSA-SHA1').update(stringToSign(message)).sign(privateKey, 'base64');
    return JSON.stringify(message);
  }
  const text = { 'content-type': 'text/plain; charset=UTF-8' };

  test('both signature versions; the certificate is fetched once; an alarm with its numbers', async () => {
    const url = await start();
    expect(await status(postAlerts(url, 'sns', envelope(), text))).toBe(202);
    expect(await status(postAlerts(url, 'sns', envelope({ MessageId: 'm-2', Subject: 'ALARM' }, '1'), text))).toBe(202);
    expect(fetched).toEqual([certificate]);
    expect(alerts()[0]).toMatchObject({ name: 'cpu-high', service: 'web', status: 'firing', conditions: [{ metric: 'CPUUtilization', value: 95.3, threshold: 90 }], labels: { region: 'ap-northeast-2' }, startsAt: '2026-11-25T20:01:32.006Z' });
    await postAlerts(url, 'sns', envelope({ Message: JSON.stringify({ ...alarm, NewStateValue: 'OK' }), MessageId: 'm-3' }), text);
    expect(alerts()[2]).toMatchObject({ status: 'resolved', identity: alerts()[0]?.identity });
    expect(await (await postAlerts(url, 'sns', envelope({ Message: JSON.stringify({ ...alarm, NewStateValue: 'INSUFFICIENT_DATA' }) }), text)).json()).toMatchObject({ accepted: 0 });
    const bridge = { 'detail-type': 'CloudWatch Alarm State Change', source: 'aws.cloudwatch', region: 'ap-northeast-2', resources: ['arn:x'], detail: { alarmName: 'eb', state: { value: 'ALARM', reason: 'x', timestamp: '2026-11-25T20:00:00.000+0000' }, configuration: { metrics: [{ metricStat: { metric: { name: 'Errors' } } }] } } };
    await postAlerts(url, 'sns', envelope({ Message: JSON.stringify(bridge), MessageId: 'm-4' }), text);
    expect(alerts().at(-1)).toMatchObject({ name: 'eb', conditions: [{ metric: 'Errors' }], startsAt: '2026-11-25T20:00:00.000Z' });
  });

  test('altered, foreign, stale, raw; addresses that are not of AWS are never fetched', async () => {
    const url = await start();
    const post = (body: string, headers: Record<string, string> = text): Promise<number> => status(postAlerts(url, 'sns', body, headers));
    expect(await post(envelope().replace('cpu-high', 'cpu-low'))).toBe(403);
    expect(await post(envelope({ TopicArn: `${topic}2` }))).toBe(403);
    expect(await post(envelope({ Timestamp: new Date(Date.now() - 2 * 3_600_000).toISOString() }))).toBe(403);
    // SNS repeats for an hour: half an hour old is no attack.
    expect(await post(envelope({ Timestamp: new Date(Date.now() - 1_800_000).toISOString() }))).toBe(202);
    expect(await post(envelope(), { ...text, 'x-amz-sns-rawdelivery': 'true' })).toBe(403);
    expect(await post('{"hello":1}')).toBe(422);
    fetched = [];
    for (const bad of ['http://sns.ap-northeast-2.amazonaws.com/x.pem', 'https://sns.ap-northeast-2.amazonaws.com.evil.test/x.pem', 'https://evil.test/sns.ap-northeast-2.amazonaws.com/x.pem', 'https://169.254.169.254/x.pem', 'https://sns.us-east-1.amazonaws.com/x.pem', 'https://user@sns.ap-northeast-2.amazonaws.com/x.pem', 'https://sns.ap-northeast-2.amazonaws.com:8443/x.pem', 'https://sns.ap-northeast-2.amazonaws.com/x.txt', 'file:///etc/passwd', 'x'])
      expect(await post(envelope({ SigningCertURL: bad })), bad).toBe(403);
    expect(fetched).toEqual([]);
  });

  test('a subscription is confirmed only for a topic that is listened to, at AWS, and tried again when that fails', async () => {
    const subscribe = (more: Record<string, string> = {}): string => envelope({ Type: 'SubscriptionConfirmation', Token: 't', Message: 'You have chosen', SubscribeURL: `https://sns.ap-northeast-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${topic}&Token=t`, ...more });
    const url = await start();
    expect(await status(postAlerts(url, 'sns', subscribe(), text))).toBe(202);
    expect(fetched.at(-1)).toContain('Action=ConfirmSubscription');
    fetched = [];
    for (const bad of ['http://127.0.0.1:8080/?Action=ConfirmSubscription', 'https://sns.ap-northeast-2.amazonaws.com/?Action=DeleteTopic', 'https://evil.test/?Action=ConfirmSubscription']) expect(await status(postAlerts(url, 'sns', subscribe({ SubscribeURL: bad }), text)), bad).toBe(403);
    expect(await status(postAlerts(url, 'sns', subscribe({ TopicArn: `${topic}-other` }), text))).toBe(403);
    expect(fetched).toEqual([]);
    await app?.close();
    const failing = await start({ fetchFails: true });
    expect(await status(postAlerts(failing, 'sns', subscribe(), text))).toBe(503);
  });
});

describe('T3 generic JSON', () => {
  const body = JSON.stringify({ data: { items: [{ check: { name: 'ping', host: 'web-1' }, state: 'CRITICAL', prio: 'p1', since: '2026-11-25T20:00:00Z', now: 250, limit: 200, what: 'ms', tags: { dc: 'icn' } }, { check: { name: 'ping', host: 'web-2' }, state: 'Recovered' }, { other: 1 }] } });
  const sign = (seconds: number, text = body, secret = key): Record<string, string> => ({ 'x-resurgo-signature': `t=${String(seconds)},v1=${hmac(secret, `${String(seconds)}.`, text)}` });

  test('mapped fields, signature with time, resolved words', async () => {
    const url = await start();
    const now = Math.floor(Date.now() / 1000);
    expect(await (await postAlerts(url, 'generic', body, sign(now))).json()).toMatchObject({ accepted: 2 });
    expect(alerts()).toMatchObject([{ name: 'ping', service: 'web-1', severity: 'critical', status: 'firing', conditions: [{ metric: 'ms', value: 250, threshold: 200 }], labels: { dc: 'icn' }, tracks: true }, { service: 'web-2', status: 'resolved' }]);
    expect(await status(postAlerts(url, 'generic', body, sign(now - 1000)))).toBe(403);
    expect(await status(postAlerts(url, 'generic', body, { 'x-resurgo-signature': `t=${String(now)},v1=${hmac(key, `${String(now - 1000)}.`, body)}` }))).toBe(403);
    expect(await status(postAlerts(url, 'generic', '{"data":{}}', sign(now, '{"data":{}}')))).toBe(422);
  });

  test('the sender’s own id is the key; without one the body is', async () => {
    const url = await start();
    await postAlerts(url, 'one', '{"title":"x","id":7}', bearer());
    await postAlerts(url, 'one', '{"title":"x","id":7,"more":1}', bearer());
    await postAlerts(url, 'one', '{"title":"x","id":8}', bearer());
    const [a, b, c] = alerts().map((alert) => alert.key);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });
});
