import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import { ResurgoError } from '../domain/errors.ts';

/** Whose restore `id` was, from this host's records; a configuration with one target needs none. @throws usage */
export async function targetOfRestore({ stateDir, config }: Pick<LoadedConfig, 'stateDir' | 'config'>, id: string): Promise<string> {
  if (!/^[0-9a-z]{12}$/.test(id)) throw new ResurgoError('usage', `${id} is not a restore id (12 characters, from the result of \`resurgo restore\`)`);
  try {
    const record = JSON.parse(await readFile(join(stateDir, 'restores', `${id}.json`), 'utf8')) as { plan: { target: string } };
    return record.plan.target;
  } catch {
    const names = Object.keys(config.targets);
    if (names.length === 1 && names[0] !== undefined) return names[0];
    throw new ResurgoError('usage', `no record of restore ${id} is on this host; name its target with --target`);
  }
}
