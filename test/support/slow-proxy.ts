import type { Socket } from 'node:net';
import { TcpProxy } from './tcp-proxy.ts';

/** A TCP proxy that hands everything on late, and nothing at all while it is cut: nobody is told that a peer is gone. */
export class SlowProxy extends TcpProxy {
  readonly name = 'slow proxy';
  /** Added to every chunk, in each direction. */
  delayMs = 0;
  cut = false;

  protected pass(from: Socket, to: Socket): void {
    from.on('data', (chunk) => { this.later(() => { to.write(chunk); }); });
    from.on('end', () => { this.later(() => { to.end(); }); });
  }

  protected override closed(to: Socket): void {
    this.later(() => { to.destroy(); });
  }

  private later(work: () => void): void {
    setTimeout(() => { if (!this.cut) work(); }, this.delayMs).unref();
  }
}
