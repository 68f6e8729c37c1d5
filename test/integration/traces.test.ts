/** O3: every run as a trace, at a collector that is away now and then. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSink, type HttpSink } from '../support/http-sink.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly events: readonly { readonly name: string }[];
  readonly status: { readonly code: number; readonly message?: string };
}
interface Request {
  readonly resourceSpans: readonly { readonly resource: { readonly attributes: SentSpan['attributes'] }; readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[] }[];
}

let work: TempDir;
let sink: HttpSink;
let stack: Stack;
const source = (): string => join(work.path, 'source');

beforeAll(async () => {
  work = tempDir('traces');
  sink = await startSink();
  mkdirSync(source());
  writeFileSync(join(source(), 'one'), 'one');
  stack = await startStack({
    targets: { media: { type: 'files', paths: [source()] } },
    env: { COLLECTOR_TOKEN: 'not-for-others' },
    sections: { telemetry: { traces: { endpoint: `${sink.url}/otlp/`, headers: { authorization: { env: 'COLLECTOR_TOKEN' } }, attributes: { 'deployment.environment.name': 'test' } } } },
  });
  await stack.startWorker();
}, 300_000);
afterAll(async () => {
  await stack.stop();
  await sink.stop();
  await work.stop();
});

/** Spans that were accepted, by id. */
const spans = (): SentSpan[] => [...new Map(sink.received.flatMap(({ body }) => (JSON.parse(body) as Request).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))).map((span) => [span.spanId, span])).values()];
const fact = (span: SentSpan | undefined, key: string): unknown => Object.values(span?.attributes.find((each) => each.key === key)?.value ?? {})[0];
const ofRun = (workflowId: string): SentSpan | undefined => spans().find((span) => fact(span, 'temporal.workflow.id') === workflowId);

async function seen(workflowId: string): Promise<SentSpan> {
  for (;;) {
    const span = ofRun(workflowId);
    if (span !== undefined) return span;
    await sleep(200);
  }
}

test('O3 a backup is a trace: the run, its child, every step, tied together, with their times and what they are about', { timeout: 120_000 }, async () => {
  const run = await stack.start('backup', { target: 'media' });
  const result = await stack.resultOf(run);
  const span = await seen(run.workflowId);
  expect(span).toMatchObject({ name: 'backup', status: { code: 1 }, traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string, spanId: expect.stringMatching(/^[0-9a-f]{16}$/) as string });
  expect(span.parentSpanId).toBeUndefined();
  expect([fact(span, 'resurgo.target'), fact(span, 'resurgo.operation'), fact(span, 'resurgo.backup'), fact(span, 'resurgo.run.outcome')]).toEqual(['media', 'backup', result.id, 'completed']);
  const child = spans().find((each) => each.name === 'backupOperation' && each.traceId === span.traceId);
  expect(child?.parentSpanId).toBe(span.spanId);
  const steps = spans().filter((each) => each.parentSpanId === child?.spanId);
  expect(steps.map(({ name }) => name)).toEqual(['prepareBackup', 'dumpBackup', 'checkRun', 'verifyBackup', 'publishBackup', 'finishBackup']);
  for (const step of [...steps, child]) {
    expect(BigInt(step?.startTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
    expect(BigInt(step?.endTimeUnixNano ?? 0)).toBeLessThanOrEqual(BigInt(span.endTimeUnixNano));
  }
  expect(fact(steps[1], 'temporal.summary')).toBe('dump and seal media');
  const request = sink.received.at(-1);
  expect(request?.path).toBe('/otlp/v1/traces');
  expect(request?.headers.authorization).toBe('not-for-others');
  const { resource } = (JSON.parse(request?.body ?? '{}') as Request).resourceSpans[0] ?? { resource: { attributes: [] } };
  expect(Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value['stringValue']]))).toEqual({ 'service.name': 'resurgo', 'deployment.environment.name': 'test' });
  expect(sink.received.some(({ body }) => body.includes('not-for-others'))).toBe(false);
});

test('O3 a run that fails says why, one that is terminated too', { timeout: 120_000 }, async () => {
  renameSync(source(), `${source()}.gone`);
  const failing = await stack.start('backup', { target: 'media' });
  await expect(stack.resultOf(failing)).rejects.toMatchObject({ code: 'sourceUnreachable' });
  renameSync(`${source()}.gone`, source());
  const span = await seen(failing.workflowId);
  expect(span.status).toEqual({ code: 2, message: expect.stringContaining('cannot be looked at') as string });
  expect(fact(span, 'error.type')).toBe('sourceUnreachable');

  stack.arm({ activity: 'dumpBackup', when: 'before', hold: true });
  const held = await stack.start('backup', { target: 'media' });
  await stack.reached();
  const { client } = await stack.client();
  await client.workflow.getHandle('op/media').terminate('by hand');
  stack.release();
  stack.disarm();
  await expect(stack.resultOf(held)).rejects.toThrow();
  const child = await seen('op/media').then(async () => {
    for (;;) {
      const found = spans().find((each) => fact(each, 'temporal.workflow.id') === 'op/media' && fact(each, 'resurgo.run.outcome') === 'terminated');
      if (found !== undefined) return found;
      await sleep(200);
    }
  });
  expect(child.status).toEqual({ code: 2, message: 'terminated: by hand' });
  expect(spans().find((each) => each.parentSpanId === child.spanId && each.name === 'dumpBackup')?.status).toMatchObject({ code: 2 });
});

test('O3 what ended while the collector was away, or the worker, comes later; what it will never take does not hold up the rest', { timeout: 240_000 }, async () => {
  sink.answers.push(...Array.from({ length: 3 }, () => ({ status: 503 })));
  const away = await stack.start('backup', { target: 'media' });
  await stack.resultOf(away);
  while (sink.answers.length > 1) await sleep(50);
  await stack.stopWorker('SIGKILL');
  const before = sink.received.length;
  await stack.startWorker();
  await seen(away.workflowId);
  for (;;) {
    if (sink.received.slice(before).some(({ body }) => body.includes(away.workflowId)) && sink.answers.length === 0) break;
    await sleep(100);
  }

  sink.answers.push({ status: 400, body: 'bad data' });
  const refused = await stack.start('backup', { target: 'media' });
  await stack.resultOf(refused);
  await seen(refused.workflowId);
  const next = await stack.start('backup', { target: 'media' });
  await stack.resultOf(next);
  await seen(next.workflowId);
  const handle = (await stack.client()).client.workflow.getHandle('traces');
  expect((await handle.describe()).status.name).toBe('RUNNING');
});
