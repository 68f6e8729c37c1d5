import { targetOf } from '../../config/lookup.ts';
import type { TargetConfig } from '../../config/schema.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { checkConfigBundle } from './config-target.ts';
import { checkGroup } from './group-target.ts';
import { checkFiles } from './files-target.ts';
import type { CheckScope, Finding } from './finding.ts';
import { checkDataset } from './dataset-target.ts';
import { checkHooks } from './hooks.ts';
import { checkRds } from './rds-target.ts';
import { checkPostgres } from './postgres-target.ts';

export interface CheckedTarget {
  readonly findings: readonly Finding[];
  /** What a first backup would read, where that is known. */
  readonly sourceBytes?: number;
}

/** Looks at one type of target: is it there, may we read it, can it do what the policies want? */
export type TargetCheck<T extends TargetConfig['type']> = (scope: CheckScope, name: string, target: Extract<TargetConfig, { readonly type: T }>) => Promise<CheckedTarget>;

/** By `type`, a line each. */
const checks: { readonly [T in TargetConfig['type']]?: TargetCheck<T> } = {
  postgres: checkPostgres,
  files: checkFiles,
  dataset: checkDataset,
  rds: checkRds,
  config: checkConfigBundle,
  group: checkGroup,
};

export async function checkTarget(scope: CheckScope, name: string): Promise<CheckedTarget> {
  const target = targetOf(scope.loaded.config, name);
  const check = checks[target.type] as ((scope: CheckScope, name: string, target: TargetConfig) => Promise<CheckedTarget>) | undefined;
  if (check === undefined) throw new ResurgoError('bug', `nothing checks targets of type ${target.type}`);
  const checked = await check(scope, name, target);
  return { ...checked, findings: [...checked.findings, ...checkHooks(scope, name, target)] };
}
