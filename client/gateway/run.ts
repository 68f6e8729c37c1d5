/** The gateway process: composition root of what comes in. */
import { Client, Connection } from '@temporalio/client';
import { ResurgoError } from '../../domain/errors.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { resolveTemporal, type TemporalTarget } from '../temporal-address.ts';
import { gatewayDefaults } from './defaults.ts';
import { rememberedBoard } from './board/facts.ts';
import { board } from './board/plugin.ts';
import { createGateway, type GatewayOptions } from './server.ts';
import { SnsVerifier } from './sns.ts';
import { coalesced } from './coalesce.ts';
import { temporalSubmit } from './submit.ts';

export interface RunGatewayOptions {
  readonly loaded: LoadedConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly host?: string;
  readonly port?: number;
  readonly signal: AbortSignal;
  readonly onReady: (facts: { readonly url: string; readonly webhooks: readonly string[] }) => void;
  readonly log: NonNullable<GatewayOptions['log']>;
  /** Default: as the environment, temporal.toml or `resurgo up` say. */
  readonly temporal?: TemporalTarget;
  readonly recentMs?: number;
}

/** Listens until `signal` aborts. Temporal may be away: deliveries are then answered 503, and senders try again. */
export async function runGateway(options: RunGatewayOptions): Promise<void> {
  const { loaded, signal, env } = options;
  const target = options.temporal ?? (await resolveTemporal(loaded.stateDir));
  // The first call connects, and later ones connect again: a gateway outlives its server.
  const connection = Connection.lazy(target.connection);
  const client = new Client({ connection, namespace: target.namespace });
  const app = await createGateway({
    webhooks: loaded.config.webhooks ?? [],
    submit: coalesced(temporalSubmit(client, { deadlineMs: 4000 })),
    sns: new SnsVerifier(),
    env,
    recentMs: options.recentMs ?? 60_000,
    isUp: remembered(1000, async () => {
      try {
        await connection.withDeadline(Date.now() + 2000, () => connection.workflowService.describeNamespace({ namespace: target.namespace }));
        return true;
      } catch {
        return false;
      }
    }),
    log: options.log,
    plugins: [board({ facts: rememberedBoard({ loaded, client }, 4000), env, ...(loaded.config.gateway?.boardToken === undefined ? {} : { token: loaded.config.gateway.boardToken }) })],
  });
  const host = options.host ?? loaded.config.gateway?.host ?? gatewayDefaults.host;
  const port = options.port ?? loaded.config.gateway?.port ?? gatewayDefaults.port;
  try {
    const url = await app.listen({ host, port }).catch((error: unknown) => {
      throw new ResurgoError('destinationBusy', `the gateway cannot listen on ${host}:${String(port)}: ${error instanceof Error ? error.message : String(error)}`, { details: { hint: 'Give another gateway.port, or --port.' } });
    });
    options.onReady({ url, webhooks: (loaded.config.webhooks ?? []).map((webhook) => webhook.name) });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => { resolve(); }, { once: true });
    });
  } finally {
    // Deliveries at work are answered first.
    await app.close();
    await connection.close();
  }
}

/** One question at a time, its answer good for a moment. */
function remembered(ms: number, ask: () => Promise<boolean>): () => Promise<boolean> {
  let answer: Promise<boolean> | undefined;
  let at = 0;
  return () => {
    if (answer === undefined || performance.now() - at > ms) {
      at = performance.now();
      answer = ask();
    }
    return answer;
  };
}
