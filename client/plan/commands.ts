import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { errors, isErrorCode, isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { idFromUuid, lockIds } from '../../domain/ids.ts';
import { wasTouchedBy, type PlanResult } from '../../domain/plan/result.ts';
import type { PlanView } from '../../domain/plan/view.ts';
import { actionsOf } from '../../activities/actions/index.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { planOf, plansOf } from '../../activities/plan/compile.ts';
import { previewPlan } from '../../activities/plan/preview.ts';
import { createDeps } from '../../workers/deps.ts';
import { defaultHostName } from '../../workers/main.ts';
import type { CliContext } from '../cli-context.ts';
import type { Connected } from '../connect.ts';
import type { PlanRunFlags } from '../commands/plan.ts';
import { formatTable } from '../text.ts';
import { describePreview, describeResult, describeWanted } from './describe.ts';
import { recoverInput } from './input.ts';
import { assertPlan, describeProblem, findProblems } from './problems.ts';

/** What plans are checked with: the worker's own rules, on this host. */
async function planDeps(context: CliContext): Promise<ActivityDeps> {
  const loaded = await context.loadConfig();
  return createDeps(loaded, { host: defaultHostName(loaded.stateDir), searchAttributes: false });
}

export async function listPlans(context: CliContext): Promise<undefined> {
  const deps = await planDeps(context);
  const checked = findProblems(deps.loaded, await actionsOf(deps));
  const plans = Object.entries(plansOf(deps.loaded.config)).map(([name, plan]) => ({
    name,
    description: plan.description ?? '',
    priority: plan.priority,
    steps: plan.steps.length,
    problems: checked.find((each) => each.plan === name)?.problems.length ?? 0,
  }));
  const columns = ['plan', 'priority', 'steps', 'problems', 'what for'].map((title) => ({ title }));
  context.output.result({ schemaVersion: 1, plans }, () =>
    plans.length === 0 ? 'the configuration has no plans; docs/guides/plans.md shows some' : formatTable(columns, plans.map((plan) => [plan.name, plan.priority, String(plan.steps), plan.problems === 0 ? '' : String(plan.problems), plan.description])),
  );
  return undefined;
}

/** A plan of that name as configured, else a run. */
export async function showPlan(context: CliContext, name: string): Promise<number | undefined> {
  const deps = await planDeps(context);
  if (Object.hasOwn(plansOf(deps.loaded.config), name)) return previewCommand(context, name, { check: false });
  const { viewRun } = await import('./steer.ts');
  const view = await viewRun(context, name);
  context.output.result(view, () => [describeResult(view), ...describeWanted(view)].join('\n'));
  return undefined;
}

/** 0 when every plan is valid and could work, 2 when one is not valid, 3 when a step could not work. */
export async function checkPlans(context: CliContext, name: string | undefined, flags: { offline?: boolean }): Promise<number | undefined> {
  const deps = await planDeps(context);
  const registry = await actionsOf(deps);
  const found = findProblems(deps.loaded, registry, name === undefined ? undefined : (planOf(deps.loaded.config, name), name));
  const plans = [];
  for (const { plan, problems } of found) {
    const missing = problems.length > 0 || flags.offline === true ? undefined : await liveCheck(deps, plan, context.signal);
    plans.push({ plan, status: problems.length > 0 ? 'invalid' : missing === undefined ? 'valid' : missing.some(({ outcome }) => outcome === 'failed') ? 'would fail' : 'ready', problems, steps: missing ?? [] });
  }
  const lines = plans.flatMap(({ plan, status, problems, steps }) => [
    `${plan}: ${status}`,
    ...problems.map((problem) => `  ${describeProblem(deps.loaded, problem)}`),
    ...steps.filter(({ outcome }) => outcome !== 'ok').map(({ step, outcome, detail }) => `  ${step}: ${outcome === 'failed' ? detail : `not asked: ${detail}`}`),
  ]);
  context.output.result({ schemaVersion: 1, plans }, () => (lines.length === 0 ? 'the configuration has no plans' : lines.join('\n')));
  return plans.some(({ status }) => status === 'invalid') ? 2 : plans.some(({ status }) => status === 'would fail') ? 3 : undefined;
}

async function liveCheck(deps: ActivityDeps, plan: string, signal: AbortSignal) {
  const params = Object.fromEntries(Object.entries(planOf(deps.loaded.config, plan).params ?? {}).flatMap(([key, parameter]) => (typeof parameter === 'object' && parameter.default === undefined ? [[key, `\${{ params.${key} }}`]] : [])));
  if (Object.keys(params).length > 0) return [{ step: '', outcome: 'later' as const, detail: `it needs ${Object.keys(params).join(', ')}; see plan preview` }];
  const { steps } = await previewPlan(deps, { plan }, { signal, check: true });
  return steps.flatMap((step) => (step.check === undefined ? [] : [{ step: step.id, ...step.check }]));
}

export async function previewCommand(context: CliContext, name: string, flags: PlanRunFlags): Promise<number | undefined> {
  const deps = await planDeps(context);
  planOf(deps.loaded.config, name);
  assertPlan(deps.loaded, await actionsOf(deps), name);
  const preview = await previewPlan(deps, recoverInput(deps.loaded.config, name, flags), { signal: context.signal, check: flags.check !== false });
  context.output.result(preview, () => describePreview(preview));
  return preview.problems > 0 ? 3 : undefined;
}

export async function runPlan(context: CliContext, name: string, flags: PlanRunFlags): Promise<number | undefined> {
  const deps = await planDeps(context);
  const input = recoverInput(deps.loaded.config, name, flags);
  assertPlan(deps.loaded, await actionsOf(deps), name);
  const { runAndFollow, startedBy } = await import('../session.ts');
  const id = idFromUuid(randomUUID());
  const who = await startedBy(context.env);
  try {
    const result = await runAndFollow(context, 'recover', { ...input, startedBy: who }, {
      detach: flags.detach === true,
      workflowId: `plan/${name}/${id}`,
      ...(flags.wait === true ? {} : { watch: (connected: Connected, signal: AbortSignal) => watchForPeople(connected, lockIds.plan(name, flags.target), id, signal) }),
    });
    if (result === undefined) return undefined;
    context.output.result(result, () => describeResult(result));
    return result.warnings.length > 0 ? 7 : undefined;
  } catch (error) {
    return showFailedPlan(context, error);
  }
}

/** Rejects when the run waits for a person, with what is wanted of them. */
async function watchForPeople({ client }: Connected, workflowId: string, run: string, signal: AbortSignal): Promise<never> {
  for (;;) {
    await sleep(700, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return new Promise<never>(() => undefined);
    const view = await client.workflow.getHandle(workflowId).query<PlanView>('plan').catch(() => undefined);
    if (view?.id !== run || view.stage === 'ended') continue;
    const wanted = describeWanted(view);
    if (wanted.length === 0 || view.steps.some((step) => step.status === 'in progress' && !view.approvals.some(({ step: id }) => id === step.id) && view.held?.step !== step.id)) continue;
    throw new ResurgoError('outcomeUnknown', `run ${run} waits for a person; it goes on by itself then\n${wanted.join('\n')}`, { details: { hint: `resurgo plan show ${run}; --wait keeps waiting here.`, waiting: true, view } });
  }
}

/** With the result where there is one. */
export function showFailedPlan(context: CliContext, error: unknown): number {
  if (!isResurgoError(error)) throw error;
  const result = error.details['result'] as PlanResult | undefined;
  const view = error.details['view'] as PlanView | undefined;
  if (view !== undefined) {
    context.output.result(view, () => describeResult(view));
    context.output.error(error.message, error.hint);
    return 5;
  }
  if (result === undefined) throw error;
  context.output.result(result, () => describeResult(result));
  context.output.error(error.message, error.hint);
  return exitCodeOf(result);
}

export function exitCodeOf(result: PlanResult): number {
  if (result.status === 'completed') return result.warnings.length > 0 ? 7 : 0;
  if (result.status === 'compensated') return 4;
  const code = result.error?.code ?? 'bug';
  const { exitCode } = errors[isErrorCode(code) ? code : 'bug'];
  // "Refused before anything was touched" is only true when nothing was.
  return exitCode === 3 && wasTouchedBy(result) ? 1 : exitCode;
}


/** 3 when one would fail. */
export async function showEvaluations(context: CliContext): Promise<number | undefined> {
  const { stateDir } = await context.loadConfig();
  const [{ newestEvaluations }, { withTemporal }] = await Promise.all([import('./evaluations.ts'), import('./steer.ts')]);
  // Without Temporal, what this host made itself is better than nothing.
  const report = await withTemporal(context, ({ client }) => newestEvaluations(stateDir, client)).catch(() => newestEvaluations(stateDir, undefined));
  if (report === undefined) throw new ResurgoError('controlRefused', 'No evaluation of the plans is known.', { details: { hint: '`resurgo schedules apply` makes one every half an hour; `resurgo plan check` looks now.' } });
  context.output.result(report, () =>
    [`as of ${report.at}`, ...report.plans.flatMap(({ plan, status, problems, steps }) => [`${plan}: ${status}`, ...problems.map((problem) => `  ${problem}`), ...steps.filter(({ outcome }) => outcome === 'failed').map(({ step, detail }) => `  ${step}: ${detail}`)])].join('\n'),
  );
  return report.plans.some(({ status }) => status !== 'ready') ? 3 : undefined;
}
