import { ResurgoError } from '../../domain/errors.ts';
import type { Json } from '../../domain/plan/model.ts';
import type { RecoverInput } from '../../domain/plan/result.ts';
import type { Config } from '../../config/schema.ts';
import { planOf } from '../../activities/plan/compile.ts';
import type { PlanRunFlags } from '../commands/plan.ts';

/** @throws usage, planUnknown */
export function recoverInput(config: Config, plan: string, flags: PlanRunFlags): RecoverInput {
  const { mode, onBusy } = flags;
  if (mode !== undefined && mode !== 'graceful' && mode !== 'ungraceful') throw new ResurgoError('usage', `--mode is ${JSON.stringify(mode)}; it must be graceful or ungraceful`);
  if (onBusy !== undefined && onBusy !== 'refuse' && onBusy !== 'wait' && onBusy !== 'skip') throw new ResurgoError('usage', `--on-busy is ${JSON.stringify(onBusy)}; it must be refuse, wait or skip`);
  const params = paramsOf(config, plan, flags.param ?? []);
  return {
    plan,
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(mode === undefined ? {} : { mode }),
    ...(Object.keys(params).length === 0 ? {} : { params }),
    ...(flags.incident === undefined ? {} : { incident: flags.incident }),
    ...(flags.scenario === undefined ? {} : { scenario: flags.scenario }),
    ...(onBusy === undefined ? {} : { onBusy }),
  };
}

/** `NAME=VALUE`, as the plan declares them. @throws usage, planUnknown */
export function paramsOf(config: Config, plan: string, words: readonly string[]): Record<string, Json> {
  const declared = planOf(config, plan).params ?? {};
  const params: Record<string, Json> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw new ResurgoError('usage', `--param ${word}: write NAME=VALUE`);
    const name = word.slice(0, at);
    const parameter = Object.hasOwn(declared, name) ? declared[name] : undefined;
    const type = typeof parameter === 'object' ? parameter.type : typeof parameter;
    params[name] = typed(word.slice(at + 1), type === 'number' || type === 'boolean' ? type : 'text', name);
  }
  return params;
}

function typed(value: string, type: 'number' | 'boolean' | 'text', name: string): Json {
  if (type === 'text') return value;
  if (type === 'boolean') {
    if (value === 'true' || value === 'false') return value === 'true';
    throw new ResurgoError('usage', `--param ${name}: ${JSON.stringify(value)} is neither true nor false`);
  }
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number)) throw new ResurgoError('usage', `--param ${name}: ${JSON.stringify(value)} is no number`);
  return number;
}
