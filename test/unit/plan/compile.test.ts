import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { actionsOf } from '../../../activities/actions/index.ts';
import { contextOf } from '../../support/action-context.ts';
import { evaluate, fillTemplates, type ExpressionContext } from '../../../activities/plan/expressions.ts';
import { previewPlan } from '../../../activities/plan/preview.ts';
import { findProblems } from '../../../client/plan/problems.ts';
import { loadConfig } from '../../../config/load.ts';
import { isResurgoError } from '../../../domain/errors.ts';
import { createDeps } from '../../../workers/deps.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'plans-'));
afterAll(() => { rmSync(dir, { recursive: true, force: true }); });

const head = ['version: 1', 'encryption: { passphrase: { env: PLAN_PASS } }', 'repositories: { local: { type: disk, path: ./repo } }', 'targets: { shop: { type: postgres, engine: logical, connection: "postgres://x@127.0.0.1/shop" } }'];
process.env['PLAN_PASS'] = 'a long enough phrase';

function load(text: string) {
  const file = path.join(dir, 'resurgo.yaml');
  writeFileSync(file, `${head.join('\n')}\n${text}`, { mode: 0o600 });
  const loaded = loadConfig(file);
  return { loaded, deps: createDeps(loaded, { host: 'here', searchAttributes: false }) };
}

/** `line: message` of every problem; line 5 is the first of the text given. */
async function problems(text: string): Promise<string[]> {
  const { loaded, deps } = load(text);
  return findProblems(loaded, await actionsOf(deps)).flatMap((plan) => plan.problems.map(({ line, message }) => `${String(line)}: ${message}`));
}
const plan = (...steps: string[]): string => `plans:\n  p:\n    params: { name: api }\n    steps:\n${steps.map((step) => `      - ${step}`).join('\n')}\n`;
const sleepStep = (id: string, more = ''): string => `{ id: ${id}, uses: wait, with: { for: 1s }${more} }`;

