/** Actions of a user's own: a TypeScript or JavaScript file named in the configuration (A6). */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Action } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { readTrustedFile } from '../../config/safe-file.ts';
import type { LoadedConfig } from '../../config/load.ts';

const maxBytes = 1024 * 1024;
const namePattern = /^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+$/;

/**
 * The file's default export, and every export that is an action. It is code of the worker's own process: a file that others may write is refused.
 * @throws configUnsafe, configInvalid naming the file and what is wrong with it
 */
export async function loadUserActions(loaded: Pick<LoadedConfig, 'config'>): Promise<Action[]> {
  const actions: Action[] = [];
  for (const file of loaded.config.actions ?? []) {
    readTrustedFile(file, 'Action file', maxBytes);
    if (!/\.(m?ts|m?js)$/.test(file)) throw new ResurgoError('configInvalid', `actions: ${file} is neither a .ts nor a .js file.`);
    let module: Record<string, unknown>;
    try {
      module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
    } catch (error) {
      throw new ResurgoError('configInvalid', `actions: ${file} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    const found = [...new Set(Object.values(module))].filter((value) => typeof value === 'object' && value !== null && 'apply' in value);
    if (found.length === 0) throw new ResurgoError('configInvalid', `actions: ${file} exports no action (an object with name, version, effect, parse and apply).`);
    for (const value of found) actions.push(asAction(value, path.basename(file)));
  }
  return actions;
}

function asAction(value: Record<string, unknown>, file: string): Action {
  const problem = (text: string): never => {
    throw new ResurgoError('configInvalid', `actions: ${file}: ${text}`, { details: { hint: 'docs/guides/actions.md shows one.' } });
  };
  const { name, version, effect } = value;
  if (typeof name !== 'string' || !namePattern.test(name)) return problem(`name is ${JSON.stringify(name)}; it must be like area.verb`);
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1) return problem(`version of ${name} must be a whole number from 1`);
  if (effect !== 'none' && effect !== 'converge' && effect !== 'irreversible') return problem(`effect of ${name} is ${JSON.stringify(effect)}; it must be none, converge or irreversible`);
  for (const key of ['parse', 'apply']) if (typeof value[key] !== 'function') return problem(`${name} has no ${key}`);
  for (const key of ['check', 'capture', 'probe', 'verify', 'compensate', 'host', 'subject', 'abilities', 'timer', 'child']) if (value[key] !== undefined && typeof value[key] !== 'function') return problem(`${key} of ${name} is no function`);
  return { description: '', ...value } as unknown as Action;
}
