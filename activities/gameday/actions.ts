/**
 * The actions of a plan inside a sandbox. What works on the target is bound to the sandbox; what the configuration calls safe (`run:`) is really done; everything else
 * would reach production, so it is only looked at: its `check` is asked, as in a preview, and what it would have done is recorded.
 */
import type { Action, ActionContext } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { realMark, simulatedMark, type Sandbox } from '../../domain/gameday.ts';
import type { ActionRegistry } from '../actions/registry.ts';
import { actionsOf, makeRegistry, registryOf } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import type { ServiceInput } from '../actions/service/common.ts';

export interface SandboxActionsOptions {
  readonly production: ActivityDeps;
  readonly sandboxed: ActivityDeps;
  readonly sandbox: Sandbox;
  /** Whether this step is one of those that are really done. */
  readonly real: boolean;
  readonly environment: Readonly<Record<string, string>>;
}

/** Pure waiting is no effect; a durable timer goes on. */
const asTheyAre = new Set(['wait']);
/** Bound to the sandbox when their input names its target. */
const onTarget = new Set(['postgres.validate', 'postgres.end-sessions', 'restore', 'restore.confirm']);
/** May be named under `run:`; everything else Resurgo brings reaches what is not the database. */
const mayRun = (action: Pick<Action, 'name'>, builtIn: ReadonlySet<string>): boolean => !builtIn.has(action.name) || ['exec', 'http.call', 'http.ok'].includes(action.name);

/** Names of actions that `run:` may make real. */
export async function runnable(deps: ActivityDeps, name: string): Promise<boolean> {
  const action = (await actionsOf(deps)).find(name);
  return action !== undefined && mayRun(action, new Set(registryOf(deps).names()));
}

export async function sandboxActions({ production, sandboxed, sandbox, real, environment }: SandboxActionsOptions): Promise<ActionRegistry> {
  const outside = await actionsOf(production);
  const inside = registryOf(sandboxed);
  const builtIn = new Set(inside.names());
  return makeRegistry(
    outside.all().map((action): Action => {
      if (asTheyAre.has(action.name)) return action;
      if (action.name === 'approve') return approved(action, sandbox);
      const simulated = simulate(action, sandbox);
      const own = inside.find(action.name);
      if (own !== undefined && onTarget.has(action.name)) return choose(action, (input) => ((input as { target?: string }).target === sandbox.target && (input as { mode?: string }).mode !== 'beside' ? bound(own, sandbox) : simulated));
      if (own !== undefined && action.name.startsWith('service.')) return choose(action, (input) => (sandbox.services.includes((input as ServiceInput).name) ? service(own, sandbox) : simulated));
      return real && mayRun(action, builtIn) ? really(action, sandbox, environment) : simulated;
    }),
  );
}

/** Which of several stands for an action depends on the input of its use. */
function choose(action: Action, pick: (input: unknown) => Action): Action {
  const { name, version, description, parse, fields, outputs, subject, defaultTimeoutMs } = action;
  const of = (context: Pick<ActionContext<unknown>, 'input'>): Action => pick(context.input);
  const abilities = (input: unknown): Required<ReturnType<NonNullable<Action['abilities']>>> => {
    const own = pick(input);
    return { effect: own.effect, probe: own.probe !== undefined, verify: own.verify !== undefined, compensate: own.compensate !== undefined, ...own.abilities?.(input) };
  };
  return {
    name, version, description, parse, effect: action.effect, abilities,
    ...(fields === undefined ? {} : { fields }), ...(outputs === undefined ? {} : { outputs }), ...(subject === undefined ? {} : { subject }), ...(defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs }),
    host: (input) => pick(input).host?.(input),
    child: ((input: unknown, context: { runId: string; stepId: string }) => pick(input).child?.(input, context)) as NonNullable<Action['child']>,
    check: async (context) => (await of(context).check?.(context)) ?? [],
    capture: async (context) => of(context).capture?.(context),
    apply: (context, captured) => of(context).apply(context, captured),
    probe: async (context, captured) => (await of(context).probe?.(context, captured)) ?? 'unknown',
    verify: async (context, captured, output) => (await of(context).verify?.(context, captured, output)) ?? 'verified',
    compensate: async (context, captured, output) => (await of(context).compensate?.(context, captured, output)) ?? 'nothing had to be undone',
  };
}

