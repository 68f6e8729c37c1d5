import { type Socket, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/support/index.ts';

export interface Uplink {
  readonly port: number;
  /** May be changed at any time. */
  bytesPerSecond: number;
  close(): Promise<void>;
}

/** A slow line to a server on this machine: what is sent is held to a rate, what comes back is not. */
export async function openUplink(serverPort: number, bytesPerSecond: number): Promise<Uplink> {
  const sockets = new Set<Socket>();
  let freeAt = 0;
  const uplink = { bytesPerSecond };
  /** All connections share the line. */
  const pay = async (bytes: number): Promise<void> => {
    const now = performance.now();
    freeAt = Math.max(now, freeAt) + (bytes / uplink.bytesPerSecond) * 1000;
    if (freeAt - now > 5) await sleep(freeAt - now);
  };
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: serverPort });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    far.pipe(near);
    const send = async (): Promise<void> => {
      for await (const chunk of near as AsyncIterable<Buffer>) {
        await pay(chunk.length);
        if (!far.write(chunk)) await new Promise((resolve) => far.once('drain', resolve));
      }
      far.end();
    };
    send().catch(() => far.destroy());
  });
  const port = await freePort();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port,
    get bytesPerSecond() {
      return uplink.bytesPerSecond;
    },
    set bytesPerSecond(value: number) {
      uplink.bytesPerSecond = value;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
