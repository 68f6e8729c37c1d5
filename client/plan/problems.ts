/** Problems of plans with their lines: the configuration is read once more for where things stand. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { compilePlan, plansOf, type PlanProblem } from '../../activities/plan/compile.ts';
import type { ActionRegistry } from '../../activities/actions/registry.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { fieldName, parseYaml, type ConfigProblem } from '../../config/yaml-source.ts';

export interface PlanCheckResult {
  readonly plan: string;
  readonly problems: readonly ConfigProblem[];
}

/** Every plan, or one, compared with the actions there are. @throws planUnknown */
export function findProblems(loaded: LoadedConfig, registry: ActionRegistry, only?: string): PlanCheckResult[] {
  const names = only === undefined ? Object.keys(plansOf(loaded.config)) : [only];
  const source = parseYaml(readFileSync(loaded.path, 'utf8'));
  return names.map((plan) => ({
    plan,
    problems: compilePlan(loaded.config, registry, plan).problems.map(({ path: at, part, message }: PlanProblem) => ({ ...source.locate(at, part), field: fieldName(at), message, code: 'configInvalid' as const })),
  }));
}

export const describeProblem = (loaded: LoadedConfig, { line, column, field, message }: ConfigProblem): string => {
  const relative = path.relative(process.cwd(), loaded.path);
  return `${relative.startsWith('..') ? loaded.path : relative}:${String(line)}:${String(column)} ${field}: ${message}`;
};

/** @throws planInvalid with every problem and its line */
export function assertPlan(loaded: LoadedConfig, registry: ActionRegistry, plan: string): void {
  const [found] = findProblems(loaded, registry, plan);
  const problems = found?.problems ?? [];
  if (problems.length === 0) return;
  throw new ResurgoError('planInvalid', `${problems.length === 1 ? '' : `Plan ${plan} has ${String(problems.length)} problems:\n`}${problems.map((problem) => describeProblem(loaded, problem)).join('\n')}`, { details: { problems } });
}
