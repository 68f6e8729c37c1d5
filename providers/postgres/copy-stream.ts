/** COPY to and from a session of `pg`, with back-pressure; the driver itself knows only the messages. */
import type { Socket } from 'node:net';
import type { PgClient } from './postgres-client.ts';

interface PgConnection {
  readonly stream: Socket;
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/** How far a COPY has come; the count is the server's own, from its `COPY n`. */
export interface CopyDone {
  readonly rows: number;
}

/** What the driver calls while the command is its active query. */
abstract class CopyCommand {
  readonly done: Promise<CopyDone>;
  protected readonly text: string;
  #rows = 0;
  #failure: Error | undefined;
  #settled = false;
  #resolve!: (done: CopyDone) => void;
  #reject!: (error: Error) => void;

  constructor(text: string) {
    this.text = text;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  protected get failed(): boolean {
    return this.#failure !== undefined || this.#settled;
  }

  /** The first failure is the one that is told, when the session is ready again. */
  protected fail(error: Error): void {
    this.#failure ??= error;
  }

  submit(connection: PgConnection): void {
    connection.query(this.text);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#rows = Number(/^COPY (\d+)$/.exec(text)?.[1] ?? 0);
  }

  handleReadyForQuery(): void {
    this.#settled = true;
    if (this.#failure === undefined) this.#resolve({ rows: this.#rows });
    else this.#reject(this.#failure);
  }

  /** An error of the server (its ReadyForQuery follows), or the loss of the connection (nothing follows). */
  handleError(error: Error): void {
    this.fail(error);
    this.#settled = true;
    this.#reject(this.#failure ?? error);
  }

  handleRowDescription(): void {
    this.fail(new Error(`${this.text} gave rows, not COPY data`));
  }

  handleDataRow(): void {
    // Told by handleRowDescription.
  }

  handleEmptyQuery(): void {
    this.fail(new Error('an empty COPY command'));
  }

  handlePortalSuspended(): void {
    // Not with the simple protocol.
  }

  handleCopyInResponse(connection: PgConnection): void {
    this.fail(new Error(`${this.text} wants data`));
    connection.sendCopyFail('nothing to send');
  }

  handleCopyData(_message: { readonly chunk: Buffer }, _connection: PgConnection): void {
    this.fail(new Error(`${this.text} sends data`));
  }
}

class CopyOut extends CopyCommand {
  readonly #sink: (chunk: Buffer) => Promise<void> | undefined;
  #queue: Promise<void> | undefined;

  constructor(text: string, sink: (chunk: Buffer) => Promise<void> | undefined) {
    super(text);
    this.#sink = sink;
  }

  get drained(): Promise<void> {
    return this.#queue ?? Promise.resolve();
  }

  override handleCopyData({ chunk }: { readonly chunk: Buffer }, connection: PgConnection): void {
    if (this.failed) return;
    // What has arrived already still comes while the socket rests; it waits its turn.
    if (this.#queue !== undefined) {
      const kept = Buffer.from(chunk);
      this.#chain(this.#queue.then(() => this.#take(kept)), connection);
      return;
    }
    const wait = this.#take(chunk);
    if (wait !== undefined) this.#chain(wait, connection);
  }

  #take(chunk: Buffer): Promise<void> | undefined {
    if (this.failed) return undefined;
    try {
      return this.#sink(chunk);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #chain(work: Promise<void>, connection: PgConnection): void {
    connection.stream.pause();
    const settled = work.catch((error: unknown) => {
      // Nobody wants the rest: the session ends here, not when the table does.
      this.fail(error as Error);
      connection.stream.destroy();
    }).then(() => {
      if (this.#queue !== settled) return;
      this.#queue = undefined;
      connection.stream.resume();
    });
    this.#queue = settled;
  }
}

class CopyIn extends CopyCommand {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #connectionLost: AbortSignal;
  #pump: Promise<void> | undefined;

  constructor(text: string, source: AsyncIterable<Uint8Array>, connectionLost: AbortSignal) {
    super(text);
    this.#source = source;
    this.#connectionLost = connectionLost;
  }

  override handleCopyInResponse(connection: PgConnection): void {
    this.#pump = this.#send(connection).catch((error: unknown) => {
      this.fail(error as Error);
      if (!connection.stream.destroyed) connection.sendCopyFail('the source failed');
    });
  }

  get pumped(): Promise<void> {
    return this.#pump ?? Promise.resolve();
  }

  async #send(connection: PgConnection): Promise<void> {
    for await (const chunk of this.#source) {
      if (this.failed) return;
      connection.sendCopyFromChunk(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (connection.stream.writableNeedDrain) await drained(connection.stream, this.#connectionLost);
    }
    if (!this.failed) connection.endCopyFrom();
  }
}

const drained = (stream: Socket, lost: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      lost.removeEventListener('abort', done);
      resolve();
    };
    stream.once('drain', done).once('close', done);
    lost.addEventListener('abort', done, { once: true });
  });

/**
 * Runs a `COPY … TO STDOUT`. A chunk is valid until the sink returns, or its promise settles; one message of the server (a row) per chunk.
 * Rejects with the server's error or what the sink threw.
 */
export async function copyOut(client: PgClient, text: string, sink: (chunk: Buffer) => Promise<void> | undefined): Promise<CopyDone> {
  const command = new CopyOut(text, sink);
  client.query(command as never);
  const done = await command.done;
  await command.drained;
  return done;
}

/** Runs a `COPY … FROM STDIN` with what the source yields. A source that fails makes the server forget all of it. */
export async function copyIn(client: PgClient, text: string, source: AsyncIterable<Uint8Array>): Promise<CopyDone> {
  const lost = new AbortController();
  const onEnd = (): void => { lost.abort(); };
  client.once('end', onEnd);
  const command = new CopyIn(text, source, lost.signal);
  try {
    client.query(command as never);
    return await command.done;
  } finally {
    client.removeListener('end', onEnd);
    await command.pumped.catch(() => undefined);
  }
}
