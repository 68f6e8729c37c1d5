/** A gateway inside the test process, on a free port. */
import { loadConfig } from '../../config/load.ts';
import { runGateway } from '../../client/gateway/run.ts';
import type { TemporalTarget } from '../../client/temporal-address.ts';
import { register, unregister, type Resource } from './resources.ts';

export interface TestGateway extends Resource {
  readonly url: string;
  readonly log: { readonly status: number; readonly message: string }[];
}

export async function startGateway(options: { configPath: string; temporal: TemporalTarget; env?: NodeJS.ProcessEnv; recentMs?: number }): Promise<TestGateway> {
  const stop = new AbortController();
  const ready = Promise.withResolvers<string>();
  const log: { status: number; message: string }[] = [];
  const running = runGateway({
    loaded: loadConfig(options.configPath, options.env === undefined ? {} : { env: options.env }),
    env: options.env ?? process.env, host: '127.0.0.1', port: 0, temporal: options.temporal, signal: stop.signal,
    onReady: ({ url }) => { ready.resolve(url); }, log: (line) => log.push(line),
    ...(options.recentMs === undefined ? {} : { recentMs: options.recentMs }),
  });
  running.catch((error: unknown) => { ready.reject(error); });
  const url = await ready.promise;
  const gateway: TestGateway = {
    name: `gateway ${url}`, url, log,
    stop: async () => { stop.abort(); await running; unregister(gateway); },
    abandon: () => { stop.abort(); },
  };
  register(gateway);
  return gateway;
}
