import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gatherEvidence, showEvidence, verifyAllEvidence } from '../../client/evidence.ts';
import type { GameDayResult } from '../../domain/gameday.ts';
import { startGameDayStack, type GameDayStack } from '../support/gameday-stack.ts';
import type { Stack } from '../support/stack.ts';

let day: GameDayStack;
let stack: Stack;

beforeAll(async () => {
  day = await startGameDayStack();
  ({ stack } = day);
}, 300_000);
afterAll(() => day.stop());

const ways = (result: GameDayResult): Record<string, string> => Object.fromEntries(result.steps.map((step) => [step.id, step.way]));

// Every disaster, and death and cancel of a game day: test/soak/gamedays.test.ts.
describe('D2 game days', () => {
  test('D2 a table is dropped in a sandbox; the plan restores it there, what would reach production is only looked at; evidence, nothing left', async () => {
    const before = day.repository();
    const run = await day.cli('gameday', 'recover', '--json');
    expect(run.exitCode, run.stderr + run.stdout).toBe(0);
    const result = run.json() as GameDayResult;
    expect(result.checks.filter((check) => check.outcome === 'failed')).toEqual([]);
    expect(result).toMatchObject({ status: 'passed', plan: 'recover', target: 'shop', planStatus: 'completed', disaster: { kind: 'table-dropped', table: 'orders' }, rpoMs: 0, rpoBasis: 'marker', missed: [], simulated: ['tell-cdn'], cleanedUp: true });
    expect(ways(result)).toEqual({ 'tell-cdn': 'simulated', restore: 'sandbox', flush: 'real', ask: 'sandbox', pause: 'sandbox' });
    expect(result.rtoMs).toBeGreaterThan(0);
    expect(result.phases.find((phase) => phase.phase === 'the disaster')?.detail).toContain('public.orders with 5,000 rows is dropped');
    expect(result.checks.map((check) => check.name)).toEqual(expect.arrayContaining(['the database answers after the plan', 'all orders', 'integrity (quick)']));
    // Only the step that the configuration calls safe ran, and it was told the sandbox; no hook of production did.
    expect(day.touched()).toEqual([expect.stringMatching(/^flush postgres:\/\/\/shop\?host=.*resurgo-drill-/)]);
    expect(result.recommendations.join('\n')).toContain('Only looked at, not done, because it would have reached production: tell-cdn (exec)');
    expect(day.repository()).toEqual(before);
    await day.nothingLeft();
    const shown = await showEvidence(stack.loaded, result.id, join(stack.dir, 'page.html'));
    expect(shown).toMatchObject({ kind: 'gameday', target: 'shop', status: 'passed', document: { facts: { simulated: ['tell-cdn'], disasterKind: 'table-dropped' } } });
    expect(readFileSync(join(stack.dir, 'page.html'), 'utf8')).toContain('tell-cdn');
    expect((await gatherEvidence(stack.loaded, { kind: 'plan' })).evidence).toEqual([]);
  });

  test('D2 a logical target: a restore of it is done in the sandbox, one of another target is not', async () => {
    const result = await stack.run('gameday', { plan: 'recover-orders', target: 'orders', disaster: { kind: 'table-dropped', table: 'orders' } });
    expect(result.checks.filter((check) => check.outcome === 'failed'), JSON.stringify(result.phases)).toEqual([]);
    expect(result, JSON.stringify(result.error ?? result.steps)).toMatchObject({ status: 'passed', simulated: ['elsewhere'], cleanedUp: true });
    await day.nothingLeft();
  });

  test('D2 a plan that does not bring it back, and one that fails, fail the game day with reasons; exit code 6', async () => {
    const useless = await day.cli('gameday', 'useless', '--target', 'shop', '--disaster', 'rows-deleted', '--table', 'orders');
    if (process.env['SHOW'] !== undefined) process.stdout.write(useless.stdout + useless.stderr);
    expect(useless.exitCode, useless.stderr).toBe(6);
    expect(useless.stdout).toMatch(/^game day of plan useless on shop FAILED: rows are deleted \(orders\)/m);
    expect(useless.stdout).toMatch(/recovery +not measured/);
    expect(useless.stdout).toMatch(/^look +exec +completed +simulated/m);
    expect(useless.stdout).toMatch(/"all orders" failed after the plan[^]*No step of the plan did anything to the sandbox/);
    expect(useless.stdout).toContain('the sandbox is removed; production was only read');
    const run = await day.cli('drill', 'broken', '--target', 'shop', '--disaster', 'server-stopped', '--json');
    expect(run.exitCode, run.stderr).toBe(6);
    const broken = run.json() as GameDayResult;
    expect(broken).toMatchObject({ status: 'failed', rtoMs: null, cleanedUp: true, evidence: expect.any(String) });
    expect(broken.steps.map((step) => step.status)).toEqual(['compensated', 'failed']);
    expect(broken.recommendations[0]).toContain('The plan failed at fail');
    expect(day.touched().filter((line) => !line.startsWith('flush'))).toEqual([]);
    await day.nothingLeft();
  });

  test('D2 what cannot be tried is refused before anything is built', async () => {
    const refused = async (input: object): Promise<unknown> => stack.run('gameday', input as never).then(() => 'it ran', (error: unknown) => error);
    expect(await refused({ plan: 'useless' })).toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('on which target?') as string });
    expect(await refused({ plan: 'useless', target: 'shop' })).toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('which disaster?') as string });
    expect(await refused({ plan: 'useless', target: 'shop', disaster: { kind: 'table-dropped' } })).toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('needs a table') as string });
    expect(await refused({ plan: 'useless', target: 'media', disaster: { kind: 'data-lost' } })).toMatchObject({ code: 'unsupported' });
    expect(await refused({ plan: 'nope', target: 'shop', disaster: { kind: 'data-lost' } })).toMatchObject({ code: 'planUnknown' });
    expect(await refused({ plan: 'useless', target: 'shop', disaster: { kind: 'earthquake' } })).toMatchObject({ code: 'inputInvalid' });
    expect(await verifyAllEvidence(stack.loaded)).toMatchObject({ status: 'verified', problems: [] });
    await day.nothingLeft();
  });

  // Last: from here on every backup of shop has a tablespace.
  test('D2 a database with tablespaces is refused when its backup is known, before it is fetched', async () => {
    const place = join(day.server.socketDir, 'space');
    mkdirSync(place, { mode: 0o700 });
    if (day.server.runAs !== undefined) chownSync(place, day.server.runAs.uid, day.server.runAs.gid);
    await day.server.sql('shop', `create tablespace space location '${place}'`);
    await stack.run('backup', { target: 'shop' });
    const result = await stack.run('gameday', { plan: 'useless', target: 'shop', disaster: { kind: 'data-lost' } });
    expect(result).toMatchObject({ status: 'failed', error: { code: 'unsupported', message: expect.stringContaining('shop has tablespaces') as string } });
    expect(result.phases.map(({ phase }) => phase)).not.toContain('build the sandbox');
    await day.nothingLeft();
  });
});
