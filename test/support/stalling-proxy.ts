import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { type Resource, register, unregister } from './resources.ts';

/**
 * A TCP proxy that lets `limit` bytes through on a connection, in either direction, and then nothing until `release()`: whoever moves
 * more than that is certainly still at it.
 */
export class StallingProxy implements Resource {
  readonly name = 'stalling proxy';
  /** Connections that have reached the limit. */
  stalled = 0;
  limit = Infinity;
  private readonly target: number;
  private readonly server = createServer((client) => {
    this.accept(client);
  });
  private readonly sockets = new Set<Socket>();
  private waiting: (() => void)[] = [];

  constructor(target: number) {
    this.target = target;
    register(this);
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.server.listen(0, '127.0.0.1', resolve);
    });
    return (this.server.address() as AddressInfo).port;
  }

  private accept(client: Socket): void {
    const upstream = connect(this.target, '127.0.0.1');
    const join = (from: Socket, to: Socket): void => {
      let passed = 0;
      this.sockets.add(from);
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
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
    };
    join(client, upstream);
    join(upstream, client);
  }

  /** Lets everything through again. */
  release(): void {
    this.limit = Infinity;
    this.stalled = 0;
    for (const go of this.waiting.splice(0)) go();
  }

  async stop(): Promise<void> {
    this.abandon();
    await new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
    unregister(this);
  }

  abandon(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
