import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge } from '../../../activities/assess-damage.ts';
import { rulesOfMonitor } from '../../../config/monitor-rules.ts';
import { parseConfig } from '../../../config/load.ts';
import { fallbackPlan } from '../../../domain/default-rules.ts';
import { startState, step, type MonitorEvent, type Observation, type Rule } from '../../../domain/monitor.ts';
import { recipient } from '../config/bad-configs.ts';

const rule: Rule = { id: 'cpu', metric: 'cpu', severity: 'high', states: true, failures: 3, recoveries: 2, unknownAfterMs: 30_000 };
/** Events of observations one second apart, as `<second>:<event>`. */
function play(given: Rule, ...seen: (Partial<Observation> | number | 'bad' | 'unknown')[]): string[] {
  let state = startState(0);
  return seen.flatMap((each, i) => {
    const at = i * 1000;
    const observation: Observation = { at, state: 'ok', value: null, detail: '', ...(typeof each === 'number' ? { value: each } : typeof each === 'string' ? { state: each } : each) };
    const made = step(given, state, observation);
    state = made.state;
    return made.event === undefined ? [] : [`${String(i)}:${made.event}`];
  });
}

describe('I1 monitors', () => {
  test('so many times in a row, and over after so many good ones', () => {
    expect(play(rule, {}, 'bad', 'bad', {}, 'bad', 'bad', 'bad', 'bad', {}, 'bad', {}, {}, {})).toEqual(['0:started healthy', '6:firing', '11:resolved']);
  });

  test('for a duration; average over a window; hysteresis', () => {
    const slow: Rule = { ...rule, above: 90, failures: 1, forMs: 3000 };
    expect(play(slow, 95, 95, 80, 95, 95, 95, 95, 80, 80)).toEqual(['2:started healthy', '6:firing', '8:resolved']);
    const window: Rule = { ...rule, above: 90, failures: 1, windowMs: 3000 };
    expect(play(window, 10, 100, 100, 100, 100, 100)).toEqual(['0:started healthy', '4:firing']);
    const sticky: Rule = { ...rule, above: 90, clear: 70, failures: 1, recoveries: 1 };
    expect(play(sticky, 95, 85, 75, 65, 85, 95)).toEqual(['0:firing', '3:resolved', '5:firing']);
    const below: Rule = { ...rule, below: 10, clear: 20, failures: 1, recoveries: 1 };
    expect(play(below, 5, 15, 25)).toEqual(['0:firing', '2:resolved']);
  });

  test('what cannot be observed is neither healthy nor broken: told once, ends no breach, begins none', () => {
    const blind: Rule = { ...rule, failures: 2, unknownAfterMs: 2000 };
    expect(play(blind, {}, 'unknown', 'unknown', 'unknown', 'unknown', {})).toEqual(['0:started healthy', '3:unknown', '5:observing']);
    expect(play(blind, 'bad', 'bad', 'unknown', 'unknown', 'unknown', 'unknown', {}, {})).toEqual(['1:firing', '4:unknown', '6:observing', '7:resolved']);
    expect(play(blind, 'bad', 'unknown', 'bad')).toEqual([]);
  });

  test('planned work begins no breach and ends none', () => {
    const work = { working: true };
    expect(play({ ...rule, failures: 2 }, {}, work, work, 'bad', work, 'bad', 'bad', work, work, work, {}, work, {}, {})).toEqual(['0:started healthy', '6:firing', '13:resolved']);
  });

  test('the first good look is told, also after others: an earlier watch may have left an incident open', () => {
    expect(play(rule, 'unknown', {}, {})).toEqual(['1:started healthy']);
    expect(play(rule, 'bad', 'bad', { working: true }, {}, {})).toEqual(['3:started healthy']);
    expect(play({ ...rule, unknownAfterMs: 1000 }, 'unknown', 'unknown', {}, {}, {})).toEqual(['1:unknown', '2:observing', '3:started healthy']);
    expect(play({ ...rule, above: 90, clear: 70 }, 80, 80, 60)).toEqual(['2:started healthy']);
  });

  test('firing and resolved take turns, whatever is seen', () => {
    const seen = fc.oneof(fc.constant('bad' as const), fc.constant('unknown' as const), fc.integer({ min: 0, max: 100 }));
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 200 }), fc.record({ failures: fc.integer({ min: 1, max: 4 }), recoveries: fc.integer({ min: 1, max: 4 }), forMs: fc.integer({ min: 0, max: 5000 }) }), (all, changed) => {
        const events = play({ ...rule, above: 50, ...changed, unknownAfterMs: 3000 }, ...all).map((each) => each.split(':')[1] as MonitorEvent).filter((event) => event === 'firing' || event === 'resolved');
        events.forEach((event, i) => { expect(event).toBe(i % 2 === 0 ? 'firing' : 'resolved'); });
      }),
    );
  });

  test('defaults of each kind', () => {
    const monitors = [
      { name: 'web', http: 'http://127.0.0.1:1/' }, { name: 'db', postgres: { connection: 'postgres://a@b/c' } }, { name: 'cpu', host: 'cpu' }, { name: 'mem', host: 'memory' }, { name: 'disk', host: 'disk' },
      { name: 'tasks', ecs: { cluster: 'p', service: 'api' }, every: '15s' }, { name: 'rds', rds: { instance: 'x' } }, { name: 'r53', route53: { healthCheck: 'h' } }, { name: 'err', prometheus: { url: 'http://p:9090', query: 'x' }, above: 0.1, for: '5m' },
    ];
    const { monitors: parsed = [] } = parseConfig(JSON.stringify({ version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: '/b' } }, targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://a@b/c' } }, monitors }), { shown: 'x', dir: '/', env: {} });
    const rules = parsed.flatMap(rulesOfMonitor).map(({ id, severity, above, forMs, failures }) => [id, severity, above ?? null, forMs ?? null, failures].join(' '));
    expect(rules).toEqual([
      'web high   3', 'web/slow high 2000 300000 2', 'db critical   3', 'cpu high 90 300000 2', 'mem high 85 300000 2', 'mem/critical critical 90 300000 2', 'disk critical 95 300000 2', 'tasks high   3', 'rds critical   3', 'r53 high   3', 'err high 0.1 300000 1',
    ]);
  });
});

