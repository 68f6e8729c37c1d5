import type { LoadedConfig } from '../../config/load.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { gatherEvidence } from '../evidence.ts';

export interface LastDrill {
  readonly id: string;
  readonly at: string;
  readonly status: string;
}

/** The newest restore drill of each target, from its signed evidence; what cannot be believed is none. */
export async function lastDrills(loaded: LoadedConfig): Promise<Map<string, LastDrill>> {
  const found = new Map<string, LastDrill>();
  try {
    // Newest first: a repository that lags behind has an older one later.
    for (const { id, target, at, status } of (await gatherEvidence(loaded, { kind: 'drill', perTarget: 1 })).evidence) if (!found.has(target)) found.set(target, { id, at, status });
  } catch (error) {
    if (!isResurgoError(error)) throw error;
  }
  return found;
}
