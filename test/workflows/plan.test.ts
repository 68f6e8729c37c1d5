import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proveApproval } from '../../activities/plan/approval.ts';
import { idFromUuid } from '../../domain/ids.ts';
import type { PlanResult, RecoverInput } from '../../domain/plan/result.ts';
import type { PlanView } from '../../domain/plan/view.ts';
import type { ResurgoError } from '../../domain/errors.ts';
import { startSink, type HttpSink } from '../support/http-sink.ts';
import { PlanScript } from '../support/plan-script.ts';
import { runCli } from '../support/run-cli.ts';
import { stopAll, tempDir, type TempDir } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

const tokens = { ann: 'token of ann, long enough', bob: 'token of bob, long enough' };
let stack: Stack;
let work: TempDir;
let script: PlanScript;
let pager: HttpSink;
let phone: HttpSink;

const userAction = `
/** @type {import('../../domain/action.ts').Action} */
export default {
  name: 'note.write', version: 1, description: 'Writes a file.', effect: 'converge', outputs: ['path'],
  parse: (input) => { if (typeof input?.path !== 'string') throw new Error('path is missing'); return input; },
  check: async () => ['ready'],
  capture: async () => ({ before: 'nothing' }),
  apply: async ({ input }) => { const { writeFileSync } = await import('node:fs'); writeFileSync(input.path, 'noted'); return { summary: 'noted', output: { path: input.path } }; },
  compensate: async ({ input }) => { const { rmSync } = await import('node:fs'); rmSync(input.path, { force: true }); return 'removed'; },
};
`;