test('I4 default rules: only one that says what it is about, never a guess', () => {
  const plans = [
    { name: 'restart-api', steps: [{ uses: 'service.restart', with: { name: 'api' } }] }, { name: 'restart-web', steps: [{ uses: 'service.restart', with: { name: 'web' } }] },
    { name: 'over', steps: [{ uses: 'postgres.failover', with: { target: 'shop' } }] }, { name: 'over2', steps: [{ uses: 'rds.failover', with: { instance: 'led' } }] }, { name: 'over3', steps: [{ uses: 'rds.failover', with: { instance: 'led' } }] },
  ];
  const of = (type: 'service' | 'database' | 'network' | 'host', service: string, target: string | null = null): string | null => fallbackPlan(plans, { type, service, target }).plan;
  expect([of('service', 'api'), of('service', 'other'), of('database', 'x', 'shop'), of('database', 'led'), of('host', 'api'), of('network', 'api')]).toEqual(['restart-api', null, 'over', null, null, null]);
});

test('I8 total loss → full, damaged data → data, else partial', () => {
  const part = (name: 'database' | 'storage' | 'network' | 'backups', state: 'ok' | 'lost' | 'damaged' | 'degraded' | 'unknown') => ({ part: name, state, detail: `${name} ${state}` });
  const scenario = (...parts: ReturnType<typeof part>[]): string => judge(parts).scenario;
  expect(scenario(part('database', 'lost'), part('storage', 'lost'), part('network', 'ok'), part('backups', 'ok'))).toBe('full');
  expect(scenario(part('database', 'lost'), part('storage', 'unknown'), part('network', 'lost'), part('backups', 'ok'))).toBe('full');
  expect(scenario(part('database', 'damaged'), part('storage', 'lost'), part('network', 'lost'), part('backups', 'ok'))).toBe('data');
  expect(scenario(part('database', 'lost'), part('storage', 'ok'), part('network', 'ok'), part('backups', 'lost'))).toBe('partial');
  expect(scenario(part('database', 'unknown'), part('storage', 'unknown'), part('network', 'unknown'), part('backups', 'unknown'))).toBe('partial');
  const why = (...parts: ReturnType<typeof part>[]): string => judge(parts).why;
  expect(why(part('database', 'ok'), part('storage', 'unknown')), 'what was not seen is no damage').toBe('everything that was looked at answers (not seen: storage: storage unknown)');
  expect(why(part('database', 'degraded'), part('storage', 'unknown'))).toBe('database: database degraded');
  expect(why(part('database', 'unknown'))).toBe('nothing could be looked at (not seen: database: database unknown)');
});
