/** What a plan would do, without doing it: steps, effects, points of no return, what would be undone and how. */
import type { ActionEffect } from '../../domain/action.ts';
import { errors } from '../../domain/errors.ts';
import type { Json, PlanMode, PlanPriority, PlanSnapshot, StepSpec } from '../../domain/plan/model.ts';
import type { RecoverInput } from '../../domain/plan/result.ts';
import { actionsOf } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import { toResurgoError } from '../failure-mapping.ts';
import { checkWith } from './check-with.ts';
import { checkExpression, fillTemplates, hasExpression, splitTemplate, type ExpressionContext } from './expressions.ts';
import { prepareStep } from './phases.ts';
import { planHashOf, snapshotOf } from './snapshot.ts';

export interface PreviewStep {
  readonly id: string;
  readonly uses: string;
  readonly subject: string;
  readonly needs: readonly string[];
  readonly if?: string;
  readonly effect: ActionEffect;
  readonly critical: boolean;
  readonly pointOfNoReturn: boolean;
  /** What a rollback would do about it, in words. */
  readonly undo: string;
  readonly undone: boolean;
  readonly approval?: { readonly from: readonly string[]; readonly count: number; readonly withinMs: number };
  readonly verify: readonly string[];
  readonly fallback?: string;
  readonly timeoutMs: number;
  readonly host?: string;
  /** What the action said when it was asked; absent when it could not be asked yet. */
  readonly check?: { readonly outcome: 'ok' | 'failed' | 'later'; readonly detail: string; readonly code?: string };
}

export interface PlanPreview {
  readonly schemaVersion: 1;
  readonly plan: string;
  readonly description?: string;
  readonly target: string | null;
  readonly mode: PlanMode;
  readonly priority: PlanPriority;
  readonly params: Readonly<Record<string, Json>>;
  readonly onFailure: 'compensate' | 'pause';
  readonly hash: string;
  readonly configHash: string;
  readonly steps: readonly PreviewStep[];
  readonly pointsOfNoReturn: readonly string[];
  readonly problems: number;
}

export interface PreviewOptions {
  readonly signal: AbortSignal;
  /** Ask the actions too, where their input is known by now. */
  readonly check: boolean;
}

/** @throws planUnknown, planInvalid, inputInvalid */
export async function previewPlan(deps: ActivityDeps, input: RecoverInput, options: PreviewOptions): Promise<PlanPreview> {
  const snapshot = await snapshotOf(deps, input.plan, { ...(input.target === undefined ? {} : { target: input.target }), ...(input.params === undefined ? {} : { params: input.params }) });
  const mode = input.mode ?? 'graceful';
  const steps: PreviewStep[] = [];
  for (const spec of snapshot.steps) {
    options.signal.throwIfAborted();
    steps.push(await previewStep(deps, snapshot, spec, mode, input, options));
  }
  return {
    schemaVersion: 1,
    plan: snapshot.plan,
    ...(snapshot.description === undefined ? {} : { description: snapshot.description }),
    target: snapshot.target ?? null,
    mode,
    priority: snapshot.priority,
    params: snapshot.params,
    onFailure: snapshot.onFailure,
    hash: snapshot.hash,
    configHash: planHashOf(deps.loaded, snapshot.plan) ?? '',
    steps,
    pointsOfNoReturn: steps.filter((step) => step.pointOfNoReturn).map(({ id }) => id),
    problems: steps.filter((step) => step.check?.outcome === 'failed').length,
  };
}