describe('I7 a plan is checked when it is loaded, with lines and suggestions', () => {
  test('a plan that uses everything is valid', async () => {
    expect(await problems(`approvers: { ann: { token: { env: A } }, bob: { token: { env: B } } }
${plan(
  '{ id: look, uses: exec, with: { command: [date], effect: none } }',
  '{ id: restart, uses: service.restart, with: { name: "${{ params.name }}" }, verify: { uses: http.ok, with: { url: "http://127.0.0.1:1/health" }, timeout: 60s }, needs: [look] }',
  '{ id: call, uses: http.call, with: { url: "http://127.0.0.1:1/x", headers: { authorization: { env: SOME_TOKEN } }, body: { at: "${{ steps.look.output.stdout }}" } }, needs: [look], if: steps.look.output.exitCode == 0, critical: false }',
  '{ id: ok, uses: approve, with: { from: [ann, bob], count: 2 }, needs: [restart, call] }',
  '{ id: sub, uses: plan, with: { plan: child, params: { x: "${{ params.name }}" } } }',
)}  child: { params: { x: { description: what } }, steps: [{ id: a, uses: exec, with: { command: [echo, "\${{ params.x }}"] }, compensate: { uses: exec, with: { command: [echo, back] } } }] }
`)).toEqual([]);
  });

  test.each<[string, string, RegExp]>([
    ['an unknown action', '{ id: a, uses: service.restrat, with: { name: x } }', /^9: "service.restrat" is no action; did you mean "service.restart"\?/],
    ['an unknown field', '{ id: a, uses: exec, with: { comand: [x] } }', /9: "comand" is not a known field; did you mean "command"\?/],
    ['a channel that is not there', '{ id: a, uses: notify, with: { subject: hi, channels: [phone] } }', /^9: "phone" is no channel of notify; there are none/],
    ['an escalation to a channel that is not there', '{ id: a, uses: approve, with: { from: [ann], escalate: [{ after: 1m, notify: [phone] }] } }', /"phone" is no channel of notify/],
    ['a missing field', '{ id: a, uses: http.ok }', /with.url is missing/],
    ['a wrong value', '{ id: a, uses: http.ok, with: { url: ftp://x } }', /^9: is not an http:\/\/ or https:\/\/ URL/],
    ['an unknown step in needs', `${sleepStep('a')}\n      - ${sleepStep('b', ', needs: [aa]')}`, /^10: "aa" is no step of this plan; did you mean "a"\?/],
    ['a circle', `${sleepStep('a', ', needs: [b]')}\n      - ${sleepStep('b', ', needs: [a]')}`, /steps wait for each other in a circle: a → b → a/],
    ['a step twice', `${sleepStep('a')}\n      - ${sleepStep('a')}`, /^10: "a" is there twice/],
    ['an unknown reference', '{ id: a, uses: exec, with: { command: ["${{ steps.nope.output.x }}"] } }', /steps\.nope: there is no such step/],
    ['a reference to a later step', `{ id: a, uses: exec, with: { command: ["\${{ steps.b.output.stdout }}"] } }\n      - { id: b, uses: exec, with: { command: [x] } }`, /steps\.b has not certainly ended by then/],
    ['an unknown output', `{ id: a, uses: exec, with: { command: [x] } }\n      - { id: b, uses: exec, with: { command: ["\${{ steps.a.output.stdot }}"] } }`, /exec has no such output; did you mean "stdout"\?/],
    ['an unknown parameter', '{ id: a, uses: exec, with: { command: ["${{ params.nam }}"] } }', /the plan has no such parameter; did you mean "name"\?/],
    ['an expression that is none', '{ id: a, uses: exec, with: { command: ["${{ 1 + }}"] } }', /\$\{\{ 1 \+ \}\}: /],
    ['a condition that is no condition', sleepStep('a', ', if: 1 + 2'), /is int, neither true nor false/],
    ['a step that is never reached', sleepStep('a', ', if: 1 > 2'), /is always false: step a is never reached/],
    ['types that do not fit', sleepStep('a', ', if: mode + 1 == 2'), /no such overload/],
    ['a regular expression', sleepStep('a', ', if: target.matches("(a+)+$")'), /matches\(\) is not available/],
    ['a verification with an effect', sleepStep('a', ', verify: { uses: service.stop, with: { name: x } }'), /changes something; a verification only looks/],
    ['retries of what happens once', '{ id: a, uses: exec, with: { command: [x] }, retries: 3 }', /must happen at most once/],
    ['an approver nobody knows', '{ id: a, uses: approve, with: { from: [ann] } }', /"ann" is none of the approvers/],
    ['an unknown child plan', '{ id: a, uses: plan, with: { plan: q } }', /"q" is no plan of this configuration/],
    ['a plan in itself', '{ id: a, uses: plan, with: { plan: p } }', /plans use each other in a circle: p → p/],
    ['a child plan that may fail', '{ id: a, uses: plan, with: { plan: p }, critical: false }', /is not possible for a child plan/],
  ])('%s', async (_, step, message) => {
    expect((await problems(plan(step))).join('\n')).toMatch(message);
  });

  test('an unknown key of a step is refused with the file itself', () => {
    expect(() => load(plan('{ id: a, uses: wait, wiht: { for: 1s } }'))).toThrow(/resurgo.yaml:9:.*"wiht" is not a known key; did you mean "with"\?/);
  });
});

