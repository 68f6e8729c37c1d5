import type { RedisClientType } from '@redis/client';
import { ResurgoError } from '../../domain/errors.ts';

export interface RedisPlace {
  /** `redis://host:6379/0`; without a password. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

export interface RedisFacts {
  readonly keys: number;
  readonly usedBytes: number;
}

type Client = RedisClientType;

/** @throws cacheFailed */
async function withRedis<T>(place: RedisPlace, signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T> {
  // Hundreds of modules: a worker whose plans purge nothing starts without them.
  const { createClient } = await import('@redis/client');
  const client = createClient({
    url: place.url, ...(place.username === undefined ? {} : { username: place.username }), ...(place.password === undefined ? {} : { password: place.password }),
    socket: { connectTimeout: 5000, reconnectStrategy: false }, disableOfflineQueue: true,
  });
  // Without a listener a lost connection would end the process; the call at work rejects with it all the same.
  client.on('error', () => undefined);
  const stop = (): void => { client.destroy(); };
  signal.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    signal.throwIfAborted();
    throw new ResurgoError('cacheFailed', `Redis at ${new URL(place.url).host}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    signal.removeEventListener('abort', stop);
    if (client.isOpen) client.destroy();
  }
}

/** @throws cacheFailed */
export const redisFacts = (place: RedisPlace, signal: AbortSignal): Promise<RedisFacts> => withRedis(place, signal, facts);

async function facts(client: Client): Promise<RedisFacts> {
  const [keys, memory] = [await client.dbSize(), await client.info('memory')];
  return { keys, usedBytes: Number(/used_memory:(\d+)/.exec(memory)?.[1] ?? 0) };
}

/** Every glob character of a prefix is itself. */
const literal = (prefix: string): string => prefix.replaceAll(/[\\*?[\]^-]/g, '\\$&');

/**
 * Removes the keys that begin with one of the prefixes, or all of this database when `all`. In small steps, so that the server answers others meanwhile.
 * A second time removes what is left.
 * @throws cacheFailed
 */
export function purge(place: RedisPlace, what: { readonly prefixes: readonly string[] } | { readonly all: true }, signal: AbortSignal, onProgress: (removed: number) => void): Promise<{ removed: number; before: RedisFacts; after: RedisFacts }> {
  return withRedis(place, signal, async (client) => {
    const before = await facts(client);
    let removed = 0;
    if ('all' in what) {
      await client.sendCommand(['FLUSHDB', 'ASYNC']);
      removed = before.keys;
    } else {
      for (const prefix of what.prefixes) {
        for await (const keys of client.scanIterator({ MATCH: `${literal(prefix)}*`, COUNT: 500 })) {
          signal.throwIfAborted();
          if (keys.length > 0) removed += await client.unlink(keys);
          onProgress(removed);
        }
      }
    }
    return { removed, before, after: await facts(client) };
  });
}
