import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import type { PlanSnapshot } from '../../domain/plan/model.ts';
import { canonicalJson } from '../../config/canonical.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { actionsOf } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import { compilePlan, missingParams, planOf, plansOf, type RunParameters } from './compile.ts';

/** Hash of a plan as configured here, with the child plans it uses and its approvers' names; undefined when there is none of that name. */
export function planHashOf(loaded: Pick<LoadedConfig, 'source'>, name: string): string | undefined {
  const plans = plansOf(loaded.source);
  const used: Record<string, unknown> = {};
  const visit = (plan: string): void => {
    const found = Object.hasOwn(plans, plan) ? plans[plan] : undefined;
    if (found === undefined || Object.hasOwn(used, plan)) return;
    used[plan] = found;
    for (const step of found.steps) if (step.uses === 'plan' && typeof step.with?.['plan'] === 'string') visit(step.with['plan']);
  };
  visit(name);
  if (!Object.hasOwn(used, name)) return undefined;
  return createHash('sha256').update(canonicalJson({ plans: used, approvers: Object.keys(loaded.source.approvers ?? {}).sort() })).digest('hex');
}

/** @throws planUnknown; planInvalid with every problem; inputInvalid for missing or wrong parameters */
export async function snapshotOf(deps: ActivityDeps, name: string, run: RunParameters = {}): Promise<PlanSnapshot> {
  const { config } = deps.loaded;
  planOf(config, name);
  const missing = missingParams(config, name, run.params);
  if (missing.length > 0) throw new ResurgoError('inputInvalid', `Plan ${name} needs ${missing.length === 1 ? 'the parameter' : 'the parameters'} ${missing.join(', ')}.`, { details: { hint: 'Give each by --param NAME=VALUE, or as "params" in the input.' } });
  const { snapshot, problems } = compilePlan(config, await actionsOf(deps), name, run);
  if (snapshot === undefined) {
    const lines = problems.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new ResurgoError('planInvalid', `Plan ${name} has ${String(problems.length)} problem${problems.length === 1 ? '' : 's'}: ${lines.slice(0, 20).join('; ')}`);
  }
  return snapshot;
}
