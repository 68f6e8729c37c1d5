/**
 * From a plan as written to the snapshot of a run: defaults filled in, child plans unfolded, every action and expression looked at.
 * What is wrong is told with its place in the configuration, all at once.
 */
import { createHash } from 'node:crypto';
import type { Action } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ActionUse, ApprovalSpec, Json, PlanSnapshot, StepSpec } from '../../domain/plan/model.ts';
import { canonicalJson } from '../../config/canonical.ts';
import { channelRoutes } from '../../config/channels.ts';
import type { ConfigPath } from '../../config/yaml-source.ts';
import type { Config } from '../../config/schema.ts';
import type { ActionUseConfig, ApprovalConfig, PlanConfig, PlanStepConfig } from '../../config/schema-plan.ts';
import { didYouMean } from '../../config/suggest.ts';
import type { ActionRegistry } from '../actions/registry.ts';
import { checkWith, knownLater } from './check-with.ts';
import { Expressions } from './check-expressions.ts';
import { findCircle } from './graph.ts';

export interface PlanProblem {
  readonly path: ConfigPath;
  readonly part?: 'key' | 'value';
  readonly message: string;
}

export interface Compiled {
  readonly problems: readonly PlanProblem[];
  readonly snapshot?: PlanSnapshot;
}

export interface RunParameters {
  readonly target?: string;
  readonly params?: Readonly<Record<string, Json>>;
}

const defaultTimeoutMs = 600_000;
const maxSteps = 500;
const maxDepth = 5;
/** Step that waits for the approval of the plan as a whole. */
export const planApprovalStep = 'approve-plan';

export const plansOf = (config: Config): Readonly<Record<string, PlanConfig>> => config.plans ?? {};

