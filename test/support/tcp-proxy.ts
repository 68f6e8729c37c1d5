import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { register, unregister, type Resource } from './resources.ts';

/** A TCP proxy on a free loopback port before a server of this machine; subclasses say how bytes pass. */
export abstract class TcpProxy implements Resource {
  abstract readonly name: string;
  protected readonly sockets = new Set<Socket>();
  private readonly target: number;
  private readonly server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      this.sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.sockets.delete(from);
        this.closed(to);
      });
      this.pass(from, to);
    }
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

  /** Hands on what comes from one side to the other. */
  protected abstract pass(from: Socket, to: Socket): void;

  /** The side before `to` has closed. */
  protected closed(to: Socket): void {
    to.destroy();
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
