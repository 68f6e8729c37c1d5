import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/support/index.ts';
import { openLine, type Line } from './line.ts';

export interface Uplink extends Line {
  readonly port: number;
  /** May be changed at any time. */
  bytesPerSecond: number;
}

/** A slow line to a server on this machine: what is sent is held to a rate, what comes back is not. */
export async function openUplink(serverPort: number, bytesPerSecond: number): Promise<Uplink> {
  let freeAt = 0;
  const uplink = { bytesPerSecond };
  /** All connections share the line. */
  const pay = async (bytes: number): Promise<void> => {
    const now = performance.now();
    freeAt = Math.max(now, freeAt) + (bytes / uplink.bytesPerSecond) * 1000;
    if (freeAt - now > 5) await sleep(freeAt - now);
  };
  const port = await freePort();
  const line = await openLine({ host: '127.0.0.1', port }, serverPort, (near, far) => {
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
  return {
    port,
    get bytesPerSecond() {
      return uplink.bytesPerSecond;
    },
    set bytesPerSecond(value: number) {
      uplink.bytesPerSecond = value;
    },
    close: () => line.close(),
  };
}
