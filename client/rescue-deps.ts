import { KeyRing } from '../activities/key-ring.ts';
import type { ActivityDeps } from '../activities/deps.ts';
import { Stores } from '../activities/stores.ts';
import type { LoadedConfig } from '../config/load.ts';
import { version } from './version.ts';

/** What activities need where there is no worker and no Temporal, only the configuration. */
export const createRescueDeps = (loaded: LoadedConfig, options: { readonly host?: string; readonly signal: AbortSignal }): ActivityDeps => ({
  loaded, version, host: options.host ?? 'rescue', stores: new Stores(loaded), keys: new KeyRing(loaded), searchAttributes: false, signal: options.signal,
});
