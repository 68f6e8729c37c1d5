import { describe, expect, test } from 'vitest';
import { evidenceOf } from '../../../domain/plan/evidence.ts';
import type { PlanResult, PlanStepResult } from '../../../domain/plan/result.ts';
import { gameDayAdvice } from '../../../domain/gameday-evidence.ts';
import { realMark, simulatedMark, stepOf } from '../../../domain/gameday.ts';

const at = (seconds: number): string => new Date(Date.UTC(2026, 10, 26, 2, 0, seconds)).toISOString();
const step = (id: string, from: number, seconds: number, more: Partial<PlanStepResult> = {}): PlanStepResult => ({ id, uses: 'exec', status: 'completed', critical: true, durationMs: seconds * 1000, attempts: 1, startedAt: at(from), effect: 'converge', summary: `${id} done`, ...more });
const result = (...steps: PlanStepResult[]): PlanResult => ({
  schemaVersion: 1, id: 'r', plan: 'p', target: 'shop', mode: 'graceful', scenario: null, strategy: null, status: 'completed', steps, compensation: [], passedPointOfNoReturn: null,
  startedAt: at(10), endedAt: at(40), durationMs: 30_000, budgets: [], incident: null, evidence: null, warnings: [], decisions: [], hash: 'h', startedBy: 'test',
});

describe('D3 times of a plan in its evidence', () => {
  test('detect, decide, act, verify add up to all of it, from the first sign to the end', () => {
    const { measured } = evidenceOf(result(step('look', 10, 2, { effect: 'none' }), step('fence', 12, 8), step('dns', 20, 5), step('check', 25, 15, { effect: 'none' })), { drivenBy: 'temporal', since: at(5), detectedAt: at(8) });
    expect(measured).toMatchObject({ detectMs: 3000, decideMs: 4000, actMs: 13_000, verifyMs: 15_000, durationMs: 30_000 });
  });
  test('what nobody noticed was not detected; a plan that changed nothing has not acted', () => {
    expect(evidenceOf(result(step('a', 11, 4)), { drivenBy: 'rescue' }).measured).toMatchObject({ detectMs: null, decideMs: 1000, actMs: 4000, verifyMs: 25_000 });
    expect(evidenceOf(result(step('a', 11, 4, { effect: 'none' })), { drivenBy: 'rescue' }).measured).toMatchObject({ detectMs: null, decideMs: null, actMs: null, verifyMs: null });
  });
});

describe('D2 what a step of a game day really did', () => {
  test('by what it tells', () => {
    expect(stepOf(step('a', 1, 1)).way).toBe('sandbox');
    expect(stepOf(step('a', 1, 1, { summary: `${simulatedMark}dns.switch x could be done` })).way).toBe('simulated');
    expect(stepOf(step('a', 1, 1, { summary: `${realMark}ended with 0` })).way).toBe('real');
    const { summary: _, ...refused } = step('a', 1, 1, { status: 'failed', error: { code: 'dnsFailed', message: `${simulatedMark}dns.switch x could NOT be done: key is wrong` } });
    expect(stepOf(refused).way).toBe('simulated');
    expect(stepOf(step('a', 1, 0, { status: 'skipped', reason: 'if: false' })).way).toBe('none');
    expect(stepOf(step('a', 1, 1, { remarks: [`http.ok: ${simulatedMark}http.ok could be done`] }))).toMatchObject({ way: 'sandbox', detail: expect.stringContaining('a done; http.ok: simulated') as string });
  });

  test('advice: what failed first; a plan that did nothing, and a service that was only looked at, are named', () => {
    const facts = { objectives: { rtoMs: 60_000, rpoMs: 60_000 }, rtoMs: 90_000, rpo: null, checks: [], planned: true, planError: undefined, planWarnings: [], compensation: [], error: undefined, left: undefined, services: [], hasFunctionChecks: true, hasMarker: true };
    const simulated = { id: 'start', uses: 'service.start', status: 'completed', durationMs: 1, way: 'simulated', detail: '' } as const;
    const advice = gameDayAdvice({ ...facts, steps: [simulated], checks: [{ group: 'function', name: 'the database answers after the plan', outcome: 'failed', detail: 'no answer' }] });
    expect(advice[0]).toContain('failed after the plan: no answer');
    expect(advice.join('\n')).toMatch(/start: services were only looked at[^]*No step of the plan did anything to the sandbox[^]*The plan took 1m 30s, 1m 00s are allowed[^]*start \(service\.start\)/);
    expect(gameDayAdvice({ ...facts, rtoMs: null, planned: false, steps: [{ ...simulated, way: 'sandbox', status: 'failed' }], planError: { code: 'restoreFailed', message: 'no backup' } })[0]).toContain('The plan failed at start: no backup');
  });
});
