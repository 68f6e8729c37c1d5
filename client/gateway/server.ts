/** The HTTP side of the gateway: `/hooks/NAME`, `/healthz`, `/metrics`, and what others plug in. */
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { WebhookConfig } from '../../config/schema-webhooks.ts';
import { Hook, type HookDeps } from './hooks.ts';
import { Offenders } from './limits.ts';
import { gatewayMetrics, type GatewayMetrics } from './metrics.ts';
import { Problem } from './problem.ts';

export interface GatewayOptions extends HookDeps {
  readonly webhooks: readonly WebhookConfig[];
  /** Whether Temporal answers now. */
  readonly isUp: () => Promise<boolean>;
  readonly log?: (line: { readonly hook?: string; readonly status: number; readonly message: string }) => void;
  /** More routes: API, board. */
  readonly plugins?: readonly ((app: FastifyInstance, metrics: GatewayMetrics) => void | Promise<void>)[];
  /** Wrong tokens or signatures per second and address before the answer is 429. Default 2. */
  readonly wrongPerSecond?: number;
  /** Longest time a request may take to arrive. */
  readonly requestMs?: number;
}

/** Deliveries at work at once; more are told to come again. */
const maxAtWork = 200;

export async function createGateway(options: GatewayOptions): Promise<FastifyInstance> {
  const hooks = new Map(options.webhooks.map((webhook) => [webhook.name, new Hook(webhook, options)]));
  const metrics = gatewayMetrics();
  const requestMs = options.requestMs ?? 10_000;
  const app = fastify({
    logger: false,
    bodyLimit: Math.max(1024 ** 2, ...options.webhooks.map((webhook) => webhook.maxBody)),
    routerOptions: { maxParamLength: 100 },
    // A sender that drips its request is cut off; node looks this often.
    requestTimeout: requestMs,
    connectionTimeout: requestMs * 3,
    keepAliveTimeout: 65_000,
    http: { headersTimeout: requestMs, connectionsCheckingInterval: Math.min(1000, requestMs), maxHeaderSize: 16_384 },
    forceCloseConnections: 'idle',
    trustProxy: false,
    return503OnClosing: true,
  });
  app.server.maxConnections = 1000;

  app.get('/healthz', async (_, reply) => {
    const up = await options.isUp();
    metrics.temporalUp.set(up ? 1 : 0);
    return reply.code(up ? 200 : 503).send({ status: up ? 'ok' : 'unavailable', temporal: up });
  });
  app.get('/metrics', async (_, reply) => {
    metrics.temporalUp.set((await options.isUp()) ? 1 : 0);
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  await app.register(async (scope) => hookRoutes(scope, hooks, metrics, options));
  for (const plugin of options.plugins ?? []) await plugin(app, metrics);
  app.setNotFoundHandler((_, reply) => reply.code(404).send({ error: 'there is nothing here' }));
  app.setErrorHandler((error, request, reply) => answerError(error, reply, (status, message) => options.log?.({ status, message: `${request.method} ${request.routeOptions.url ?? ''}: ${message}` })));
  return app;
}

function hookRoutes(app: FastifyInstance, hooks: ReadonlyMap<string, Hook>, metrics: GatewayMetrics, options: GatewayOptions): void {
  const offenders = new Offenders(options.wrongPerSecond ?? 2);
  let atWork = 0;
  // The raw bytes are what is signed; SNS says text/plain.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => {
    done(null, body);
  });
  app.route<{ Params: { name: string } }>({
    // Grafana can be told to PUT.
    method: ['POST', 'PUT'],
    url: '/hooks/:name',
    onRequest: async (request, reply) => {
      const hook = hooks.get(request.params.name);
      if (hook === undefined) return reply.code(404).send({ error: 'there is no such webhook' });
      if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'] !== 'identity') return reply.code(415).send({ error: 'send the body as it is, not compressed' });
      const length = Number(request.headers['content-length'] ?? 0);
      if (length > hook.config.maxBody) return reply.code(413).send({ error: `bodies have at most ${String(hook.config.maxBody)} bytes here` });
      return undefined;
    },
    handler: async (request, reply) => {
      const { name } = request.params;
      const hook = hooks.get(name);
      if (hook === undefined) return reply.code(404).send({ error: 'there is no such webhook' });
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const end = metrics.seconds.startTimer({ hook: name });
      try {
        if (body.length > hook.config.maxBody) throw new Problem(413, `bodies have at most ${String(hook.config.maxBody)} bytes here`);
        if (atWork >= maxAtWork) throw new Problem(503, 'busy; come again', 1);
        atWork++;
        try {
          const { status, ...taken } = await hook.take(request.headers, body);
          metrics.deliveries.inc({ hook: name, status: String(status) });
          metrics.alerts.inc({ hook: name, outcome: 'accepted' }, taken.accepted);
          metrics.alerts.inc({ hook: name, outcome: 'known' }, taken.known);
          metrics.alerts.inc({ hook: name, outcome: 'ignored' }, taken.ignored);
          return await reply.code(status).send(taken);
        } finally {
          atWork--;
        }
      } catch (error) {
        let problem = error;
        if (error instanceof Problem && (error.status === 401 || error.status === 403) && !offenders.mayFail(request.ip)) problem = new Problem(429, 'too many wrong attempts', 10);
        return await answerError(problem, reply, (status, message) => {
          metrics.deliveries.inc({ hook: name, status: String(status) });
          options.log?.({ hook: name, status, message });
        });
      } finally {
        end();
      }
    },
  });
}

/** Nothing of what went wrong inside is told to strangers; what is not ours to name is a 500, which senders try again. */
function answerError(error: unknown, reply: FastifyReply, note: (status: number, message: string) => void): FastifyReply {
  const message = error instanceof Error ? error.message : String(error);
  const framework = (error as { statusCode?: unknown } | null)?.statusCode;
  const status = error instanceof Problem ? error.status : typeof framework === 'number' && framework >= 400 && framework < 600 ? framework : 500;
  note(status, message);
  if (error instanceof Problem && error.retryAfterSeconds !== undefined) void reply.header('retry-after', String(error.retryAfterSeconds));
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  return reply.code(status).send({ error: status === 503 ? 'not accepted just now; send it again' : status >= 500 ? 'something went wrong here' : message });
}