/** @throws planUnknown */
export function planOf(config: Config, name: string): PlanConfig {
  const plans = plansOf(config);
  const found = Object.hasOwn(plans, name) ? plans[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(plans);
  throw new ResurgoError('planUnknown', `The configuration has no plan ${JSON.stringify(name)}${didYouMean(name, names) || (names.length === 0 ? '; it has none' : `; there are ${names.slice(0, 20).join(', ')}`)}.`);
}

/** @throws planUnknown */
export function compilePlan(config: Config, registry: ActionRegistry, name: string, run: RunParameters = {}): Compiled {
  const plan = planOf(config, name);
  const compiler = new Compiler(config, registry);
  const steps = compiler.plan(name, plan, { scope: '', roots: [], trail: [name], at: ['plans', name] });
  const params = compiler.params(plan, run.params, ['plans', name]);
  if (steps.length > maxSteps) compiler.report(['plans', name, 'steps'], `has ${String(steps.length)} steps with those of its child plans; at most ${String(maxSteps)}`, 'key');
  if (compiler.problems.length > 0) return { problems: compiler.problems };
  const body = {
    schemaVersion: 1 as const,
    plan: name,
    ...(plan.description === undefined ? {} : { description: plan.description }),
    ...(run.target === undefined ? {} : { target: run.target }),
    priority: plan.priority,
    onFailure: plan.onFailure,
    personMs: plan.waitForPerson,
    params,
    steps,
    ...(plan.budget === undefined ? {} : { budgetMs: plan.budget }),
  };
  return { problems: [], snapshot: { ...body, hash: createHash('sha256').update(canonicalJson(body)).digest('hex') } };
}

interface Scope {
  readonly scope: string;
  /** What steps without needs of their own need. */
  readonly roots: readonly string[];
  /** Names of the plans on the way here. */
  readonly trail: readonly string[];
  readonly at: ConfigPath;
}

class Compiler {
  readonly problems: PlanProblem[] = [];
  private readonly config: Config;
  private readonly registry: ActionRegistry;

  constructor(config: Config, registry: ActionRegistry) {
    this.config = config;
    this.registry = registry;
  }

  report(path: ConfigPath, message: string, part?: 'key' | 'value'): void {
    // The same child plan may be used twice.
    if (!this.problems.some((known) => known.message === message && known.path.join('\0') === path.join('\0'))) this.problems.push({ path, message, ...(part === undefined ? {} : { part }) });
  }

  plan(name: string, plan: PlanConfig, scope: Scope): StepSpec[] {
    const at = scope.at;
    const ids = plan.steps.map(({ id }) => id);
    const written = plan.steps.map((step, index) => ({ ...step, needs: step.needs ?? (index === 0 ? [] : [ids[index - 1] as string]), at: [...at, 'steps', index] as ConfigPath }));
    const seen = new Set<string>();
    for (const step of written) {
      if (seen.has(step.id)) this.report([...step.at, 'id'], `"${step.id}" is there twice; every step has its own id`);
      if (step.id === planApprovalStep && plan.approval !== undefined) this.report([...step.at, 'id'], `"${step.id}" is taken by the approval of the plan; take another`);
      seen.add(step.id);
      for (const [index, need] of step.needs.entries()) {
        const where = plan.steps.find(({ id }) => id === step.id)?.needs === undefined ? step.at : [...step.at, 'needs', index];
        if (need === step.id) this.report(where, `"${need}" needs itself`);
        else if (!ids.includes(need)) this.report(where, `"${need}" is no step of this plan${didYouMean(need, ids)}`);
      }
    }
    const circle = findCircle(written);
    if (circle !== undefined && circle[0] !== circle[1]) {
      const first = written.find(({ id }) => id === circle[0]);
      this.report([...(first?.at ?? at), 'needs'], `steps wait for each other in a circle: ${circle.join(' → ')}`, 'key');
    }
    const expressions = new Expressions({ plan, steps: written, registry: this.registry, report: (path, message, part) => { this.report(path, message, part); } });
    const specs: StepSpec[] = [];
    /** What "after this step" means: the step, or everything its child plan does. */
    const ends = new Map<string, string[]>();
    const full = (id: string): string => (scope.scope === '' ? id : `${scope.scope}/${id}`);
    let { roots } = scope;
    if (plan.approval !== undefined) {
      const id = full(planApprovalStep);
      specs.push({ id, needs: roots, scope: scope.scope, ...this.emptyUse('approve'), with: { from: [...plan.approval.from] }, critical: true, pointOfNoReturn: false, approval: this.approval(plan.approval, [...at, 'approval']) });
      roots = [id];
    }
    const unfolded = new Map<string, StepSpec[]>();
    for (const step of written) {
      if (step.uses === 'plan') unfolded.set(step.id, this.child(step, step.at, full(step.id), scope));
      ends.set(step.id, [full(step.id), ...(unfolded.get(step.id) ?? []).map(({ id }) => id)]);
    }
    for (const step of written) {
      const needs = [...new Set(step.needs.length === 0 ? roots : step.needs.flatMap((need) => ends.get(need) ?? []))];
      expressions.step(step);
      specs.push(step.uses === 'plan' ? this.childEntry(step, full(step.id), needs, scope.scope) : this.step(step, step.at, full(step.id), needs, scope.scope));
      specs.push(...(unfolded.get(step.id) ?? []));
    }
    return specs;
  }

  private emptyUse(uses: string): ActionUse {
    return { uses, version: this.registry.find(uses)?.version ?? 1, with: {}, effect: 'none', timeoutMs: defaultTimeoutMs };
  }

  private step(step: PlanStepConfig, at: ConfigPath, id: string, needs: readonly string[], scope: string): StepSpec {
    const { use, action, input } = this.use(step, at);
    if (step.retries !== undefined && use.effect === 'irreversible') {
      this.report([...at, 'retries'], `${step.uses} must happen at most once, so it is never tried again; remove retries`, 'key');
    }
    let approval = step.approval === undefined ? undefined : this.approval(step.approval, [...at, 'approval']);
    if (step.uses === 'approve' && input !== undefined) {
      if (approval !== undefined) this.report([...at, 'approval'], 'stands beside the action approve, which is one itself; remove one', 'key');
      approval = this.approval(input as ApprovalConfig, [...at, 'with']);
    }
    if (step.uses === 'notify' && input !== undefined) this.channels((input as { channels?: readonly string[] }).channels ?? [], [...at, 'with', 'channels']);
    const verify = step.verify === undefined ? undefined : this.use(step.verify, [...at, 'verify'], 60_000);
    if (verify !== undefined && verify.action !== undefined && (verify.use.effect !== 'none' || verify.action.timer !== undefined || verify.action.child !== undefined || verify.action.name === 'approve')) {
      this.report([...at, 'verify', 'uses'], `"${verify.use.uses}" ${verify.use.effect === 'none' ? 'tells nothing' : 'changes something'}; a verification only looks: use for example http.ok`);
    }
    const compensate = step.compensate === undefined || step.compensate === false ? step.compensate : this.simpleUse(step.compensate, [...at, 'compensate']);
    const fallback = step.fallback === undefined ? undefined : this.use(step.fallback, [...at, 'fallback']).use;
    if (action?.name === 'approve' && step.fallback !== undefined) this.report([...at, 'fallback'], 'an approval has no fallback', 'key');
    return {
      id,
      needs,
      scope,
      ...use,
      ...(step.if === undefined ? {} : { if: step.if }),
      critical: step.critical && action?.neverCritical !== true,
      pointOfNoReturn: step.pointOfNoReturn || action?.pointOfNoReturn === true,
      ...(verify === undefined ? {} : { verify: verify.use }),
      ...(compensate === undefined ? {} : { compensate }),
      ...(fallback === undefined ? {} : { fallback }),
      ...(approval === undefined ? {} : { approval }),
      ...(step.phase === undefined ? {} : { phase: step.phase }),
      ...(step.budget === undefined ? {} : { budgetMs: step.budget }),
    };
  }

  private simpleUse(use: ActionUseConfig, at: ConfigPath): ActionUse {
    const made = this.use(use, at);
    if (made.action?.child !== undefined || made.action?.timer !== undefined || made.action?.name === 'approve') this.report([...at, 'uses'], `"${use.uses}" cannot be used to undo a step`);
    return made.use;
  }

  private use(use: ActionUseConfig, at: ConfigPath, timeoutMs?: number): { use: ActionUse; action?: Action; input?: unknown } {
    const action = this.registry.find(use.uses);
    const made: ActionUse = {
      uses: use.uses,
      version: action?.version ?? 1,
      with: JSON.parse(JSON.stringify(use.with ?? {})) as Json,
      effect: action?.effect ?? 'irreversible',
      timeoutMs: use.timeout ?? timeoutMs ?? action?.defaultTimeoutMs ?? defaultTimeoutMs,
      ...(use.retries === undefined ? {} : { retries: use.retries }),
    };
    if (action === undefined) {
      const names = [...this.registry.names(), 'plan'];
      this.report([...at, 'uses'], use.uses === 'plan' ? '"plan" can only be a step' : `"${use.uses}" is no action${didYouMean(use.uses, names) || `; there are ${names.join(', ')}`}`);
      return { use: made };
    }
    const checked = checkWith(action, use.with ?? {});
    for (const { path, message } of checked.problems) this.report(path.length === 0 || use.with === undefined ? [...at, use.with === undefined ? 'uses' : 'with'] : [...at, 'with', ...path], use.with === undefined && path.length > 0 ? `with.${path.join('.')} ${message}` : message, path.length === 0 ? 'key' : undefined);
    if (checked.input === undefined) return { use: made, action };
    const effect = action.abilities?.(checked.input).effect ?? action.effect;
    return { use: { ...made, effect }, action, input: checked.input };
  }

  private channels(names: readonly string[], at: ConfigPath): void {
    const known = channelRoutes(this.config).map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      if (name !== knownLater && !known.includes(name)) this.report([...at, index], `"${name}" is no channel of notify${didYouMean(name, known) || (known.length === 0 ? '; there are none: name them in the section "notify"' : `; there are ${known.join(', ')}`)}`);
    }
  }

  private approval(approval: ApprovalConfig, at: ConfigPath): ApprovalSpec {
    const known = Object.keys(this.config.approvers ?? {});
    const from = [...new Set(approval.from)];
    for (const [index, name] of approval.from.entries()) {
      if (!known.includes(name)) this.report([...at, 'from', index], `"${name}" is none of the approvers${didYouMean(name, known) || (known.length === 0 ? '; there are none: name them in the section "approvers"' : `; there are ${known.join(', ')}`)}`);
    }
    if (from.length !== approval.from.length) this.report([...at, 'from'], 'names somebody twice; one person counts once', 'key');
    if (approval.count > from.length) this.report([...at, 'count'], `${String(approval.count)} cannot be had of ${String(from.length)}`);
    for (const [index, { notify }] of (approval.escalate ?? []).entries()) this.channels(notify, [...at, 'escalate', index, 'notify']);
    return {
      from,
      count: approval.count,
      withinMs: approval.within,
      onTimeout: approval.onTimeout,
      ...(approval.question === undefined ? {} : { question: approval.question }),
      escalate: (approval.escalate ?? []).map(({ after, notify }) => ({ afterMs: after, notify })),
    };
  }

  // --- child plans

  private childOf(step: PlanStepConfig): { name: string; params: Record<string, unknown> } | undefined {
    const { plan, params } = (step.with ?? {}) as { plan?: unknown; params?: unknown };
    return typeof plan === 'string' ? { name: plan, params: typeof params === 'object' && params !== null ? (params as Record<string, unknown>) : {} } : undefined;
  }

  private child(step: PlanStepConfig, at: ConfigPath, id: string, scope: Scope): StepSpec[] {
    for (const key of ['timeout', 'retries', 'verify', 'compensate', 'fallback', 'budget', 'phase'] as const)
      if (step[key] !== undefined) this.report([...at, key], `has no meaning for a child plan; give it to the steps of that plan`, 'key');
    if (!step.critical) this.report([...at, 'critical'], 'is not possible for a child plan; say it of its steps', 'key');
    if (step.pointOfNoReturn) this.report([...at, 'pointOfNoReturn'], 'is not possible for a child plan; say it of its steps', 'key');
    const made = this.childOf(step);
    if (made === undefined) {
      this.report([...at, 'with'], 'names no plan; write with: { plan: NAME }', 'key');
      return [];
    }
    for (const key of Object.keys(step.with ?? {})) if (key !== 'plan' && key !== 'params') this.report([...at, 'with', key], `"${key}" is not a known field${didYouMean(key, ['plan', 'params']) || '; known are plan, params'}`, 'key');
    const plans = plansOf(this.config);
    const plan = Object.hasOwn(plans, made.name) ? plans[made.name] : undefined;
    if (plan === undefined) {
      this.report([...at, 'with', 'plan'], `"${made.name}" is no plan of this configuration${didYouMean(made.name, Object.keys(plans))}`);
      return [];
    }
    if (scope.trail.includes(made.name)) {
      this.report([...at, 'with', 'plan'], `plans use each other in a circle: ${[...scope.trail.slice(scope.trail.indexOf(made.name)), made.name].join(' → ')}`);
      return [];
    }
    if (scope.trail.length >= maxDepth) {
      this.report([...at, 'with', 'plan'], `plans are nested more than ${String(maxDepth)} deep`);
      return [];
    }
    for (const key of Object.keys(made.params))
      if (!Object.hasOwn(plan.params ?? {}, key)) this.report([...at, 'with', 'params', key], `"${key}" is no parameter of plan ${made.name}${didYouMean(key, Object.keys(plan.params ?? {}))}`, 'key');
    for (const [key, parameter] of Object.entries(plan.params ?? {}))
      if (typeof parameter === 'object' && parameter.default === undefined && !Object.hasOwn(made.params, key)) this.report([...at, 'with'], `plan ${made.name} needs the parameter ${key}`, 'key');
    return this.plan(made.name, plan, { scope: id, roots: [id], trail: [...scope.trail, made.name], at: ['plans', made.name] });
  }

  private childEntry(step: PlanStepConfig, id: string, needs: readonly string[], scope: string): StepSpec {
    const made = this.childOf(step);
    const plan = made === undefined ? undefined : plansOf(this.config)[made.name];
    const defaults = Object.fromEntries(Object.entries(plan?.params ?? {}).flatMap(([key, parameter]) => (defaultOf(parameter) === undefined ? [] : [[key, defaultOf(parameter) as Json]])));
    return {
      id,
      needs,
      scope,
      ...this.emptyUse('plan'),
      with: { plan: made?.name ?? '', params: { ...defaults, ...(JSON.parse(JSON.stringify(made?.params ?? {})) as Record<string, Json>) } },
      childPlan: made?.name ?? '',
      ...(step.if === undefined ? {} : { if: step.if }),
      critical: true,
      pointOfNoReturn: false,
      ...(step.approval === undefined ? {} : { approval: this.approval(step.approval, ['plans']) }),
    };
  }

  /** @throws inputInvalid for what was given with the run */
  params(plan: PlanConfig, given: Readonly<Record<string, Json>> = {}, at: ConfigPath): Record<string, Json> {
    const declared = plan.params ?? {};
    for (const key of Object.keys(given))
      if (!Object.hasOwn(declared, key)) throw new ResurgoError('inputInvalid', `The plan has no parameter ${JSON.stringify(key)}${didYouMean(key, Object.keys(declared)) || (Object.keys(declared).length === 0 ? '; it has none' : `; it has ${Object.keys(declared).join(', ')}`)}.`);
    const values: Record<string, Json> = {};
    for (const [key, parameter] of Object.entries(declared)) {
      const value = Object.hasOwn(given, key) ? given[key] : defaultOf(parameter);
      const type = typeof parameter === 'object' ? parameter.type : typeof parameter === 'number' ? 'number' : typeof parameter === 'boolean' ? 'boolean' : 'text';
      if (value === undefined) {
        values[key] = `\${{ params.${key} }}`;
        continue;
      }
      const fits = type === 'text' ? typeof value === 'string' : typeof value === type;
      if (!fits && Object.hasOwn(given, key)) throw new ResurgoError('inputInvalid', `The parameter ${key} is ${JSON.stringify(value)}; it must be ${type === 'text' ? 'text' : `a ${type}`}.`);
      if (!fits) this.report([...at, 'params', key], `its default is no ${type}`, 'key');
      values[key] = value;
    }
    return values;
  }
}

const defaultOf = (parameter: NonNullable<PlanConfig['params']>[string]): Json | undefined => (typeof parameter === 'object' ? parameter.default : parameter);

/** Parameters a run must be given, and was not. */
export const missingParams = (config: Config, name: string, given: Readonly<Record<string, Json>> = {}): string[] =>
  Object.entries(planOf(config, name).params ?? {}).filter(([key, parameter]) => defaultOf(parameter) === undefined && !Object.hasOwn(given, key)).map(([key]) => key);
