import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { register, unregister, type Resource } from './resources.ts';

/** A TCP proxy that hands everything on late, and nothing at all while it is cut: nobody is told that a peer is gone. */
export class SlowProxy implements Resource {
  readonly name = 'slow proxy';
  /** Added to every chunk, in each direction. */
  delayMs = 0;
  cut = false;
  private readonly target: number;
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer({ noDelay: true }, (client) => {
    this.join(client, connect({ port: this.target, host: '127.0.0.1', noDelay: true }));
  });

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

  private join(client: Socket, upstream: Socket): void {
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      this.sockets.add(from);
      const later = (work: () => void): void => {
        setTimeout(() => { if (!this.cut) work(); }, this.delayMs).unref();
      };
      from.on('data', (chunk) => { later(() => { to.write(chunk); }); });
      from.on('end', () => { later(() => { to.end(); }); });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        later(() => { to.destroy(); });
      });
    }
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
