import { createClient } from '@redis/client';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redisPurge } from '../../activities/actions/redis/purge.ts';
import { contextOf } from '../support/action-context.ts';
import { debianTool, freePort, ServerProcess, tempDir } from '../support/index.ts';

const port = await freePort();
const url = `redis://127.0.0.1:${String(port)}/0`;
const dir = tempDir('redis');
let server: ServerProcess;
const client = createClient({ url });

beforeAll(async () => {
  server = new ServerProcess({ name: 'redis', file: await debianTool('redis-server'), args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir.path, '--save', '', '--requirepass', 'secret'], logFile: join(dir.path, 'redis.log') });
  process.env['REDIS_TEST_PASSWORD'] = 'secret';
  for (let i = 0; ; i++) {
    try {
      const probe = createClient({ url, password: 'secret' });
      probe.on('error', () => undefined);
      await probe.connect();
      for (let n = 0; n < 2000; n++) await probe.set(`${n % 2 === 0 ? 'analytics_' : 'session_'}${String(n)}`, 'x'.repeat(100));
      await probe.set('analytics*literal', '1');
      await probe.set('ana[l]ytics', '1');
      probe.destroy();
      break;
    } catch (error) {
      if (i > 600) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
});
afterAll(async () => {
  if (client.isOpen) client.destroy();
  await server.end('SIGTERM');
  await dir.stop();
});

test('A5 redis.purge removes by literal prefix and nothing else, records memory, and a wrong login is told', async () => {
  const input = { url, password: { env: 'REDIS_TEST_PASSWORD' }, prefixes: ['analytics_'] };
  const context = contextOf(redisPurge, input);
  expect(await redisPurge.check?.(context)).toEqual([expect.stringContaining('2002 keys')]);
  const captured = (await redisPurge.capture?.(context)) as never;
  const { output } = await redisPurge.apply(context, captured);
  expect(output).toMatchObject({ removed: 1000 });
  // Twice is once.
  expect((await redisPurge.apply(context, captured)).output).toMatchObject({ removed: 0 });
  for (const [prefix, removed] of [['analytics*', 1], ['ana[l]', 1], ['sess?', 0]] as const) expect((await redisPurge.apply(contextOf(redisPurge, { ...input, prefixes: [prefix] }), captured)).output).toMatchObject({ removed });
  expect((await redisPurge.apply(contextOf(redisPurge, { url, password: { env: 'REDIS_TEST_PASSWORD' }, all: true }), captured)).output).toMatchObject({ removed: 1000 });
  await expect(redisPurge.check?.(contextOf(redisPurge, { url, prefixes: ['x'] }))).rejects.toMatchObject({ code: 'cacheFailed' });
  await expect(redisPurge.check?.(contextOf(redisPurge, { url: 'redis://127.0.0.1:1/0', prefixes: ['x'] }))).rejects.toMatchObject({ code: 'cacheFailed' });
  expect(() => redisPurge.parse({ url })).toThrow(/either prefixes, or all/);
  expect(() => redisPurge.parse({ url: 'redis://:pw@h/0', all: true })).toThrow(/by reference/);
});