beforeAll(async () => {
  work = tempDir('plan-script');
  script = new PlanScript(work.path);
  const step = script.step.bind(script);
  const file = path.join(work.path, 'note.mjs');
  writeFileSync(file, userAction, { mode: 0o600 });
  pager = await startSink();
  phone = await startSink();
  stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://x@127.0.0.1:1/shop' } },
    env: { TOKEN_ANN: tokens.ann, TOKEN_BOB: tokens.bob, PAGER_URL: pager.url, PHONE_URL: phone.url, NOWHERE_URL: 'http://127.0.0.1:9/' },
    sections: {
      actions: [file],
      approvers: { ann: { token: { env: 'TOKEN_ANN' } }, bob: { token: { env: 'TOKEN_BOB' } } },
      notify: [
        { name: 'pager', webhook: { url: { env: 'PAGER_URL' } }, events: ['approval', 'plan', 'handover'], minSeverity: 'medium' },
        { name: 'phone', webhook: { url: { env: 'PHONE_URL' } }, events: ['test'] },
        { name: 'nowhere', webhook: { url: { env: 'NOWHERE_URL' } }, events: ['test'] },
      ],
      plans: {
        telling: { steps: [step('a'), { id: 'say', uses: 'notify', with: { subject: 'plan ${{ plan }} goes on', severity: 'high' } }, { id: 'refused', uses: 'notify', with: { subject: 'you too', channels: ['phone'] } }, { id: 'down', uses: 'notify', with: { subject: 'hello?', channels: ['nowhere', 'phone'] } }, { id: 'broken', uses: 'notify', with: { subject: '${{ mode == "graceful" ? "" : mode }}' } }, step('b')] },
        asking: { steps: [step('b', {}, { approval: { from: ['ann'], within: '5m', question: 'Shall we?', escalate: [{ after: '1s', notify: ['phone'] }, { after: '4m', notify: ['nowhere'] }] } })] },
        simple: { params: { who: 'you' }, steps: [step('a'), { id: 'b', uses: 'exec', with: { command: ['echo', 'hello ${{ params.who }}'], effect: 'none' } }, { id: 'c', uses: 'exec', with: { command: ['echo', '${{ steps.b.output.stdout }}!'], effect: 'none' }, if: 'steps.b.output.exitCode == 0' }, { id: 'd', uses: 'wait', with: { for: '50ms' }, if: "mode == 'ungraceful'" }] },
        rollback: { steps: [step('a'), step('b'), { id: 'note', uses: 'note.write', with: { path: path.join(work.path, 'note') } }, step('c')] },
        passed: { waitForPerson: '1h', steps: [step('a'), step('b', {}, { pointOfNoReturn: true }), step('c')] },
        soft: { steps: [step('a', {}, { critical: false }), step('b', {}, { fallback: { uses: 'exec', with: { command: ['echo', 'instead'], effect: 'none' } } })] },
        parallel: { steps: [step('a'), step('b', {}, { needs: ['a'] }), step('c', {}, { needs: ['a'] }), step('d', {}, { needs: ['b', 'c'] })] },
        approved: { steps: [step('a'), step('b', {}, { approval: { from: ['ann', 'bob'], count: 2, question: 'Sure?' } })] },
        'all-approved': { approval: { from: ['ann'] }, steps: [step('a')] },
        gated: { steps: [step('a'), { id: 'gate', uses: 'approve', with: { from: ['ann'] } }, step('b')] },
        refused: { steps: [step('b', {}, { approval: { from: ['ann'] }, fallback: { uses: 'exec', with: { command: ['echo', 'instead'], effect: 'none' } } })] },
        leaking: { steps: [{ id: 'a', uses: 'exec', with: { command: ['/bin/sh', '-c', 'echo "said $WORD"; echo "$WORD" >&2'], env: { WORD: { env: 'TOKEN_BOB' } }, effect: 'none' } }, { id: 'b', uses: 'exec', with: { command: ['/bin/sh', '-c', 'echo "bad $WORD" >&2; exit 3'], env: { WORD: { env: 'TOKEN_BOB' } }, effect: 'none' }, retries: 0 }] },
        expires: { steps: [step('a'), step('b', {}, { approval: { from: ['ann'], within: '1s' } })] },
        parent: { steps: [step('a'), { id: 'sub', uses: 'plan', with: { plan: 'child', params: { x: 'given' } } }, { id: 'z', uses: 'exec', with: { command: ['echo', '${{ steps.sub.output.say.stdout }}'], effect: 'none' } }, step('c')] },
        child: { params: { x: { description: 'what' } }, steps: [step('b'), { id: 'say', uses: 'exec', with: { command: ['echo', '${{ params.x }}'], effect: 'none' } }] },
        elsewhere: { steps: [step('a'), step('b', { host: 'no-such-host' })] },
        verified: { steps: [step('a', { verify: true }, { timeout: '3s' })] },
      },
    },
  });
  await stack.startWorker();
}, 240_000);
afterAll(async () => {
  await pager.stop();
  await phone.stop();
  await stack.stop();
  await work.stop();
  await stopAll();
});

async function start(plan: string, more: Partial<RecoverInput> = {}) {
  script.clear();
  const { client } = await stack.client();
  const id = idFromUuid(randomUUID());
  const handle = await client.workflow.start('recover', { taskQueue: 'resurgo', workflowId: `plan/${plan}/${id}`, args: [{ plan, ...more }] });
  const child = client.workflow.getHandle(`running/${plan}`);
  return {
    id,
    handle,
    ended: stack.resultOf<PlanResult>({ handle, workflowId: handle.workflowId } as never),
    update: (name: string, input: unknown) => child.executeUpdate<string, [unknown]>(name, { args: [input] }),
    async until(what: (view: PlanView) => boolean): Promise<PlanView> {
      for (const deadline = Date.now() + 120_000; ; ) {
        const view = await child.query<PlanView>('plan').catch(() => undefined);
        if (view?.id === id && what(view)) return view;
        if (Date.now() > deadline) throw new Error(`not in time: ${JSON.stringify(view)}`);
        await sleep(150);
      }
    },
  };
}

const completed = (): never => {
  throw new Error('it completed');
};

