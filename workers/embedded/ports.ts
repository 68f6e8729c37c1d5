import { createServer } from 'node:net';

/** Whether a loopback port can be bound just now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => { resolve(false); });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => { resolve(true); }));
  });
}

/** The wanted port when it is free, else any free one. */
export async function portNear(wanted: number): Promise<number> {
  if (await isFree(wanted)) return wanted;
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = server.address();
      server.close(() => { resolve(typeof address === 'object' && address !== null ? address.port : wanted); });
    });
  });
}
