import type { LoadedConfig } from '../config/load.ts';
import { ResurgoError } from '../domain/errors.ts';

/** Says a wrong name before anything is started. @throws targetUnknown */
export function assertTarget({ config, path }: Pick<LoadedConfig, 'config' | 'path'>, name: string): void {
  if (Object.hasOwn(config.targets, name)) return;
  throw new ResurgoError('targetUnknown', `there is no target "${name}" in ${path}; it has: ${Object.keys(config.targets).join(', ') || 'none'}`);
}
