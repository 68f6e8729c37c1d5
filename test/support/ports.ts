import { createServer } from 'node:net';

const given = new Set<number>();
/** Test files run beside each other: each of their processes has ports of its own, so that none takes one that another has only chosen. */
const lanes = 8;
const lane = Number(process.env['VITEST_POOL_ID'] ?? 0) % lanes;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(false);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => {
        resolve(true);
      });
    });
  });

/**
 * A free loopback port below the kernel's ephemeral range, so that no outgoing connection takes it while its server is
 * being restarted. Never the same twice in a process.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const port = 15_000 + lanes * Math.floor(Math.random() * 2_125) + lane;
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no free loopback port between 15000 and 32000');
}
