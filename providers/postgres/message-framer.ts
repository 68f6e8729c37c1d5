import { ResurgoError } from '../../domain/errors.ts';

export interface FrameHandlers {
  /** Body bytes of CopyData messages, without copies: `first` and `last` mark the message's ends. */
  copyData(piece: Buffer, first: boolean, last: boolean): Promise<void> | undefined;
  /** Any other message, whole. */
  message(type: string, body: Buffer): void;
}

const copyDataType = 0x64; // 'd'
/** No message but CopyData is large; more means that we lost the frame. */
const bodyLimit = 16 * 1024 * 1024;

/** Cuts the bytes of a PostgreSQL connection into messages. CopyData passes through in the pieces it arrived in. */
export class MessageFramer {
  readonly #handlers: FrameHandlers;
  readonly #header = Buffer.alloc(5);
  #headerBytes = 0;
  #type = 0;
  /** Body bytes still to come. */
  #remaining = 0;
  #first = false;
  #body: Buffer[] = [];

  constructor(handlers: FrameHandlers) {
    this.#handlers = handlers;
  }

  /**
   * The chunk's memory may be used again when this has returned, or when the promise is settled.
   * @returns a promise when a handler asks to wait; do not push again before it is settled.
   */
  push(chunk: Buffer): Promise<void> | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < 5) {
        at = this.#readHeader(chunk, at);
        if (this.#headerBytes < 5) return undefined;
        if (this.#remaining === 0) this.#finish();
        continue;
      }
      const end = Math.min(chunk.length, at + this.#remaining);
      const piece = chunk.subarray(at, end);
      this.#remaining -= end - at;
      at = end;
      const last = this.#remaining === 0;
      if (this.#type !== copyDataType) {
        this.#body.push(Buffer.from(piece));
        if (last) this.#finish();
        continue;
      }
      const first = this.#first;
      this.#first = false;
      if (last) this.#headerBytes = 0;
      const pending = this.#handlers.copyData(piece, first, last);
      if (pending) return at < chunk.length ? this.#resumeAfter(pending, chunk.subarray(at)) : pending;
    }
    return undefined;
  }

  async #resumeAfter(pending: Promise<void>, rest: Buffer): Promise<void> {
    await pending;
    await this.push(rest);
  }

  #readHeader(chunk: Buffer, from: number): number {
    let at = from;
    while (this.#headerBytes < 5 && at < chunk.length) this.#header[this.#headerBytes++] = chunk[at++] as number;
    if (this.#headerBytes === 5) {
      this.#type = this.#header[0] as number;
      this.#remaining = this.#header.readInt32BE(1) - 4;
      this.#first = true;
      if (this.#remaining < 0 || (this.#type !== copyDataType && this.#remaining > bodyLimit)) {
        throw new ResurgoError('dumpFailed', `The server sent a message of impossible length ${this.#remaining}.`);
      }
    }
    return at;
  }

  #finish(): void {
    this.#headerBytes = 0;
    const body = this.#body.length === 1 ? (this.#body[0] as Buffer) : Buffer.concat(this.#body);
    this.#body = [];
    if (this.#type !== copyDataType) this.#handlers.message(String.fromCharCode(this.#type), body);
  }
}
