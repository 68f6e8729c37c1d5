/** Payloads as senders make them, and what tests of incidents ask. */
import { createHash } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { IncidentView } from '../../domain/incident.ts';
import { sleep } from './server-process.ts';

export interface TestAlert {
  readonly name: string;
  readonly labels?: Record<string, string>;
  readonly status?: 'firing' | 'resolved';
  readonly startsAt?: string;
  readonly annotations?: Record<string, string>;
}

/** Alertmanager's v4 webhook body. */
export function alertmanagerBody(...alerts: TestAlert[]): string {
  const firing = alerts.some((alert) => alert.status !== 'resolved');
  return JSON.stringify({
    version: '4', groupKey: '{}:{alertname="x"}', truncatedAlerts: 0, status: firing ? 'firing' : 'resolved', receiver: 'resurgo', groupLabels: {}, commonLabels: {}, commonAnnotations: {}, externalURL: 'http://am.example.test:9093',
    alerts: alerts.map(({ name, labels, status = 'firing', startsAt = '2026-11-25T20:00:00.000Z', annotations }) => ({
      status, labels: { alertname: name, ...labels }, annotations: annotations ?? { summary: `${name} is on` }, startsAt,
      endsAt: status === 'resolved' ? '2026-11-25T20:05:00.000Z' : '0001-01-01T00:00:00Z', generatorURL: 'http://prom.example.test/graph', fingerprint: createHash('sha256').update(JSON.stringify([name, labels])).digest('hex').slice(0, 16),
    })),
  });
}

export const postAlerts = (url: string, hook: string, body: string | Buffer, headers: Record<string, string> = {}, method = 'POST'): Promise<Response> =>
  fetch(`${url}/hooks/${hook}`, { method, body: body as string, headers: { 'content-type': 'application/json', ...headers } });

export async function openIncidents(client: Client): Promise<string[]> {
  const ids: string[] = [];
  for await (const workflow of client.workflow.list({ query: 'WorkflowType = "incident"' })) if (workflow.status.name === 'RUNNING') ids.push(workflow.workflowId);
  return ids;
}

export async function incidentOf(client: Client, workflowId: string): Promise<IncidentView | null> {
  return client.workflow.getHandle(workflowId).query<IncidentView | null>('incident');
}

/** Asks until it is so. @throws after 120 s with what was last seen */
export async function until<T>(ask: () => Promise<T>, isSo: (value: T) => boolean, ms = 120_000): Promise<T> {
  const deadline = Date.now() + ms;
  let last: unknown;
  for (;;) {
    try {
      const value = await ask();
      if (isSo(value)) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not so within ${String(ms)} ms; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    await sleep(100);
  }
}
