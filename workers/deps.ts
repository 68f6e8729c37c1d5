import type { LoadedConfig } from '../config/load.ts';
import type { ActivityDeps } from '../activities/deps.ts';
import { KeyRing } from '../activities/key-ring.ts';
import { Stores } from '../activities/stores.ts';
import { version } from '../client/version.ts';

/** Everything activities need, made once. */
export function createDeps(loaded: LoadedConfig, parts: Pick<ActivityDeps, 'host' | 'searchAttributes'> & Partial<Pick<ActivityDeps, 'waitForClose' | 'isRunning' | 'newestRun' | 'cancelParent' | 'listSchedules' | 'readiness' | 'outcomeOf' | 'submitAlert' | 'startNotification' | 'startRun' | 'runs' | 'onProgress'>>): ActivityDeps {
  return { loaded, version, stores: new Stores(loaded), keys: new KeyRing(loaded), ...parts };
}