describe('I10 a preview says what would be undone', () => {
  test('and where there is no way back', async () => {
    const { deps } = load(plan(
      '{ id: stop, uses: service.stop, with: { name: x, manager: command, start: ["true"], stop: ["true"], status: ["true"] } }',
      '{ id: promote, uses: exec, with: { command: [date] }, pointOfNoReturn: true }',
      '{ id: dns, uses: exec, with: { command: [date], compensate: [date] } }',
    ));
    const preview = await previewPlan(deps, { plan: 'p' }, { signal: new AbortController().signal, check: true });
    expect(preview.pointsOfNoReturn).toEqual(['promote']);
    expect(preview.steps.map(({ undo }) => undo)).toEqual(['the service runs, or does not, as it was found', 'CANNOT be undone', 'not undone: it comes after the point of no return promote']);
    expect(preview.steps.map(({ check }) => check?.outcome)).toEqual(['ok', 'ok', 'ok']);
    expect(preview.hash).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('I7 expressions', () => {
  const context: ExpressionContext = { steps: { a: { status: 'completed', output: { n: 5, text: 'x', list: [1, 2] } } }, params: { p: 'v' }, incident: { severity: 'high' }, mode: 'graceful', target: 'shop', plan: 'p', run: 'r' };
  test.each([
    ['steps.a.output.n + 1', 6], ['steps.a.output.list.exists(x, x == 2)', true], ['params.p + "!"', 'v!'], ['incident.severity == "high" && mode == "graceful"', true], ['{"a": [1, 2.5]}', { a: [1, 2.5] }],
  ])('%s', (text, value) => { expect(evaluate(text, context)).toEqual(value); });
  test('a value stays what it is when it stands alone, and becomes text inside a text', () => {
    expect(fillTemplates({ a: '${{ steps.a.output.n }}', b: 'n=${{ steps.a.output.n }}', c: ['${{ params.p }}'], d: { env: 'X' } }, context)).toEqual({ a: 5, b: 'n=5', c: ['v'], d: { env: 'X' } });
  });
  test.each(['params.constructor', 'params.__proto__', 'process', 'steps.zz', 'this', '1/0'])('%s is an error, nothing else', (text) => {
    try {
      evaluate(text, context);
      expect.unreachable();
    } catch (error) {
      expect(isResurgoError(error, 'inputInvalid')).toBe(true);
    }
  });
});

const word = fc.oneof(fc.constantFrom('exec', 'wait', 'plan', 'http.ok', 'approve', 'p', 'q', 'a', 'b', '${{ steps.a.output.x }}', '${{', '${{ params.', 'steps.a', '__proto__', 'constructor', ''), fc.string({ maxLength: 12 }));
const value: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, word, fc.integer(), fc.boolean(), fc.constant(null), fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(word, tie('value'), { maxKeys: 4 })),
})).value;
const step = fc.record({ id: word, uses: word, with: fc.oneof(value, fc.dictionary(fc.constantFrom('command', 'for', 'plan', 'url', 'from'), value)), needs: fc.array(word, { maxLength: 3 }), if: word, verify: value, compensate: value, fallback: value, approval: value, critical: fc.oneof(fc.boolean(), value) }, { requiredKeys: ['id', 'uses'] });
const anyPlans = fc.dictionary(fc.constantFrom('p', 'q', 'r'), fc.record({ steps: fc.oneof(fc.array(step, { maxLength: 5 }), value), params: value, priority: word, onFailure: word }, { requiredKeys: ['steps'] }), { minKeys: 1 });

test(`I7 fuzzed plans are refused or valid, never a crash (${process.env['PLAN_FUZZ'] ?? '150'} of them)`, async () => {
  const { deps } = load('');
  const registry = await actionsOf(deps);
  fc.assert(
    fc.property(anyPlans, (plans) => {
      try {
        const { loaded } = load(`plans: ${JSON.stringify(plans)}\n`);
        findProblems(loaded, registry);
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        expect(['configInvalid', 'configUnsafe', 'planUnknown']).toContain(error.code);
      }
    }),
    { numRuns: Number(process.env['PLAN_FUZZ'] ?? 150) },
  );
}, 600_000);

test('I3 notify without Temporal tries each channel once; a dead one is a remark, one that is not there is refused when it is checked', async () => {
  process.env['DEAD_URL'] = 'http://127.0.0.1:9/';
  const { deps } = load('notify: [{ name: pager, webhook: { url: { env: DEAD_URL } } }, { name: gone, webhook: { url: { env: NOT_SET_AT_ALL } } }]');
  const action = (await actionsOf(deps)).get('notify');
  const told = await action.apply(contextOf(action, { subject: 'hi' }), undefined);
  expect(told.summary).toMatch(/^pager could not be told: .*; gone could not be told: .*NOT_SET_AT_ALL/);
  expect(told.output).toEqual({ told: [], failed: ['pager', 'gone'] });
  await expect(action.check?.(contextOf(action, { subject: 'hi', channels: ['pagr'] }, { dryRun: true }))).rejects.toMatchObject({ code: 'configInvalid', message: expect.stringContaining('did you mean "pager"') });
  expect(await action.check?.(contextOf(action, { subject: 'hi', channels: ['pagr'] }))).toEqual([expect.stringContaining('pagr')]);
});
