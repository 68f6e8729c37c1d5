/** Which Temporal to talk to: the environment or temporal.toml when they say so, else the `resurgo up` of this configuration. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { ConnectionOptions } from '@temporalio/client';
import { ResurgoError } from '../domain/errors.ts';
import { readUpState } from './up-state.ts';

export interface TemporalTarget {
  readonly connection: ConnectionOptions & { address: string };
  readonly namespace: string;
  /** Base URL of the UI, when known. */
  readonly ui?: string;
}

export const explicitTemporal = (env: NodeJS.ProcessEnv = process.env): boolean =>
  [env['TEMPORAL_ADDRESS'], env['TEMPORAL_CONFIG_FILE'], env['TEMPORAL_PROFILE']].some((value) => value !== undefined && value !== '') ||
  existsSync(join(env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'temporalio', 'temporal.toml'));

/** @throws temporalUnreachable when nothing says where Temporal is; configInvalid for a broken temporal.toml */
export async function resolveTemporal(stateDir: string, options: { waitMs?: number } = {}): Promise<TemporalTarget> {
  if (explicitTemporal()) {
    try {
      const { connectionOptions, namespace } = loadClientConnectConfig();
      const address = connectionOptions.address ?? 'localhost:7233';
      const ui = process.env['TEMPORAL_UI_URL'];
      return { connection: { ...connectionOptions, address }, namespace: namespace ?? 'default', ...(ui === undefined ? {} : { ui }) };
    } catch (error) {
      throw new ResurgoError('configInvalid', `temporal.toml or TEMPORAL_*: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
  const deadline = Date.now() + (options.waitMs ?? 30_000);
  for (;;) {
    const state = await readUpState(stateDir);
    if (state === undefined) break;
    if (state.ready) return { connection: { address: state.address }, namespace: state.namespace, ui: state.ui };
    if (Date.now() > deadline) throw new ResurgoError('temporalUnreachable', `resurgo up (pid ${String(state.pid)}) has been starting for more than 30 s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new ResurgoError('temporalUnreachable', `there is no Temporal to talk to: no "resurgo up" runs for ${stateDir}, and neither TEMPORAL_ADDRESS nor temporal.toml names one`);
}
