import { afterEach, describe, expect, test } from 'vitest';
import type { FastifyInstance } from 'fastify';
import type { BoardFacts } from '../../../client/gateway/board/facts.ts';
import { boardBody, boardPage } from '../../../client/gateway/board/page.ts';
import { board } from '../../../client/gateway/board/plugin.ts';
import { createGateway } from '../../../client/gateway/server.ts';
import type { GatewayOptions } from '../../../client/gateway/server.ts';
import type { TargetStatus } from '../../../client/status/judge.ts';

const target = (name: string, more: Partial<TargetStatus> = {}): TargetStatus => ({
  name, rpoMs: 60_000, objectives: { rpoMs: 3_600_000 }, newestVerifiedBackup: 'abc', lastDrill: null, schedules: null, health: [], problems: [],
  newest: { id: 'abc', kind: 'full', startedAt: '2026-11-21T11:00:00Z', endedAt: '2026-11-21T11:01:00Z', durationMs: 60_000, engine: 'physical', sourceBytes: 1000, repositories: ['local'] }, ...more,
});
const facts = (more: Partial<BoardFacts> = {}, targets: TargetStatus[] = [target('shop')]): BoardFacts => ({
  schemaVersion: 1, at: '2026-11-21T12:00:00Z', runs: [], incidents: [], plans: [], drills: [], unknown: [], evaluations: null,
  status: { schemaVersion: 1, at: '2026-11-21T12:00:00Z', targets, incidents: [], repositories: [{ name: 'local', status: 'ok' }], pings: [], temporal: { reachable: true } }, ...more,
});

let app: FastifyInstance | undefined;
afterEach(async () => { await app?.close(); });
const serve = async (options: Parameters<typeof board>[0]): Promise<FastifyInstance> => {
  app = await createGateway({ webhooks: [], isUp: async () => true, plugins: [board(options)], submit: async () => { throw new Error('not here'); }, env: {}, recentMs: 1000 } as unknown as GatewayOptions);
  return app;
};

describe('O2 board', () => {
  test('says good only of what is known to be good', () => {
    expect(boardBody(facts())).toContain('Everything can be recovered as promised');
    expect(boardBody(facts({ unknown: ['incidents: no answer'] }))).toContain('Recoverable, with warnings');
    expect(boardBody(facts({}, [target('shop', { problems: [{ code: 'rpo', severity: 'objective', message: 'too old' }] })]))).toContain('Not everything can be recovered');
    expect(boardBody(facts({}, [target('shop', { rpoMs: null, newest: null, problems: [{ code: 'noBackup', severity: 'objective', message: 'none' }] })]))).toContain('unknown');
  });
  test('I11 plans that would not work are named, with what is wrong', () => {
    const body = boardBody(facts({ evaluations: { schemaVersion: 1, at: '2026-11-21T11:30:00Z', plans: [
      { plan: 'fine', status: 'ready', at: '2026-11-21T11:30:00Z', configHash: '', problems: [], steps: [{ step: 'a', outcome: 'ok', detail: 'yes' }] },
      { plan: 'bad<plan', status: 'would fail', at: '2026-11-21T11:30:00Z', configHash: '', problems: [], steps: [{ step: 'dns', outcome: 'failed', detail: 'key is wrong' }] },
    ] } }));
    expect(body).toContain('bad&lt;plan');
    expect(body).toContain('dns: key is wrong');
    expect(body).toContain('2026-11-21 11:30');
    expect(boardBody(facts())).not.toContain('what would not work');
  });
  test('what comes from outside is text, never markup', () => {
    const evil = '<img src=x onerror=alert(1)>"\'';
    const page = boardPage(facts({ unknown: [evil], runs: [{ workflowId: evil, type: 'backup', startedAt: '2026-11-21T11:00:00Z', summary: evil, steps: [{ name: evil, state: 'failed', detail: evil }] }] }, [target(evil, { problems: [{ code: 'slow', severity: 'warning', message: evil }] })]), 'nonce');
    expect(page).not.toContain('<img');
  });
  test('is served with a policy that runs nothing else, as page, part and JSON', async () => {
    const server = await serve({ facts: async () => facts() });
    const page = await server.inject({ url: '/' });
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'nonce-/);
    expect((await server.inject({ url: '/board' })).body).toContain('shop');
    expect((await server.inject({ url: '/api/board' })).json()).toMatchObject({ status: { targets: [{ name: 'shop' }] } });
  });
  test('others than loopback need the token; with a token everybody does', async () => {
    const open = await serve({ facts: async () => facts() });
    expect((await open.inject({ url: '/', remoteAddress: '10.0.0.9' })).statusCode).toBe(404);
    await open.close();
    const closed = await serve({ facts: async () => facts(), token: { env: 'BOARD' }, env: { BOARD: 'a-long-enough-token' } });
    expect((await closed.inject({ url: '/' })).statusCode).toBe(401);
    expect((await closed.inject({ url: '/', headers: { authorization: 'Bearer wrong' } })).statusCode).toBe(401);
    expect((await closed.inject({ url: '/', headers: { authorization: 'Bearer a-long-enough-token' } })).statusCode).toBe(200);
    expect((await closed.inject({ url: '/', headers: { authorization: `Basic ${Buffer.from('me:a-long-enough-token').toString('base64')}` } })).statusCode).toBe(200);
  });
});

describe('O3 metrics', () => {
  test('health of every target; what is gone is gone; a source that fails does not break the scrape', async () => {
    let current: () => Promise<BoardFacts> = async () => facts({ drills: [{ id: 'd', target: 'shop', at: '2026-11-20T00:00:00Z', status: 'passed', title: '' }] }, [target('shop', { problems: [{ code: 'slow', severity: 'warning', message: 'x' }] })]);
    const server = await serve({ facts: () => current() });
    const scrape = async (): Promise<string> => (await server.inject({ url: '/metrics' })).body;
    const first = await scrape();
    for (const line of ['resurgo_rpo_seconds{target="shop"} 60', 'resurgo_target_ready{target="shop"} 1', 'resurgo_target_problems{target="shop",code="slow",severity="warning"} 1', 'resurgo_repository_up{repository="local"} 1', 'resurgo_drill_passed{target="shop"} 1']) expect(first).toContain(line);
    current = async () => facts({}, [target('orders', { rpoMs: null, newest: null, problems: [{ code: 'noBackup', severity: 'objective', message: 'x' }] })]);
    const second = await scrape();
    expect(second).not.toContain('target="shop"');
    expect(second).not.toContain('resurgo_rpo_seconds{');
    expect(second).toContain('resurgo_target_ready{target="orders"} 0');
    current = async () => Promise.reject(new Error('no'));
    expect((await server.inject({ url: '/metrics' })).statusCode).toBe(200);
  });
});
