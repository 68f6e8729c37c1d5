import { Socket } from 'node:net';

const bufferBytes = 256 * 1024;

/**
 * A TCP or Unix socket that reads into one buffer again and again. Node's usual way, a fresh 64 KiB buffer per read, costs
 * half a second of CPU per GB. Until taken over it behaves like any socket.
 */
export class BulkSocket {
  readonly socket: Socket;
  #receive: ((chunk: Buffer) => void) | undefined;

  constructor() {
    this.socket = new Socket({
      onread: {
        buffer: Buffer.allocUnsafeSlow(bufferBytes),
        callback: (bytes: number, buffer: Uint8Array) => {
          const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, bytes);
          if (this.#receive) this.#receive(chunk);
          else this.socket.emit('data', Buffer.from(chunk));
          return true;
        },
      },
    });
  }

  /** From now on chunks go to `receive`; a chunk is valid until it returns, or while the socket is paused. */
  takeOver(receive: (chunk: Buffer) => void): void {
    this.#receive = receive;
  }
}