/** Really done, in the sandbox, by the worker that has it. */
function bound(action: Action, sandbox: Sandbox): Action {
  const host = (): string => sandbox.host;
  const child = action.child;
  if (child === undefined) return { ...action, host };
  return {
    ...action,
    host,
    child: (input, context) => {
      const made = child(input, context);
      // The same restore, step by step, but by activities that know the sandbox.
      const inside = (workflow: string): string => (workflow === 'restore' ? 'sandboxRestore' : 'sandboxFinishRestore');
      return {
        ...made,
        workflow: inside(made.workflow),
        input: { sandbox, restore: made.input },
        ...(made.compensate === undefined ? {} : { compensate: { workflow: inside(made.compensate.workflow), input: { sandbox, restore: made.compensate.input } } }),
      };
    },
  };
}

/** The service is the sandbox's own server. */
function service(action: Action, sandbox: Sandbox): Action {
  const control = (word: string): string[] => [sandbox.control, word];
  const own = <C extends ActionContext<unknown>>(context: C): C => ({ ...context, input: { ...(context.input as ServiceInput), manager: 'command', start: control('start'), stop: control('stop'), status: control('status'), restart: undefined } });
  return wrap(action, { host: () => sandbox.host }, own);
}

/** Not of the sandbox, and really done all the same: the configuration says that it may be. */
function really(action: Action, sandbox: Sandbox, environment: Readonly<Record<string, string>>): Action {
  const told = <C extends ActionContext<unknown>>(context: C): C => (action.name === 'exec' ? { ...context, input: { ...(context.input as object), env: { ...environment, ...(context.input as { env?: object }).env } } } : context);
  const made = wrap(action, { host: () => sandbox.host }, told);
  return {
    ...made,
    apply: async (context, captured) => {
      const { summary, output } = await made.apply(context, captured);
      return { summary: `${realMark}${summary}`, output };
    },
  };
}

/** The same action, with another context. */
function wrap(action: Action, more: Partial<Action>, change: <C extends ActionContext<unknown>>(context: C) => C): Action {
  const { check, capture, probe, verify, compensate } = action;
  return {
    ...action,
    ...more,
    ...(check === undefined ? {} : { check: (context) => check(change(context)) }),
    ...(capture === undefined ? {} : { capture: (context) => capture(change(context)) }),
    apply: (context, captured) => action.apply(change(context), captured),
    ...(probe === undefined ? {} : { probe: (context, captured) => probe(change(context), captured) }),
    ...(verify === undefined ? {} : { verify: (context, captured, output) => verify(change(context), captured, output) }),
    ...(compensate === undefined ? {} : { compensate: (context, captured, output) => compensate(change(context), captured, output) }),
  };
}

/** Its check is asked, where it can be asked here; nothing is changed. */
function simulate(action: Action, sandbox: Sandbox): Action {
  const { name, version, description, parse, fields, outputs, subject, check } = action;
  return {
    name, version, description, parse, effect: 'none',
    ...(fields === undefined ? {} : { fields }), ...(outputs === undefined ? {} : { outputs }), ...(subject === undefined ? {} : { subject }),
    host: () => sandbox.host,
    apply: async (context) => {
      const what = [name, subject?.(context.input) ?? ''].filter((word) => word !== '').join(' ');
      const elsewhere = action.host?.(context.input);
      const output = Object.fromEntries((outputs ?? []).map((key) => [key, null]));
      if (check === undefined || (elsewhere !== undefined && elsewhere !== sandbox.host)) return { summary: `${simulatedMark}${what} was not done${elsewhere === undefined ? '' : `, nor asked on host ${elsewhere}`}`, output };
      try {
        const remarks = await check({ ...context, dryRun: true });
        return { summary: `${simulatedMark}${what} could be done${remarks.length === 0 ? '' : `: ${remarks.join('; ')}`}`, output };
      } catch (error) {
        if (!(error instanceof ResurgoError)) throw error;
        throw new ResurgoError(error.code, `${simulatedMark}${what} could NOT be done: ${error.message}`, { cause: error, details: error.details });
      }
    },
  };
}

/** Nobody is asked in a game day. */
const approved = ({ name, version, description, parse, fields, subject }: Action, sandbox: Sandbox): Action => ({
  name, version, description, parse, effect: 'none',
  ...(fields === undefined ? {} : { fields }), ...(subject === undefined ? {} : { subject }),
  outputs: [],
  host: () => sandbox.host,
  apply: async () => ({ summary: `${simulatedMark}nobody was asked; taken as approved`, output: {} }),
});
