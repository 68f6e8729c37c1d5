import type { RestoreVerification } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { TargetSettings } from '../target-settings.ts';

/** Starts a restored cluster in isolation, checks what the server can check, and stops it. */
export async function checkScratchCluster(_settings: TargetSettings, _dataDir: string, _signal: AbortSignal): Promise<RestoreVerification> {
  throw new ResurgoError('unsupported', 'scratch restores of physical backups are not supported by this version');
}