/** Of a plan that did not complete. */
async function failed(ended: Promise<PlanResult>): Promise<{ error: ResurgoError; result: PlanResult }> {
  const error = (await ended.then(completed, (reason: unknown) => reason)) as ResurgoError;
  const result = error.details['result'] as PlanResult | undefined;
  if (result === undefined) throw error;
  return { error, result };
}
const states = (result: PlanResult): string[] => result.steps.map(({ id, status }) => `${id} ${status}`);

describe('I7 A6 T2 a plan runs as it says', () => {
  test('with expressions, conditions and an evidence record; started with nothing but its name', async () => {
    const result = await (await start('simple')).ended;
    expect(states(result)).toEqual(['a completed', 'b completed', 'c completed', 'd skipped']);
    expect(result.steps[2]?.output).toMatchObject({ stdout: 'hello you!' });
    expect(result.evidence).toContain('evidence/');
    expect(script.ledger()).toEqual(['a']);
  });

  test('parameters and mode are taken from the input; a wrong one is refused by name', async () => {
    const result = await (await start('simple', { params: { who: 'me' }, mode: 'ungraceful' })).ended;
    expect(result.steps[2]?.output).toMatchObject({ stdout: 'hello me!' });
    expect(result.steps[3]?.status).toBe('completed');
    await expect((await start('simple', { params: { whom: 'me' } })).ended).rejects.toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('did you mean "who"') });
    await expect((await start('smiple')).ended).rejects.toMatchObject({ code: 'planUnknown', message: expect.stringContaining('did you mean "simple"') });
  });

  test('A6 a failure undoes everything in reverse, a user’s own action too', async () => {
    script.mark('fail-c-apply');
    const { result } = await failed((await start('rollback')).ended);
    expect(result.status).toBe('compensated');
    expect(states(result)).toEqual(['a compensated', 'b compensated', 'note compensated', 'c failed']);
    expect(result.compensation.map(({ step }) => step)).toEqual(['c', 'note', 'b', 'a']);
    expect(script.ledger()).toEqual(['a', 'b', 'c', 'undo c', 'undo b', 'undo a']);
    expect(script.has('note')).toBe(false);
  });

  test('after a point of no return nothing is undone: a person retries, and it goes on', async () => {
    script.mark('fail-c-apply');
    const run = await start('passed');
    const view = await run.until(({ held }) => held !== null);
    expect(view).toMatchObject({ status: 'paused', held: { step: 'c', why: 'failed' }, passedPointOfNoReturn: 'b' });
    while (!pager.received.some((each) => String(each.json()['subject']).startsWith('plan passed waits for a person: step c'))) await sleep(100);
    await expect(run.update('retry', { step: 'a' })).rejects.toThrow();
    await run.update('retry', { by: 'me' });
    expect((await run.ended).status).toBe('completed');
    expect(script.ledger()).toEqual(['a', 'b', 'c', 'c']);
  });

  test('after a point of no return an abort says what is left', async () => {
    script.mark('fail-c-apply');
    const run = await start('passed');
    await run.until(({ held }) => held !== null);
    await run.update('abort', { by: 'me' });
    const { result } = await failed(run.ended);
    expect(result.status).toBe('failed');
    expect(script.ledger()).toEqual(['a', 'b', 'c']);
    expect(result.error?.message).toContain('point of no return');
  });

  test('what is not critical is a warning; a fallback takes the place of what failed', async () => {
    script.mark('fail-a-apply');
    script.mark('fail-b-apply');
    const result = await (await start('soft')).ended;
    expect(states(result)).toEqual(['a failed', 'b completed']);
    expect(result.warnings).toHaveLength(1);
    expect(result.steps[1]).toMatchObject({ fallback: 'exec', summary: expect.stringContaining('instead') });
  });

  test('branches run beside each other, and what needs both waits for both', async () => {
    script.mark('hold-b');
    const run = await start('parallel');
    await run.until(({ steps }) => steps[2]?.status === 'completed');
    expect(script.ledger()).toEqual(['a', 'c']);
    rmSync(path.join(work.path, 'hold-b'));
    await run.ended;
    expect(script.ledger()).toEqual(['a', 'c', 'b', 'd']);
  });

  test('a child plan has its own parameters, is seen by its outputs, and is undone with its parent', async () => {
    script.mark('fail-c-apply');
    const { result } = await failed((await start('parent')).ended);
    expect(result.steps.find(({ id }) => id === 'z')?.output).toMatchObject({ stdout: 'given' });
    expect(script.ledger()).toEqual(['a', 'b', 'c', 'undo c', 'undo b', 'undo a']);
  });

  test('a verification that does not come true undoes the step', async () => {
    script.mark('fail-a-verify');
    const { result } = await failed((await start('verified')).ended);
    rmSync(path.join(work.path, 'fail-a-verify'));
    expect(result.status).toBe('compensated');
    expect(script.ledger()).toEqual(['a', 'undo a']);
  });
});

