/** Carries out one command of the plan interpreter by activities and children, with the options its effect asks for. */
import { ActivityCancellationType, ActivityFailure, type ActivityOptions, ApplicationFailure, CancellationScope, type ChildWorkflowHandle, type ChildWorkflowOptions, ChildWorkflowCancellationType, condition, executeChild, isCancellation, ParentClosePolicy, proxyActivities, proxyLocalActivities, startChild as launchChild, TimeoutFailure } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { PhaseInput, RunRef } from '../activities/plan/phases.ts';
import type { ActionEffect } from '../domain/action.ts';
import { contextOf } from '../domain/plan/context.ts';
import type { ActionUse, Json, PlanError, PlanPriority, PlanSnapshot, ResolvedStep, StepSpec } from '../domain/plan/model.ts';
import { outcomeOfTelling, type NotificationOutcome } from '../domain/notification.ts';
import { outcomeOf } from '../domain/plan/outcome-of.ts';
import type { PlanCommand, PlanEvent, PlanState } from '../domain/plan/state.ts';
import { resolvedUse, useOf } from '../domain/plan/uses.ts';
import { taskQueues } from '../domain/task-queues.ts';
import { factsOf } from './failures.ts';

export interface StepRunner {
  readonly snapshot: PlanSnapshot;
  readonly run: Omit<RunRef, 'mode'>;
  readonly incident?: Json;
  /** The state when the command was given. */
  readonly state: PlanState;
}

type StepCommand = Extract<PlanCommand, { variant: unknown }>;
type Untimed = PlanEvent extends infer E ? (E extends PlanEvent ? Omit<E, 'at'> : never) : never;

/** 1 goes first; Temporal's default is 3. */
const priorityKeys: Readonly<Record<PlanPriority, number>> = { critical: 1, high: 2, medium: 3, low: 4 };

const local = proxyLocalActivities<Activities>({ startToCloseTimeout: '30 seconds', retry: { maximumAttempts: 3, nonRetryableErrorTypes: ['inputInvalid', 'planInvalid', 'configInvalid'] } });

/** How often an idempotent action that says nothing about it is tried. One that only looks is asked until its time is over. */
const convergeTries = 5;

interface Call {
  readonly command: StepCommand;
  readonly effect: ActionEffect;
  readonly retries?: number;
  readonly host?: string | undefined;
  readonly summary: string;
  readonly priority: PlanPriority;
}

function activities({ command, effect, retries, host, summary, priority }: Call): Activities {
  const remaining = Math.max(1000, command.deadlineAt - Date.now());
  const tries = effect === 'irreversible' ? 1 : retries !== undefined ? retries + 1 : effect === 'converge' ? convergeTries : undefined;
  const options: ActivityOptions = {
    taskQueue: host === undefined ? taskQueues.main : taskQueues.host(host),
    // Of a queue without a worker it is known in seconds. The main queue is polled by whoever runs this workflow, which may just be starting again.
    scheduleToStartTimeout: host === undefined ? '3 minutes' : '30 seconds',
    startToCloseTimeout: remaining,
    ...(effect === 'irreversible' ? {} : { scheduleToCloseTimeout: remaining }),
    heartbeatTimeout: '15 seconds',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds', ...(tries === undefined ? {} : { maximumAttempts: tries }) },
    summary,
    priority: { priorityKey: priorityKeys[priority] },
  };
  return proxyActivities<Activities>(options);
}

/** The event that answers the command; never throws. */
export async function perform(command: StepCommand, runner: StepRunner): Promise<Untimed> {
  try {
    return await attempt(command, runner);
  } catch (error) {
    return failed(command, runner, error);
  }
}

function parts(command: StepCommand, { snapshot, state, run }: StepRunner) {
  const spec = snapshot.steps.find(({ id }) => id === command.step) as StepSpec;
  const step = state.steps[command.step] as PlanState['steps'][string];
  return { spec, step, use: useOf(spec, command.variant), resolved: resolvedUse(step), run: { ...run, mode: state.mode } };
}

const title = (uses: string, phase: string, resolved: Pick<ResolvedStep, 'subject'>): string => `${uses} ${phase}${resolved.subject === '' ? '' : `: ${resolved.subject}`}`;

