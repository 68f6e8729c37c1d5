/** The phases of a step, each called by an activity or by the local driver; what they have in common is here. */
import { createHash } from 'node:crypto';
import type { Action, ActionContext } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ActionUse, Json, PlanMode, ResolvedStep } from '../../domain/plan/model.ts';
import type { Sandbox } from '../../domain/gameday.ts';
import type { OnProgress } from '../../domain/ports.ts';
import { canonicalJson } from '../../config/canonical.ts';
import { actionsOf } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import { withoutSecrets } from './check-with.ts';
import { evaluate, fillTemplates, type ExpressionContext } from './expressions.ts';
import { assertFence } from './fence.ts';
import { maskOf, masking, type Mask } from './mask.ts';
import { mapReferences, withSecrets } from './references.ts';
import { planHashOf } from './snapshot.ts';

/** Which run a phase belongs to. */
export interface RunRef {
  readonly id: string;
  readonly plan: string;
  readonly target?: string;
  readonly fence: string;
  /** Hash of the plan as configured where the run was started. */
  readonly configHash: string;
  readonly mode: PlanMode;
  /** The run is a game day: everything it does is bound to this sandbox. */
  readonly gameday?: Sandbox;
}

export interface PhaseInput {
  readonly run: RunRef;
  readonly step: string;
  readonly uses: string;
  readonly version: number;
  readonly input: Json;
  readonly captured?: Json;
  readonly output?: Json;
}

export interface PhaseHost {
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly report: OnProgress;
}

export interface ResolveInput {
  readonly run: RunRef;
  readonly step: string;
  readonly use: Pick<ActionUse, 'uses' | 'version' | 'with'>;
  readonly if?: string;
  readonly planHash: string;
  readonly context: ExpressionContext;
  readonly childPlan?: boolean;
}

/** Evaluates `if:` and `with:`. Effect: none. @throws inputInvalid, planInvalid, configMismatch */
export async function resolveStep(deps: ActivityDeps, input: ResolveInput): Promise<{ readonly skip: string } | { readonly resolved: ResolvedStep }> {
  if (input.if !== undefined) {
    const value = evaluate(input.if, input.context);
    if (typeof value !== 'boolean') throw new ResurgoError('inputInvalid', `if: ${input.if} is ${JSON.stringify(value)}, neither true nor false`);
    if (!value) return { skip: `if: ${input.if}` };
  }
  const filled = fillTemplates(input.use.with, input.context);
  const hash = createHash('sha256').update(canonicalJson({ plan: input.planHash, step: input.step, uses: input.use.uses, mode: input.run.mode, input: filled })).digest('hex');
  if (input.childPlan === true) {
    const { plan, params } = filled as { plan: string; params: Readonly<Record<string, Json>> };
    return { resolved: { input: filled, subject: plan, params, hash, abilities: { effect: 'none', probe: false, verify: false, compensate: false, prepare: false } } };
  }
  const action = (await actionsOf(deps)).get(input.use.uses, input.use.version);
  const parsed = await masking(maskOf(deps.loaded, filled), async () => parseForShow(deps, action, filled, input.step));
  const abilities = {
    effect: action.effect,
    probe: action.probe !== undefined,
    verify: action.verify !== undefined,
    compensate: action.compensate !== undefined,
    prepare: action.check !== undefined || action.capture !== undefined,
    ...action.abilities?.(parsed),
  };
  const host = action.host?.(parsed);
  const child = action.child?.(parsed, { runId: input.run.id, stepId: input.step });
  return {
    resolved: {
      input: filled,
      subject: action.subject?.(parsed) ?? '',
      abilities,
      hash,
      ...(host === undefined ? {} : { host }),
      ...(action.timer === undefined ? {} : { timerMs: action.timer(parsed) }),
      ...(child === undefined ? {} : { child: JSON.parse(JSON.stringify(child)) as NonNullable<ResolvedStep['child']> }),
    },
  };
}

/** Without secrets where the action takes any text in their place: what comes of it is shown and remembered. */
function parseForShow(deps: ActivityDeps, action: Action, filled: Json, step: string): unknown {
  const references = { found: false };
  mapReferences(filled, () => {
    references.found = true;
    return '';
  });
  try {
    return action.parse(withoutSecrets(filled));
  } catch (error) {
    if (!references.found) throw named(error, step);
  }
  try {
    return action.parse(withSecrets(deps.loaded, filled, `step ${step}`));
  } catch (error) {
    throw named(error, step);
  }
}

const named = (error: unknown, step: string): unknown =>
  error instanceof ResurgoError && error.code === 'inputInvalid' ? new ResurgoError('inputInvalid', `step ${step}, with: ${error.message}`, { cause: error, details: error.details }) : error;

