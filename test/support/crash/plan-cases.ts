/** Crash cases of a plan: six steps with rollback, the worker killed before, inside and after every phase of every step. */
import { expect } from 'vitest';
import { idFromUuid } from '../../../domain/ids.ts';
import { randomUUID } from 'node:crypto';
import type { PlanResult } from '../../../domain/plan/result.ts';
import type { PlanView } from '../../../domain/plan/view.ts';
import type { ResurgoError } from '../../../domain/errors.ts';
import type { PlanScript } from '../plan-script.ts';
import { sleep } from '../server-process.ts';
import type { Stack } from '../stack.ts';

/** The last step fails always, so that all of them are undone. */
export const crashPlan = (script: PlanScript): Record<string, unknown> => ({
  waitForPerson: '1h',
  steps: [
    script.step('s1', { effect: 'converge' }),
    script.step('s2', { probe: true }),
    script.step('s3'),
    script.step('s4', { effect: 'converge', verify: true }),
    script.step('s5', { probe: true, verify: true }),
    script.step('s6', { probe: true }),
  ],
});
export const crashSteps = ['s1', 's2', 's3', 's4', 's5', 's6'] as const;
const verified: readonly string[] = ['s4', 's5'];
const probed: readonly string[] = ['s2', 's5', 's6'];

export type PlanCrash =
  | { readonly how: 'worker'; readonly activity: string; readonly when: 'before' | 'after' }
  /** The program itself kills the worker, before or after its effect. */
  | { readonly how: 'program'; readonly step: string; readonly phase: string; readonly when: 'before' | 'after' }
  /** A second death, while it is looked whether the attempt that died took effect. */
  | { readonly how: 'probe'; readonly step: string; readonly effect: boolean; readonly when: 'before' | 'after' };

export const describeCrash = (crash: PlanCrash): string =>
  crash.how === 'probe' ? `inside apply of ${crash.step}, ${crash.effect ? 'after' : 'before'} its effect, and again ${crash.when} probeStep:${crash.step}`
  : (crash.how === 'worker' ? `${crash.when} ${crash.activity}` : `inside ${crash.phase} of ${crash.step}, ${crash.when} its effect`);

export const allCrashes: readonly PlanCrash[] = crashSteps.flatMap((step): PlanCrash[] => [
  ...['prepareStep', 'applyStep', 'compensateStep', ...(verified.includes(step) ? ['verifyStep'] : [])].flatMap((activity): PlanCrash[] => {
    const after: PlanCrash = { how: 'worker', activity: `${activity}:${step}`, when: 'after' };
    return [{ ...after, when: 'before' }, after];
  }),
  ...['apply', 'compensate'].flatMap((phase): PlanCrash[] => (['before', 'after'] as const).map((when) => ({ how: 'program', step, phase, when }))),
  ...(probed.includes(step) ? [true, false].flatMap((effect): PlanCrash[] => (['before', 'after'] as const).map((when) => ({ how: 'probe', step, effect, when }))) : []),
]);

/** The worker dies after the effect of the step that fails, and before it could say so. */
const failureIsLost = (crash: PlanCrash): boolean => crash.how === 'probe' ? crash.step === 's6' && crash.effect : crash.when === 'after' && (crash.how === 'worker' ? crash.activity === 'applyStep:s6' : crash.step === 's6' && crash.phase === 'apply');

/** Runs the plan through one crash and looks at what really happened. @throws when the worker did not die there */
export async function throughPlanCrash(stack: Stack, script: PlanScript, crash: PlanCrash): Promise<void> {
  script.clear();
  script.mark('fail-s6-apply');
  if (!stack.workerRuns) await stack.startWorker();
  if (crash.how === 'worker') stack.arm({ activity: crash.activity, when: crash.when, failed: true });
  else script.mark(crash.how === 'probe' ? `die-${crash.step}-apply-${crash.effect ? 'after' : 'before'}` : `die-${crash.step}-${crash.phase}-${crash.when}`);
  const { client } = await stack.client();
  const id = idFromUuid(randomUUID());
  const handle = await client.workflow.start('recover', { taskQueue: 'resurgo', workflowId: `plan/p/${id}`, args: [{ plan: 'p' }] });
  const ended = stack.resultOf<PlanResult>({ handle, workflowId: handle.workflowId } as never).then(
    (result) => result,
    (error: unknown) => {
      const result = (error as ResurgoError).details['result'] as PlanResult | undefined;
      if (result === undefined) throw error;
      return result;
    },
  );
  const first = await Promise.race([ended.then((result) => `the plan ended ${result.status}`, (error: unknown) => String(error)), stack.workerDeath().then(() => 'dead')]);
  if (first !== 'dead') throw new Error(`the worker did not die ${describeCrash(crash)}: ${first}`);
  if (crash.how === 'probe') {
    stack.arm({ activity: `probeStep:${crash.step}`, when: crash.when });
    await stack.startWorker();
    const second = await Promise.race([ended.then((result) => `the plan ended ${result.status}`, (error: unknown) => String(error)), stack.workerDeath().then(() => 'dead')]);
    if (second !== 'dead') throw new Error(`the worker did not die again ${describeCrash(crash)}: ${second}`);
  }
  await stack.startWorker();
  // A person looks where nothing can be probed, and says what is true.
  const person = new AbortController();
  const answered = answerTruly(stack, script, id, person.signal);
  const result = await ended.finally(async () => {
    person.abort();
    await answered;
  });

  const ledger = script.ledger();
  const effects = ledger.filter((line) => !line.startsWith('undo'));
  const undone = [...new Set(ledger.filter((line) => line.startsWith('undo')).map((line) => line.slice(5)))];
  const converge = ['s1', 's4'];
  for (const step of crashSteps) if (!converge.includes(step)) expect(effects.filter((line) => line === step).length, `${step} at most once: ${ledger.join(' ')}`).toBeLessThanOrEqual(1);
  if (failureIsLost(crash)) {
    // Nobody heard that the last step failed, and looking shows that it took effect: the plan is through, and that is true.
    expect(result.status, JSON.stringify(result.steps)).toBe('completed');
    expect(undone, ledger.join(' ')).toEqual([]);
    for (const step of crashSteps) expect(script.has(`made-${step}`), `${step} was done: ${ledger.join(' ')}`).toBe(true);
    script.forget(...crashSteps.map((step) => `made-${step}`));
    return;
  }
  // Everything that had taken effect is gone, and in reverse.
  for (const step of crashSteps) expect(script.has(`made-${step}`), `${step} is undone: ${ledger.join(' ')}`).toBe(false);
  expect(undone, ledger.join(' ')).toEqual([...undone].sort().reverse());
  expect(new Set(undone).size, ledger.join(' ')).toBeGreaterThanOrEqual(new Set(effects).size);
  expect(result.status, JSON.stringify(result.compensation)).toBe('compensated');
}

async function answerTruly(stack: Stack, script: PlanScript, id: string, signal: AbortSignal): Promise<void> {
  const { client } = await stack.client();
  const child = client.workflow.getHandle('running/p');
  while (!signal.aborted) {
    const view = await child.query<PlanView>('plan').catch(() => undefined);
    if (view?.id === id && view.held?.why === 'unknown') {
      const { step } = view.held;
      await child.executeUpdate('answer', { args: [{ step, answer: script.has(`made-${step}`) ? 'applied' : 'notApplied', by: 'who looked' }] }).catch(() => undefined);
    }
    await sleep(300);
  }
}
