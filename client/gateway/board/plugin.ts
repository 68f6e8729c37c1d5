/** The readiness board (O2) and the health metrics (O3), plugged into the gateway. Reads only. */
import { randomBytes } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Secret } from '../../../config/secret.ts';
import { tokenOfAuthorization } from '../authenticate.ts';
import { anyEquals, SecretSet } from '../secrets.ts';
import type { GatewayMetrics } from '../metrics.ts';
import type { BoardFacts } from './facts.ts';
import { healthMetrics } from './metrics.ts';
import { boardBody, boardPage } from './page.ts';

export interface BoardOptions {
  readonly facts: () => Promise<BoardFacts>;
  /** Who looks must show this; without one the board answers only on loopback. */
  readonly token?: Secret;
  readonly env?: NodeJS.ProcessEnv;
}

const loopback = /^(127\.|::1$|::ffff:127\.)/;
/** A page of somebody else's that has its own name point to 127.0.0.1 still sends that name. */
const isOwnName = (host: string): boolean => /^(localhost|[a-z0-9.-]+\.localhost|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])(:\d+)?$/i.test(host);

export function board(options: BoardOptions): (app: FastifyInstance, metrics: GatewayMetrics) => void {
  return (app, metrics) => {
    const tokens = options.token === undefined ? undefined : new SecretSet([options.token], 'gateway.boardToken', options.env);
    const setHealth = healthMetrics(metrics.registry);
    const guard = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
      if (tokens === undefined) return loopback.test(request.ip) && isOwnName(request.host) ? undefined : reply.code(404).send({ error: 'there is nothing here' });
      const given = tokenOfAuthorization(request.headers.authorization);
      if (given !== undefined && anyEquals(tokens.all(), given)) return undefined;
      return reply.code(401).header('www-authenticate', 'Basic realm="resurgo", charset="UTF-8"').send({ error: 'a token is needed' });
    };
    app.get('/', { onRequest: guard }, async (_, reply) => {
      const nonce = randomBytes(16).toString('base64');
      const page = boardPage(await options.facts(), nonce);
      return safe(reply, nonce).type('text/html; charset=utf-8').send(page);
    });
    app.get('/board', { onRequest: guard }, async (_, reply) => safe(reply).type('text/html; charset=utf-8').send(boardBody(await options.facts())));
    app.get('/api/board', { onRequest: guard }, async (_, reply) => safe(reply).send(await options.facts()));
    app.addHook('onRequest', async (request) => {
      if (request.method !== 'GET' || request.url.split('?')[0] !== '/metrics') return;
      // A scrape without them is better than none: their absence is what alerts on.
      await options.facts().then(setHealth, () => undefined);
    });
  };
}

const safe = (reply: FastifyReply, nonce?: string): FastifyReply =>
  reply.headers({
    'content-security-policy': `default-src 'none'; ${nonce === undefined ? '' : `style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'; connect-src 'self'; `}base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store',
  });