interface Call {
  readonly action: Action;
  readonly context: ActionContext<unknown>;
  readonly captured: unknown;
  readonly output: unknown;
}

/** Has an action do something. Texts that come of it, errors among them, are without the secrets it was given. */
async function withCall<T>(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost, work: (call: Call, mask: Mask) => Promise<T>): Promise<T> {
  const mask = maskOf(deps.loaded, phase.input);
  return masking(mask, async () => work(await prepareCall(deps, phase, host, mask), mask));
}

async function prepareCall(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost, mask: Mask): Promise<Call> {
  const action = (await actionsOf(deps)).get(phase.uses, phase.version);
  const context: ActionContext<unknown> = {
    runId: phase.run.id,
    plan: phase.run.plan,
    stepId: phase.step,
    attempt: host.attempt,
    fence: phase.run.fence,
    input: action.parse(withSecrets(deps.loaded, phase.input, `step ${phase.step}`)),
    mode: phase.run.mode,
    dryRun: false,
    signal: host.signal,
    report: (progress) => { host.report(mask(progress)); },
  };
  return { action, context, captured: phase.captured, output: phase.output };
}

/** New effects are only begun where the plan is configured as it was where the run started. @throws configMismatch */
function assertSamePlan(deps: ActivityDeps, { run }: PhaseInput): void {
  const here = planHashOf(deps.loaded, run.plan);
  if (here !== run.configHash) throw new ResurgoError('configMismatch', `plan ${run.plan} is configured differently on this worker (${here?.slice(0, 12) ?? 'not there'}) than where the run was started (${run.configHash.slice(0, 12)})`);
}

const plain = (value: unknown): Json => (value === undefined ? null : (JSON.parse(JSON.stringify(value)) as Json));

/** `check`, then `capture`. Effect: none. What was captured is to be brought back as it was. */
export async function prepareStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost, options: { readonly dryRun?: boolean } = {}): Promise<{ captured: Json; remarks: readonly string[] }> {
  if (options.dryRun !== true) assertSamePlan(deps, phase);
  return withCall(deps, phase, host, async ({ action, context }, mask) => {
    const call = { ...context, dryRun: options.dryRun === true };
    const remarks = mask((await action.check?.(call)) ?? []);
    const captured = options.dryRun === true ? null : plain(await action.capture?.(call));
    return { captured, remarks };
  });
}

const maxOutput = 32 * 1024;

/** Effect: the action's. @throws fenced when a newer run of this plan and target has begun; configMismatch */
export async function applyStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<{ summary: string; output: Json }> {
  assertSamePlan(deps, phase);
  await assertFence(deps.loaded.stateDir, phase.run);
  return withCall(deps, phase, host, async ({ action, context, captured }, mask) => {
    const { summary, output } = mask(await action.apply(context, captured));
    const made = plain(output);
    const size = JSON.stringify(made).length;
    if (size > maxOutput) return { summary, output: { tooLarge: true, bytes: size } };
    return { summary, output: made };
  });
}

export async function verifyStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<string> {
  return withCall(deps, phase, host, async ({ action, context, captured, output }, mask) => mask((await action.verify?.(context, captured, output)) ?? 'verified'));
}

/** A step's own `verify:`: another action without effect. */
export async function confirmStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<string> {
  return withCall(deps, phase, host, async ({ action, context }, mask) => {
    await action.check?.(context);
    const { summary } = await action.apply(context, undefined);
    return mask(summary);
  });
}

export async function probeStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<'applied' | 'notApplied' | 'unknown'> {
  return withCall(deps, phase, host, async ({ action, context, captured }) => (await action.probe?.(context, captured)) ?? 'unknown');
}

/** @throws undoConflict when something else has been set since; fenced */
export async function compensateStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<string> {
  await assertFence(deps.loaded.stateDir, phase.run);
  return withCall(deps, phase, host, async ({ action, context, captured, output }, mask) => mask((await action.compensate?.(context, captured, output)) ?? 'nothing had to be undone'));
}

/** The action a step names under `compensate:`. */
export async function undoStep(deps: ActivityDeps, phase: PhaseInput, host: PhaseHost): Promise<string> {
  await assertFence(deps.loaded.stateDir, phase.run);
  return withCall(deps, phase, host, async ({ action, context }, mask) => {
    await action.check?.(context);
    const captured = await action.capture?.(context);
    const { summary, output } = await action.apply(context, captured);
    return mask(action.verify === undefined ? summary : await action.verify(context, captured, output));
  });
}
