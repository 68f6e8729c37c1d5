import { ResurgoError } from '../../domain/errors.ts';
import type { ActivityDeps } from '../deps.ts';
import type { TargetSettings } from '../target-settings.ts';
import type { RestoreEngine } from './restore-engine.ts';
export function physicalRestoreEngine(_deps: ActivityDeps, _settings: TargetSettings): RestoreEngine {
  throw new ResurgoError('unsupported', 'being built');
}
