import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createSilence, type AddressInfo, type Server as Silence } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IncidentView } from '../../domain/incident.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { runCli, type CliRun } from '../support/run-cli.ts';
import { alertmanagerBody, postAlerts, until } from '../support/alerts.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

const token = 'a-token-that-is-long-enough';
const auth = { authorization: `Bearer ${token}` };
let work: TempDir;
let stack: Stack;
let gateways: TestGateway[];
let web: Server | undefined;
let webPort: number;
let dark: Silence | undefined;

const log = (name: string): string => join(work.path, name);
const lines = (name: string): number => (existsSync(log(name)) ? readFileSync(log(name), 'utf8').split('\n').filter(Boolean).length : 0);
const append = (name: string) => ({ id: 'run', uses: 'exec', with: { command: ['/bin/sh', '-c', `echo x >> ${log(name)}`] } });

beforeAll(async () => {
  work = tempDir('incident-plans');
  webPort = await freePort();
  // Takes connections and never says a word.
  dark = createSilence(() => undefined);
  await new Promise<void>((resolve) => dark?.listen(0, '127.0.0.1', resolve));
  const darkPort = (dark.address() as AddressInfo).port;
  stack = await startStack({
    targets: { dark: { type: 'postgres', engine: 'logical', connection: `postgres://nobody@127.0.0.1:${String(darkPort)}/x` }, store: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/store' }, shop: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/shop' } },
    sections: {
      plans: {
        'restart-api': { steps: [append('restarted')] },
        broken: { steps: [{ id: 'run', uses: 'exec', with: { command: ['/bin/false'] } }] },
        'also-broken': { steps: [{ id: 'run', uses: 'exec', with: { command: ['/bin/sh', '-c', `echo x >> ${log('tried')}; exit 1`] } }] },
        careful: { steps: [append('careful')] },
        data: { steps: [append('data')] },
        wipe: { steps: [append('wipe')] },
        safe: { steps: [append('safe')] },
        slow: { steps: [append('slow'), { id: 'sleep', uses: 'wait', with: { for: '5s' }, needs: ['run'] }] },
        about: { steps: [{ id: 'run', uses: 'exec', with: { command: ['/bin/sh', '-c', 'echo ${{ incident.service }} ${{ target }} >> "$0"', log('about')] } }] },
        'start-web': { steps: [{ id: 'start', uses: 'exec', with: { command: ['/bin/sh', '-c', `touch ${log('web-wanted')}`] } }] },
      },
      approvers: { ann: { token: 'anns-own-token-of-24-chars' }, bob: { token: 'bobs-own-token-of-24-chars' } },
      webhooks: [{
        name: 'am', format: 'alertmanager', token, rules: [
          { match: { service: 'api' }, plan: 'restart-api', target: 'api' }, { match: { service: 'hopeless' }, plan: ['broken', 'also-broken'] }, { match: { service: 'bank' }, plan: 'careful', approval: 'always' },
          { match: { alertname: 'Wipe' }, plan: 'wipe', approval: 'always' }, { match: { alertname: 'Safe' }, plan: 'safe' }, { match: { alertname: 'NoPlan' } },
          { match: { alertname: 'SlowA' }, plan: 'slow' }, { match: { alertname: 'ByDamage' }, plans: { full: 'wipe', data: 'data', partial: 'safe' }, scenario: 'partial' },
          { match: { alertname: 'About' }, plan: 'about', target: 'store' }, { match: { alertname: 'Black' }, target: 'store' }, { match: { alertname: 'Dark' }, target: 'dark', plans: { full: 'wipe', data: 'wipe', partial: 'wipe' } },
          { match: { service: 'lost' }, target: 'shop', plans: { full: 'restart-api', data: 'data', partial: 'careful' }, scenario: 'data' },
        ],
      }, { name: 'any', format: 'generic', token, map: { name: 'name', status: 'status', service: 'service' }, rules: [{ match: { service: 'plain' }, plan: 'safe' }] }],
      monitors: [{ name: 'web', http: { url: `http://127.0.0.1:${String(webPort)}/`, status: 200 }, every: '300ms', failures: 2, plan: 'start-web' }],
      incidents: { cooldown: '1s', maxFailures: 2, confirm: '60s' },
    },
  });
  web = createServer((_, response) => response.end('ok'));
  await new Promise<void>((resolve) => web?.listen(webPort, '127.0.0.1', resolve));
  await stack.startWorker();
  const temporal = { connection: { address: stack.temporal.address }, namespace: 'default' };
  gateways = [await startGateway({ configPath: stack.configPath, temporal, recentMs: 0 }), await startGateway({ configPath: stack.configPath, temporal, recentMs: 0 })];
});

afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  await stack.stop();
  web?.closeAllConnections();
  web?.close();
  dark?.close();
  await work.stop();
});

const cli = (...args: string[]): Promise<CliRun> => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
async function show(service: string): Promise<IncidentView> {
  const { client } = await stack.client();
  for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'incident' AND ExecutionStatus = 'Running'` })) {
    const view = await client.workflow.getHandle(workflowId).query<IncidentView | null>('incident');
    if (view?.service === service) return view;
  }
  throw new Error(`no incident of ${service}`);
}
const send = (body: string, gateway = gateways[0]): Promise<Response> => postAlerts(gateway?.url ?? '', 'am', body, auth);

describe('T3 I2 I4 incidents run plans', () => {
  test('one alert, delivered 60 times by two gateways: one incident, one plan run; it ends when the alert does', async () => {
    const body = alertmanagerBody({ name: 'ApiDown', labels: { service: 'api' } });
    const answers = await Promise.all(Array.from({ length: 60 }, async (_, i) => (await send(body, gateways[i % 2])).status));
    expect(new Set(answers)).toEqual(new Set([202]));
    const ran = await until(() => show('api'), (view) => view.stage === 'confirm');
    expect(ran).toMatchObject({ status: 'mitigating', target: 'api', attempts: [{ plan: 'restart-api', status: 'completed' }] });
    await send(alertmanagerBody({ name: 'ApiDown', labels: { service: 'api' }, status: 'resolved' }));
    const after = await until(() => show('api'), (view) => view.status === 'resolved');
    expect(after.resolution).toBe('the alert ended');
    expect(lines('restarted')).toBe(1);
    const evidence = await until(async () => (await cli('evidence', 'list', '--json')).stdout, (text) => text.includes(after.id));
    expect(evidence).toContain('incident');
  });

  test('plans that fail: the next is tried, then people are asked; too many failures stop automatic runs until a person re-arms', async () => {
    await send(alertmanagerBody({ name: 'Hopeless', labels: { service: 'hopeless', severity: 'medium' } }));
    const given = await until(() => show('hopeless'), (view) => view.stage === 'people');
    expect(given).toMatchObject({ severity: 'critical', automatic: { armed: false, failures: 2 }, attempts: [{ plan: 'broken', status: expect.not.stringContaining('completed') }, { plan: 'also-broken' }] });
    expect(given.timeline.map((entry) => entry.event)).toEqual(expect.arrayContaining(['detected', 'started', 'failed', 'disarmed', 'handover']));
    expect((await cli('incident', 'resolve', 'hopeless', '--as', 'ann', '--note', 'mended by hand', '--json')).json()).toMatchObject({ status: 'resolved' });
    await send(alertmanagerBody({ name: 'Hopeless', labels: { service: 'hopeless' }, startsAt: '2026-11-25T22:00:00.000Z' }));
    const second = await until(() => show('hopeless'), (view) => view.id !== given.id && view.stage === 'people');
    expect(second.attempts).toEqual([]);
    expect(second.timeline.at(-1)?.text).toContain('stopped after 2 failed recoveries');
    expect((await cli('incident', 'retry', second.id, '--plan', 'nonsense')).exitCode).toBe(2);
    expect((await cli('incident', 'rearm', second.id)).exitCode).toBe(0);
    expect((await cli('incident', 'retry', second.id, '--plan', 'restart-api')).exitCode).toBe(0);
    await until(() => show('hopeless'), (view) => view.attempts.length === 1 && view.automatic.armed);
    expect(lines('tried')).toBe(1);
  });

  test('a plan that waits for approval runs when an approver proves it, for the preview that was looked at; and the scenario chooses the plan', async () => {
    await send(alertmanagerBody({ name: 'Bank', labels: { service: 'bank' } }, { name: 'Lost', labels: { service: 'lost' } }));
    const waiting = await until(() => show('bank'), (view) => view.approval !== null);
    expect(waiting.approval).toMatchObject({ plan: 'careful', needed: 1, hash: expect.stringMatching(/^[0-9a-f]{16}/) });
    const approve = (env: Record<string, string>, ...args: string[]): Promise<CliRun> => runCli(['incident', 'approve', 'bank', ...args, '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address, ...env } });
    expect(await approve({}, '--as', 'ann')).toMatchObject({ exitCode: 2 });
    expect(await approve({ RESURGO_APPROVER_TOKEN: 'bobs-own-token-of-24-chars' }, '--as', 'ann')).toMatchObject({ exitCode: 3 });
    expect(await approve({ RESURGO_APPROVER_TOKEN: 'anns-own-token-of-24-chars' }, '--as', 'ann', '--hash', 'ffffffffffff')).toMatchObject({ exitCode: 3 });
    expect(lines('careful')).toBe(0);
    const good = await approve({ RESURGO_APPROVER_TOKEN: 'anns-own-token-of-24-chars' }, '--as', 'ann', '--hash', waiting.approval?.hash?.slice(0, 12) ?? '');
    expect(good, good.stderr).toMatchObject({ exitCode: 0 });
    await until(() => show('bank'), (view) => view.attempts[0]?.status === 'completed');
    expect(lines('careful')).toBe(1);
    await until(() => show('lost'), (view) => view.attempts[0]?.plan === 'data');
  });

  describe('alerts that join, and people in between', () => {
    const am = (...alerts: Parameters<typeof alertmanagerBody>): Promise<Response> => send(alertmanagerBody(...alerts));
    const waiting = (service: string): Promise<IncidentView> => until(() => show(service), (view) => view.stage === 'people');

    test('a plan that an alert brings into an open incident waits for its own rule’s approval; a retry does not stand for it', async () => {
      await am({ name: 'NoPlan', labels: { service: 'j1' } });
      await waiting('j1');
      await am({ name: 'Wipe', labels: { service: 'j1' } });
      const asked = await until(() => show('j1'), (view) => view.approval !== null);
      expect(asked.approval?.plan).toBe('wipe');
      expect((await cli('incident', 'retry', asked.id, '--plan', 'wipe')).exitCode).toBe(0);
      const again = await until(() => show('j1'), (view) => view.approval !== null && view.timeline.some(({ event }) => event === 'retry'));
      expect(again.approval).toMatchObject({ plan: 'wipe', by: [] });
      expect(lines('wipe')).toBe(0);
    });

    test('after an abort nothing begins by itself', async () => {
      await am({ name: 'NoPlan', labels: { service: 'j2' } });
      const first = await waiting('j2');
      expect((await cli('incident', 'abort', first.id)).exitCode).toBe(0);
      await am({ name: 'Safe', labels: { service: 'j2' } });
      const joined = await until(() => show('j2'), (view) => view.timeline.some(({ event }) => event === 'joined'));
      expect(joined).toMatchObject({ stage: 'people', attempts: [] });
      expect((await cli('incident', 'retry', first.id)).exitCode).toBe(0);
      await until(() => show('j2'), (view) => view.attempts[0]?.plan === 'safe');
    });

    test('an abort while the damage is assessed: no plan begins after it; what goes on after a person said it was over opens the next', { timeout: 180_000 }, async () => {
      await am({ name: 'Dark', labels: { service: 'dark' } });
      const first = await until(() => show('dark'), (view) => view.status === 'investigating');
      expect((await cli('incident', 'abort', first.id)).exitCode).toBe(0);
      const after = await until(() => show('dark'), (view) => view.damage !== null || view.timeline.some(({ event }) => event === 'assessed'));
      expect(after).toMatchObject({ stage: 'people', attempts: [], approval: null, running: null });
      expect((await cli('incident', 'resolve', first.id)).exitCode).toBe(0);
      await am({ name: 'Dark', labels: { service: 'dark' } });
      const second = await until(() => show('dark'), (view) => view.id !== first.id);
      expect((await cli('incident', 'abort', second.id)).exitCode).toBe(0);
    });

    test('one ends and another begins in one delivery: the incident goes on with it', async () => {
      await am({ name: 'NoPlan', labels: { service: 'j3' } });
      const first = await waiting('j3');
      await am({ name: 'NoPlan', labels: { service: 'j3' }, status: 'resolved' }, { name: 'Safe', labels: { service: 'j3' } });
      const on = await until(() => show('j3'), (view) => view.attempts.length === 1);
      expect(on).toMatchObject({ id: first.id, attempts: [{ plan: 'safe' }] });
      expect(on.status).not.toBe('resolved');
    });

    test('an alert that comes while a resolved incident is being put away opens the next one', async () => {
      // Its damage is assessed meanwhile: the database does not answer.
      await am({ name: 'Black', labels: { service: 'store' } });
      const first = await until(() => show('store'), Boolean);
      await am({ name: 'Black', labels: { service: 'store' }, status: 'resolved' });
      await am({ name: 'Safe', labels: { service: 'store' } });
      const next = await until(() => show('store'), (view) => view.attempts.some(({ plan }) => plan === 'safe'));
      expect(next.alerts.filter(({ status }) => status === 'firing').map(({ name }) => name)).toEqual(['Safe']);
      expect(first.service).toBe('store');
      await am({ name: 'Safe', labels: { service: 'store' }, status: 'resolved' });
      await until(() => show('store'), (view) => view.status === 'resolved');
    });

    test('a sender without ids: what happens again after its end is news', async () => {
      const post = (status: string): Promise<Response> => postAlerts(gateways[0]?.url ?? '', 'any', JSON.stringify({ name: 'Down', service: 'plain', status }), auth);
      await post('down');
      const first = await until(() => show('plain'), (view) => view.stage === 'confirm');
      await post('down');
      await post('up');
      await until(() => show('plain'), (view) => view.status === 'resolved');
      await post('down');
      const second = await until(() => show('plain'), (view) => view.id !== first.id && view.attempts.length === 1);
      expect(second.repeats).toBe(0);
      await post('up');
    });

    test('plans by damage of an alert that joins are chosen from, and its target is the incident’s', async () => {
      await am({ name: 'NoPlan', labels: { service: 'j5' } });
      await waiting('j5');
      await am({ name: 'ByDamage', labels: { service: 'j5' } });
      await until(() => show('j5'), (view) => view.attempts[0]?.plan === 'safe');
      // Not yet a target, only a name.
      await am({ name: 'NoPlan', labels: { service: 'store' } });
      await until(() => show('store'), (view) => view.status !== 'resolved' && view.stage === 'people');
      await am({ name: 'About', labels: { service: 'store' } });
      await until(() => show('store'), (view) => view.attempts[0]?.status === 'completed');
      expect(readFileSync(log('about'), 'utf8')).toBe('store store\n');
    });

    test('two services that need the same plan: each gets its run, one after the other', { timeout: 180_000 }, async () => {
      await am({ name: 'SlowA', labels: { service: 'r1' } }, { name: 'SlowA', labels: { service: 'r2' } });
      await until(() => show('r1'), (view) => view.attempts.some(({ status }) => status === 'completed'));
      const second = await until(() => show('r2'), (view) => view.attempts.some(({ status }) => status === 'completed'));
      expect(lines('slow')).toBe(2);
      expect(second.automatic.failures).toBe(0);
    });
  });

  test('I1 a monitor sees a service that is down, a plan starts it, the monitor says it is well', async () => {
    await until(async () => (await cli('monitor', 'status', '--json')).exitCode, (code) => code === 0);
    rmSync(log('web-wanted'), { force: true });
    web?.closeAllConnections();
    await new Promise<void>((resolve) => web?.close(() => { resolve(); }));
    const started = (async (): Promise<void> => {
      await until(async () => existsSync(log('web-wanted')), Boolean);
      web = createServer((_, response) => response.end('ok'));
      await new Promise<void>((resolve) => web?.listen(webPort, '127.0.0.1', resolve));
    })();
    const seen = await until(() => show('web'), (view) => view.attempts.length === 1);
    expect(seen).toMatchObject({ source: 'monitor/web', severity: 'high', conditions: [{ metric: 'web reachable' }], attempts: [{ plan: 'start-web', status: 'completed' }] });
    await started;
    const over = await until(() => show('web'), (view) => view.status === 'resolved');
    expect(over.resolution).toMatch(/the alert ended|plan start-web completed/);
    writeFileSync(log('done'), '');
  });
});