async function attempt(command: StepCommand, runner: StepRunner): Promise<Untimed> {
  const { key } = command;
  const { spec, step, use, resolved, run } = parts(command, runner);
  const { priority } = runner.snapshot;
  const phase: PhaseInput = {
    run, step: spec.id, uses: use.uses, version: use.version, input: resolved.input,
    ...(step.captured === undefined ? {} : { captured: step.captured }), ...(step.output === undefined ? {} : { output: step.output }),
  };
  const on = (effect: ActionEffect, word: string, retries?: number): Activities =>
    activities({ command, effect, host: resolved.host, summary: title(use.uses, word, resolved), priority, ...(retries === undefined ? {} : { retries }) });
  switch (command.type) {
    case 'resolve': {
      const made = await resolve(spec, use, runner, command.variant === 'main' ? spec.if : undefined);
      return 'skip' in made ? { type: 'notNeeded', key, reason: made.skip } : { type: 'resolved', key, resolved: made.resolved };
    }
    case 'prepare': {
      const { captured, remarks } = await on('none', 'check', 5).prepareStep(phase);
      return { type: 'prepared', key, captured, remarks };
    }
    case 'apply': {
      if (resolved.child?.tellMs !== undefined) return { type: 'applied', key, ...(await tellApart(command, runner, resolved.child, spec.id)) };
      if (resolved.child !== undefined) return { type: 'applied', key, ...(await runChild(command, runner, resolved.child, spec.id)) };
      const { summary, output } = await on(resolved.abilities.effect, 'apply', use.retries).applyStep(phase);
      return { type: 'applied', key, summary, output };
    }
    case 'probe':
      return { type: 'probed', key, answer: await on('none', 'probe', 5).probeStep(phase) };
    case 'verify':
      return { type: 'verified', key, summary: await on('none', 'verify').verifyStep(phase) };
    case 'confirm': {
      const confirm = spec.verify as ActionUse;
      const made = await resolve(spec, confirm, runner);
      if ('skip' in made) return { type: 'verified', key, summary: made.skip };
      const { host, input } = made.resolved;
      const summary = await activities({ command, effect: 'none', host, summary: title(confirm.uses, 'verify', made.resolved), priority, ...(confirm.retries === undefined ? {} : { retries: confirm.retries }) }).confirmStep({ run, step: spec.id, uses: confirm.uses, version: confirm.version, input });
      return { type: 'verified', key, summary: `${confirm.uses}: ${summary}` };
    }
    case 'undo':
      return { type: 'undone', key, summary: await undo(command, runner, phase) };
  }
}

async function resolve(spec: StepSpec, use: ActionUse, runner: StepRunner, condition?: string): Promise<{ readonly skip: string } | { readonly resolved: ResolvedStep }> {
  const { snapshot, state, run, incident } = runner;
  return local.resolveStep({
    run: { ...run, mode: state.mode },
    step: spec.id,
    use: { uses: use.uses, version: use.version, with: use.with },
    planHash: snapshot.hash,
    context: contextOf(snapshot, state, spec, { id: run.id, ...(incident === undefined ? {} : { incident }) }),
    ...(condition === undefined ? {} : { if: condition }),
    ...(spec.childPlan === undefined ? {} : { childPlan: true }),
  });
}

async function undo(command: StepCommand, runner: StepRunner, phase: PhaseInput): Promise<string> {
  const entry = runner.state.undo[command.undo ?? -1];
  if (entry === undefined) return 'nothing had to be undone';
  const { spec, step, use } = parts(command, runner);
  const { priority } = runner.snapshot;
  const own = step.variant === entry.variant && step.applied === 'yes' ? step.output : undefined;
  if (spec.compensate !== undefined && spec.compensate !== false) {
    const { compensate } = spec;
    const made = await resolve(spec, compensate, runner);
    if ('skip' in made) return made.skip;
    const { host, input, abilities } = made.resolved;
    return activities({ command, effect: abilities.effect, host, summary: title(compensate.uses, 'undo', made.resolved), priority, retries: compensate.retries ?? 10 }).undoStep({ run: phase.run, step: spec.id, uses: compensate.uses, version: compensate.version, input });
  }
  const child = entry.resolved.child?.compensate;
  if (child !== undefined) {
    if (own === undefined) return 'it had undone itself';
    const { summary } = await runChild(command, runner, { ...child, input: withOutput(child.input, own), pick: [] }, spec.id);
    return summary;
  }
  const { captured: _, output: __, ...rest } = phase;
  return activities({ command, effect: 'converge', retries: 20, host: entry.resolved.host, summary: title(use.uses, 'undo', entry.resolved), priority }).compensateStep({
    ...rest,
    input: entry.resolved.input,
    ...(entry.captured === undefined ? {} : { captured: entry.captured }),
    ...(own === undefined ? {} : { output: own }),
  });
}

const startChild = executeChild as unknown as (type: string, options: ChildWorkflowOptions & { args: unknown[] }) => Promise<Record<string, Json>>;

