import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseConfig } from '../../config/load.ts';
import type { Alert } from '../../domain/alert.ts';
import { createGateway } from '../../client/gateway/server.ts';
import { SnsVerifier } from '../../client/gateway/sns.ts';
import { recipient } from '../unit/config/bad-configs.ts';

const token = 'a-token-that-is-long-enough';
const webhooks = [
  { name: 'am', format: 'alertmanager', token, rules: [{ match: { alertname: 'Real' }, plan: 'never' }] }, { name: 'grafana', format: 'grafana', token }, { name: 'pd', format: 'pagerduty', token },
  { name: 'sns', format: 'sns', token, topics: ['arn:aws:sns:eu-west-1:123456789012:t'] }, { name: 'generic', format: 'generic', token, map: { name: 'a.b', alerts: 'c' } }, { name: 'one', format: 'generic', token, map: { name: 'a' } },
];

test('T3 10,000 fuzzed payloads: answered, no crash, no hang, nothing run', async () => {
  const config = parseConfig(JSON.stringify({ version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: '/b' } }, targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://a@b/c' } }, plans: { never: { steps: [{ id: 'x', uses: 'exec', with: { command: ['/bin/false'] } }] } }, webhooks }), { shown: 'x', dir: '/', env: {} });
  const taken: Alert[] = [];
  const app = await createGateway({
    webhooks: (config.webhooks ?? []).map((webhook) => ({ ...webhook, rate: 10_000 })), env: {}, recentMs: 0, wrongPerSecond: 10_000, isUp: () => Promise.resolve(true), submit: (group) => { taken.push(...group.alerts); return Promise.resolve(); },
    sns: new SnsVerifier({ fetchText: () => Promise.reject(new Error('nothing is fetched')) }),
  });
  const shaped = fc.record({ alerts: fc.array(fc.record({ labels: fc.anything(), annotations: fc.anything(), status: fc.anything(), startsAt: fc.anything(), fingerprint: fc.anything() })), event: fc.anything(), c: fc.anything(), a: fc.anything() }, { requiredKeys: [] });
  const text = fc.oneof(fc.json(), fc.string(), shaped.map((value) => { try { return JSON.stringify(value); } catch { return '{}'; } }), fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')));
  const slow: number[] = [];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...webhooks.map((webhook) => webhook.name)), text, fc.boolean(), async (name, body, authorised) => {
      const begun = performance.now();
      const answer = await app.inject({ method: 'POST', url: `/hooks/${name}`, payload: body, headers: { 'content-type': 'application/json', ...(authorised ? { authorization: `Bearer ${token}` } : {}) } });
      slow.push(performance.now() - begun);
      expect([202, 400, 401, 403, 413, 415, 422, 429, 503]).toContain(answer.statusCode);
      if (!authorised) expect(answer.statusCode).not.toBe(202);
    }),
    { numRuns: 10_000 },
  );
  expect(taken.filter((alert) => alert.plan !== undefined)).toEqual([]);
  expect(Math.max(...slow)).toBeLessThan(5000);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  await app.close();
}, 900_000);