describe('I10 people steer a running plan', () => {
  test('pause, mode, skip, resume', async () => {
    script.mark('hold-a');
    const run = await start('parallel');
    await run.until(({ steps }) => steps[0]?.status === 'in progress');
    await run.update('pause', { by: 'me' });
    await expect(run.update('pause', {})).rejects.toThrow();
    rmSync(path.join(work.path, 'hold-a'));
    await run.until(({ steps, paused }) => steps[0]?.status === 'completed' && paused === 'me');
    await run.update('mode', { mode: 'ungraceful' });
    await run.update('skip', { step: 'c' });
    await run.update('resume', {});
    const result = await run.ended;
    expect(states(result)).toEqual(['a completed', 'b completed', 'c skipped', 'd completed']);
    expect(result.mode).toBe('ungraceful');
    expect(result.steps[1]?.output).toMatchObject({ stdout: 'ungraceful' });
    expect(result.decisions.map(({ what }) => what)).toEqual(['pause', 'mode: ungraceful', 'skip', 'resume']);
  });

  test('by the CLI: pause, mode, skip, resume; retry and abort of a run that waits for a person; refusals with exit code 3', async () => {
    const cli = (...args: string[]) => runCli(['plan', ...args, '--json'], { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address } });
    script.mark('hold-a');
    const run = await start('parallel');
    await run.until(({ steps }) => steps[0]?.status === 'in progress');
    expect((await cli('pause', run.id, '--reason', 'lunch')).json()).toMatchObject({ id: run.id, paused: expect.stringContaining('cli:') });
    expect(await cli('pause', run.id)).toMatchObject({ exitCode: 3, stdout: expect.stringContaining('controlRefused') });
    expect(await cli('skip', run.id, 'nope')).toMatchObject({ exitCode: 3, stdout: expect.stringContaining('there is no step') });
    expect((await cli('mode', 'parallel', 'ungraceful')).json()).toMatchObject({ mode: 'ungraceful' });
    expect((await cli('skip', run.id, 'c')).exitCode).toBe(0);
    rmSync(path.join(work.path, 'hold-a'));
    await run.until(({ steps, paused }) => steps[0]?.status === 'completed' && paused !== null);
    expect((await cli('resume', run.id)).exitCode).toBe(0);
    expect(states(await run.ended)).toEqual(['a completed', 'b completed', 'c skipped', 'd completed']);
    expect(await cli('resume', run.id)).toMatchObject({ exitCode: 3 });

    script.mark('fail-c-apply');
    const held = await start('passed');
    await held.until((view) => view.held?.step === 'c');
    script.mark('fail-c-apply');
    expect((await cli('retry', held.id)).exitCode).toBe(0);
    await held.until((view) => view.held?.step === 'c' && (view.steps[2]?.attempts ?? 0) > 1);
    expect((await cli('abort', 'passed', '--reason', 'enough')).exitCode).toBe(0);
    const { result } = await failed(held.ended);
    expect(result.decisions.map(({ what }) => what)).toEqual(['retry', 'abort']);
    expect(result.status).toBe('failed');
  });

  test('a cancel request, as from the Temporal UI, is an abort: what was done is undone', async () => {
    script.mark('hold-b');
    const run = await start('rollback');
    await run.until(({ steps }) => steps[1]?.status === 'in progress');
    await run.handle.cancel();
    await stack.askedToCancel('running/rollback');
    rmSync(path.join(work.path, 'hold-b'));
    const { result } = await failed(run.ended);
    expect(result.status).toBe('compensated');
    expect(script.ledger()).toEqual(['a', 'b', 'undo b', 'undo a']);
  });

  test('two of two approve with their own tokens, for what was shown to them', async () => {
    const run = await start('approved');
    const view = await run.until(({ approvals }) => approvals.length > 0);
    expect(view.status).toBe('waiting');
    const { hash = '', step = '' } = view.approvals[0] ?? {};
    const by = (as: 'ann' | 'bob', token = tokens[as], shown = hash) => ({ step, as, hash: shown, proof: proveApproval(token, { run: run.id, step, hash: shown, as, decision: 'approve' }) });
    await expect(run.update('approve', by('ann', tokens.bob))).rejects.toThrow();
    await expect(run.update('approve', by('ann', tokens.ann, 'f'.repeat(64)))).rejects.toThrow();
    await run.update('approve', by('ann'));
    await expect(run.update('approve', by('ann'))).rejects.toThrow();
    expect(script.ledger()).toEqual(['a']);
    await run.update('approve', by('bob'));
    const result = await run.ended;
    expect(result.steps[1]?.approvedBy).toEqual(['ann', 'bob']);
  });

  test('I4 I7 the approval of a whole plan; a gate is not skipped; what was refused is not done another way', { timeout: 120_000 }, async () => {
    const prove = (id: string, step: string, hash: string, decision: 'approve' | 'reject') => ({ step, as: 'ann', hash, proof: proveApproval(tokens.ann, { run: id, step, hash, as: 'ann', decision }) });
    const whole = await start('all-approved');
    const [asked] = (await whole.until(({ approvals }) => approvals.length === 1)).approvals;
    expect(asked?.step).toBe('approve-plan');
    expect(script.ledger()).toEqual([]);
    await whole.update('approve', prove(whole.id, 'approve-plan', asked?.hash ?? '', 'approve'));
    expect(states(await whole.ended)).toEqual(['approve-plan completed', 'a completed']);

    const gated = await start('gated');
    await gated.until(({ approvals }) => approvals.length === 1);
    await expect(gated.update('skip', { step: 'gate', by: 'me' })).rejects.toThrow();
    expect(script.ledger()).toEqual(['a']);
    await gated.update('abort', { by: 'me' });
    await failed(gated.ended);

    const refused = await start('refused');
    const [about] = (await refused.until(({ approvals }) => approvals.length === 1)).approvals;
    await refused.update('reject', prove(refused.id, 'b', about?.hash ?? '', 'reject'));
    const { result } = await failed(refused.ended);
    expect(result.steps[0]).toMatchObject({ status: 'failed', error: { code: 'approvalRefused' } });
    expect(script.ledger()).toEqual([]);
  });

  test('O4 a secret that a step was given comes back in no output, no error, no history', async () => {
    const run = await start('leaking');
    const { result } = await failed(run.ended);
    expect(result.steps[0]?.output).toMatchObject({ stdout: 'said [secret]' });
    expect(result.steps[1]?.error?.message).toContain('bad [secret]');
    const { client } = await stack.client();
    for (const id of [run.handle.workflowId, 'running/leaking']) expect(JSON.stringify(await client.workflow.getHandle(id).fetchHistory())).not.toContain(tokens.bob);
  });

  test('an approval that nobody gives in time fails the plan', async () => {
    const { error, result } = await failed((await start('expires')).ended);
    expect(error.code).toBe('approvalExpired');
    expect(result.status).toBe('compensated');
  });

  test('one run of a plan at a time', async () => {
    script.mark('hold-a');
    const run = await start('parallel');
    await run.until(({ steps }) => steps[0]?.status === 'in progress');
    const { client } = await stack.client();
    const second = await client.workflow.start('recover', { taskQueue: 'resurgo', workflowId: 'by-hand', args: [{ plan: 'parallel' }] });
    await expect(stack.resultOf({ handle: second, workflowId: 'by-hand' } as never)).rejects.toMatchObject({ code: 'lockBusy' });
    rmSync(path.join(work.path, 'hold-a'));
    await run.ended;
  });

  test('a host without a worker is an error in half a minute, and what was done is undone', async () => {
    const { error, result } = await failed((await start('elsewhere')).ended);
    expect(error.code).toBe('workerMissing');
    expect(result.status).toBe('compensated');
    expect(script.ledger()).toEqual(['a', 'undo a']);
  }, 300_000);
});