async function previewStep(deps: ActivityDeps, snapshot: PlanSnapshot, spec: StepSpec, mode: PlanMode, input: RecoverInput, options: PreviewOptions): Promise<PreviewStep> {
  const common = { id: spec.id, needs: spec.needs, critical: spec.critical, pointOfNoReturn: spec.pointOfNoReturn, timeoutMs: spec.timeoutMs, ...(spec.if === undefined ? {} : { if: spec.if }) };
  const approval = spec.approval === undefined ? {} : { approval: { from: spec.approval.from, count: spec.approval.count, withinMs: spec.approval.withinMs } };
  if (spec.childPlan !== undefined) return { ...common, ...approval, uses: `plan ${spec.childPlan}`, subject: spec.childPlan, effect: 'none', undo: 'its steps are undone one by one', undone: true, verify: [] };
  const action = (await actionsOf(deps)).get(spec.uses, spec.version);
  const known = spec.scope === '' ? knownNow(spec.with, snapshot, mode, input) : hasAnyExpression(spec.with) ? undefined : spec.with;
  const parsed = checkWith(action, known ?? spec.with).input;
  const abilities = parsed === undefined ? {} : (action.abilities?.(parsed) ?? {});
  const effect = abilities.effect ?? spec.effect;
  const undoable = spec.compensate === undefined ? (abilities.compensate ?? action.compensate !== undefined) || (parsed !== undefined && action.child?.(parsed, { runId: 'preview', stepId: spec.id }).compensate !== undefined) : spec.compensate !== false;
  const behind = passedBefore(snapshot, spec);
  const undo =
    effect === 'none' ? 'nothing to undo'
    : behind !== undefined ? `not undone: it comes after the point of no return ${behind}`
    : spec.compensate === false ? 'left as it is'
    : spec.compensate !== undefined ? `${spec.compensate.uses} is run`
    : undoable ? (action.undo ?? 'what was there before comes back')
    : 'CANNOT be undone';
  const host = parsed === undefined ? undefined : action.host?.(parsed);
  return {
    ...common,
    ...approval,
    uses: spec.uses,
    subject: parsed === undefined ? '' : (action.subject?.(parsed) ?? ''),
    effect,
    undo,
    undone: effect === 'none' || (undoable && behind === undefined) || (spec.compensate === false && behind === undefined),
    verify: [...((abilities.verify ?? action.verify !== undefined) ? [spec.uses] : []), ...(spec.verify === undefined ? [] : [spec.verify.uses])],
    ...(spec.fallback === undefined ? {} : { fallback: spec.fallback.uses }),
    ...(host === undefined ? {} : { host }),
    ...(options.check && action.check !== undefined ? { check: await ask(deps, snapshot, spec, known, host, mode, options) } : {}),
  };
}

/** Asks the action itself; only where all of its input is known, and on this host. */
async function ask(deps: ActivityDeps, snapshot: PlanSnapshot, spec: StepSpec, known: Json | undefined, host: string | undefined, mode: PlanMode, options: PreviewOptions): Promise<NonNullable<PreviewStep['check']>> {
  if (known === undefined) return { outcome: 'later', detail: 'its input depends on earlier steps' };
  if (host !== undefined && host !== deps.host) return { outcome: 'later', detail: `is asked on host ${host}` };
  try {
    const { remarks } = await prepareStep(
      deps,
      { run: { id: 'preview', plan: snapshot.plan, fence: '', configHash: '', mode }, step: spec.id, uses: spec.uses, version: spec.version, input: known },
      { attempt: 1, signal: options.signal, report: () => undefined },
      { dryRun: true },
    );
    return { outcome: 'ok', detail: remarks.join('; ') };
  } catch (error) {
    const { code, message } = toResurgoError(error);
    return { outcome: 'failed', detail: message, code: code in errors ? code : 'bug' };
  }
}

/** The point of no return that certainly comes before a step. */
function passedBefore(snapshot: PlanSnapshot, spec: StepSpec): string | undefined {
  const byId = new Map(snapshot.steps.map((step) => [step.id, step]));
  const seen = new Set<string>();
  const queue = [...spec.needs];
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    const step = byId.get(id);
    if (step?.pointOfNoReturn === true) return id;
    queue.push(...(step?.needs ?? []));
  }
  return undefined;
}

const hasAnyExpression = (value: Json): boolean =>
  hasExpression(value) || (Array.isArray(value) ? (value as readonly Json[]).some(hasAnyExpression) : typeof value === 'object' && value !== null && Object.values(value).some((inner) => hasAnyExpression(inner)));

/** The input with parameters filled in; undefined when it needs what earlier steps put out. */
function knownNow(value: Json, snapshot: PlanSnapshot, mode: PlanMode, input: RecoverInput): Json | undefined {
  const needsSteps = (inner: Json): boolean => {
    if (typeof inner === 'string') {
      return splitTemplate(inner).some(({ expression }) => {
        if (expression === undefined) return false;
        const checked = checkExpression(expression);
        return 'problem' in checked || checked.references.some(({ root }) => root === 'steps' || (root === 'incident' && input.incident === undefined));
      });
    }
    if (Array.isArray(inner)) return (inner as readonly Json[]).some(needsSteps);
    return typeof inner === 'object' && inner !== null && Object.values(inner).some((each) => needsSteps(each));
  };
  if (needsSteps(value)) return undefined;
  const context: ExpressionContext = { steps: {}, params: snapshot.params, incident: input.incident ?? {}, mode, target: snapshot.target ?? '', plan: snapshot.plan, run: 'preview' };
  return fillTemplates(value, context);
}