async function runChild(command: StepCommand, { run, snapshot }: StepRunner, child: NonNullable<ResolvedStep['child']>, step: string): Promise<{ summary: string; output: Json }> {
  const remaining = Math.max(1000, command.deadlineAt - Date.now());
  const result = await CancellationScope.withTimeout(remaining, () =>
    startChild(child.workflow, {
      args: [child.input],
      workflowId: `${child.workflow}-${run.id}-${command.key}`,
      taskQueue: taskQueues.main,
      staticSummary: `${child.workflow} for step ${step} of plan ${snapshot.plan}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      priority: { priorityKey: priorityKeys[snapshot.priority] },
    }),
  );
  const output = Object.fromEntries(child.pick.flatMap((name) => (result[name] === undefined ? [] : [[name, result[name]]])));
  return { summary: `${child.workflow} ${typeof result['status'] === 'string' ? result['status'] : 'done'}`, output };
}

const launch = launchChild as unknown as (type: string, options: ChildWorkflowOptions & { args: unknown[] }) => Promise<ChildWorkflowHandle<() => Promise<NotificationOutcome[]>>>;

/** Tells people in a run apart, which goes on when the plan has ended. What is not said in time, or not at all, is a remark. */
async function tellApart(command: StepCommand, { run, snapshot }: StepRunner, child: NonNullable<ResolvedStep['child']>, step: string): Promise<{ summary: string; output: Json }> {
  const workflowId = `${child.workflow}-${run.id}-${command.key}`;
  try {
    const handle = await CancellationScope.nonCancellable(() =>
      launch(child.workflow, {
        args: [child.input],
        workflowId,
        taskQueue: taskQueues.main,
        staticSummary: `step ${step} of plan ${snapshot.plan} tells people`,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        priority: { priorityKey: priorityKeys[snapshot.priority] },
      }),
    );
    let ended: ReturnType<typeof outcomeOfTelling> | undefined;
    handle.result().then(
      (outcomes) => { ended = outcomeOfTelling(outcomes); },
      (error: unknown) => { ended = { summary: `nobody was told: ${factsOf(error).message}`, output: { told: [], failed: [] } }; },
    );
    await condition(() => ended !== undefined, child.tellMs ?? 0);
    return ended ?? { summary: `not every channel has taken it yet: it goes on without this plan as ${workflowId}`, output: { told: [], failed: [] } };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { summary: `nobody was told: ${factsOf(error).message}`, output: { told: [], failed: [] } };
  }
}

/** `{ "$output": "id" }` becomes that field of the step's output. */
function withOutput(value: Json, output: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((inner) => withOutput(inner, output));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as Record<string, Json>);
  const [only] = entries;
  if (entries.length === 1 && only?.[0] === '$output' && typeof only[1] === 'string') return (output as Record<string, Json> | null)?.[only[1]] ?? null;
  return Object.fromEntries(entries.map(([key, inner]) => [key, withOutput(inner, output)]));
}

function failed(command: StepCommand, runner: StepRunner, error: unknown): Untimed {
  const { key } = command;
  const facts = factsOf(error);
  const made: PlanError = { code: facts.code, message: facts.message, ...(facts.hint === undefined ? {} : { hint: facts.hint }) };
  if (command.type === 'undo') return { type: 'undoFailed', key, error: made };
  const { resolved, step } = parts(command, runner);
  if (command.type !== 'apply') return { type: 'phaseFailed', key, error: made, outcome: 'failed' };
  const { effect } = resolved.abilities;
  // A restore that failed has undone itself, or says that it could not.
  if (resolved.child !== undefined) return { type: 'phaseFailed', key, error: made, outcome: facts.code === 'compensationFailed' || facts.code === 'outcomeUnknown' || facts.code === 'bug' ? 'failed' : 'refused' };
  const timeout = timeoutOf(error);
  if (timeout?.timeoutType === 'SCHEDULE_TO_START') return { type: 'phaseFailed', key, error: made, outcome: effect === 'irreversible' && step.attempts <= 1 ? 'refused' : 'failed' };
  if (timeout !== undefined || isCancellation(error)) return { type: 'phaseFailed', key, error: { ...made, code: isCancellation(error) ? 'cancelled' : 'outcomeUnknown' }, outcome: 'lost' };
  return { type: 'phaseFailed', key, error: made, outcome: outcomeOf(facts.code, effect) };
}

/** A time-out that nobody reported anything before: of the last attempt. */
function timeoutOf(error: unknown): TimeoutFailure | undefined {
  if (!(error instanceof ActivityFailure)) return undefined;
  const { cause } = error;
  // A schedule-to-close time-out carries what the attempt before it reported.
  return cause instanceof TimeoutFailure && !(cause.cause instanceof ApplicationFailure) ? cause : undefined;
}
