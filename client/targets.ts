import type { LoadedConfig } from '../config/load.ts';
import { targetOf } from '../config/lookup.ts';

/** Says a wrong name before anything is started. @throws targetUnknown */
export function assertTarget({ config }: Pick<LoadedConfig, 'config'>, name: string): void {
  targetOf(config, name);
}