describe('I3 a plan tells people, and neither waits nor fails for it', () => {
  const subjects = (sink: HttpSink): unknown[] => sink.received.map((each) => each.json()['subject']);
  async function untilSo(isSo: () => boolean): Promise<void> {
    for (const deadline = Date.now() + 120_000; !isSo() && Date.now() < deadline; ) await sleep(100);
  }

  test('A6 by the action notify: refused, dead and wrong are remarks', async () => {
    pager.received.splice(0);
    phone.received.splice(0);
    phone.answers.push({ status: 400, body: 'not like this' });
    const result = await (await start('telling')).ended;
    expect(result.status).toBe('completed');
    expect(states(result).slice(0, 4)).toEqual(['a completed', 'say completed', 'refused completed', 'down completed']);
    expect(result.steps[1]?.summary).toBe('told pager');
    expect(result.steps[2]).toMatchObject({ summary: expect.stringMatching(/^phone could not be told: .*400/), output: { told: [], failed: ['phone'] } });
    expect(result.steps[3]?.summary).toMatch(/goes on without this plan/);
    expect(result.steps.slice(4).map(({ id, status }) => `${id} ${status}`)).toEqual(['broken failed', 'b completed']);
    expect(result.warnings).toEqual([expect.stringContaining('subject: is empty')]);
    expect(script.ledger()).toEqual(['a', 'b']);
    expect(subjects(pager)[0]).toBe('plan telling goes on');
    expect(subjects(phone)).toContain('hello?');
  });

  test('I2 an approval that is wanted is told, silence escalates, a decision ends it', async () => {
    pager.received.splice(0);
    phone.received.splice(0);
    const run = await start('asking');
    const view = await run.until(({ approvals }) => approvals.length > 0);
    await untilSo(() => phone.received.length > 0 && pager.received.length > 0);
    expect(pager.received.map((each) => each.json())).toMatchObject([{ event: 'approval', subject: 'plan asking: approval wanted: Shall we?', text: expect.stringContaining(`resurgo plan approve ${run.id} --as NAME`) }]);
    expect(phone.received.map((each) => each.json())).toMatchObject([{ event: 'escalated', subject: 'plan asking: nobody has decided for 1 s: Shall we?' }]);
    const { hash = '', step = '' } = view.approvals[0] ?? {};
    await run.update('approve', { step, as: 'ann', hash, proof: proveApproval(tokens.ann, { run: run.id, step, hash, as: 'ann', decision: 'approve' }) });
    expect((await run.ended).status).toBe('completed');
    // The second level was never reached.
    const { client } = await stack.client();
    const told: string[] = [];
    for await (const each of client.workflow.list({ query: 'WorkflowType = "notification"' })) if (each.workflowId.includes(run.id)) told.push(each.workflowId.split('/').at(-1) ?? '');
    expect(told.sort()).toEqual(['approval', 'escalated-1']);
  });
});
