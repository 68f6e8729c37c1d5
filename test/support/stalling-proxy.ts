import type { Socket } from 'node:net';
import { TcpProxy } from './tcp-proxy.ts';

/**
 * A TCP proxy that lets `limit` bytes through on a connection, in either direction, and then nothing until `release()`: whoever moves
 * more than that is certainly still at it.
 */
export class StallingProxy extends TcpProxy {
  readonly name = 'stalling proxy';
  /** Connections that have reached the limit. */
  stalled = 0;
  limit = Infinity;
  private waiting: (() => void)[] = [];

  protected pass(from: Socket, to: Socket): void {
    let passed = 0;
    from.on('data', (chunk) => {
      passed += chunk.length;
      const pass = (): void => {
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      };
      if (passed <= this.limit) {
        pass();
        return;
      }
      from.pause();
      this.stalled++;
      this.waiting.push(() => {
        pass();
        from.resume();
      });
    });
  }

  /** Lets everything through again. */
  release(): void {
    this.limit = Infinity;
    this.stalled = 0;
    for (const go of this.waiting.splice(0)) go();
  }
}
