import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { destroyClient, openClient, throwIfCancelled } from './postgres-client.ts';
import type { PgClient } from './postgres-client.ts';
import { BulkSocket } from './bulk-socket.ts';
import { MessageFramer } from './message-framer.ts';
import { copyDataMessage, copyDone, parseDataRow, parseFields, parseRowNames, queryMessage } from './wire-messages.ts';
import type { WireFields } from './wire-messages.ts';

/** A result set of a replication command: column name → text. */
export type Row = Readonly<Record<string, string | null>>;

export interface CommandHandlers {
  /** `set` counts the result sets of the command from 0. */
  readonly onRow?: (row: Row, set: number) => void;
  /** Bytes of CopyData as they arrive: `first` when a message begins, `last` when it ends. A promise holds the socket. */
  readonly onCopyData?: (piece: Buffer, first: boolean, last: boolean) => Promise<void> | undefined;
  readonly onNotice?: (fields: WireFields) => void;
  /** Sent when the server asks for it (`UPLOAD_MANIFEST`). */
  readonly copyIn?: Buffer;
  /** The server streams and listens (`START_REPLICATION`): messages may be sent from now on, until it ends the stream. */
  readonly onCopyBoth?: (send: (body: Buffer) => void) => void;
  /** Fails when nothing at all has come for so long after COPY began. Milliseconds. */
  readonly idleTimeoutMs?: number;
}

/** The server's own error, as `pg` shapes it, so that mapPostgresError understands it. */
export class ServerError extends Error {
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(fields: WireFields) {
    super(fields.M ?? 'unknown error');
    this.code = fields.C ?? '';
    this.detail = fields.D;
    this.hint = fields.H;
  }
}

const copyInChunk = 256 * 1024;

/**
 * A physical replication connection. `pg` does address, TLS and login; from then on this reads the socket itself, because
 * the driver's parser copies and wraps every 32 KiB message (see docs/adr/0005-base-backup.md).
 */
export class ReplicationSession {
  readonly #client: PgClient;
  readonly #socket: Socket;
  readonly #connection: PostgresConnection;
  readonly #signal: AbortSignal | undefined;
  #framer: MessageFramer | undefined;
  #failure: Error | undefined;
  #fail: ((error: Error) => void) | undefined;
  readonly #abort: () => void;

  private constructor(
    client: PgClient,
    bulk: BulkSocket | undefined,
    connection: PostgresConnection,
    signal: AbortSignal | undefined,
  ) {
    this.#client = client;
    this.#connection = connection;
    this.#signal = signal;
    this.#socket = (client as unknown as { connection: { stream: Socket } }).connection.stream;
    this.#socket.removeAllListeners('data');
    if (bulk?.socket === this.#socket) bulk.takeOver((chunk) => this.#receive(chunk));
    else this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#broken(error));
    this.#socket.on('close', () =>
      this.#broken(Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' })),
    );
    this.#abort = () => void this.#cancel();
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** @throws sourceUnreachable, sourceDenied, cancelled */
  static async open(connection: PostgresConnection, signal?: AbortSignal): Promise<ReplicationSession> {
    let bulk: BulkSocket | undefined;
    const client = await openClient(connection, {
      replication: 'true',
      signal,
      socket: () => (bulk = new BulkSocket()).socket,
    });
    return new ReplicationSession(client, bulk, connection, signal);
  }

  /** Runs one replication command to its ReadyForQuery. Rejects with ServerError, a socket error, or what a handler threw. */
  async command(text: string, handlers: CommandHandlers = {}): Promise<Row[]> {
    throwIfCancelled(this.#signal, this.#connection);
    if (this.#failure) throw this.#failure;
    const rows: Row[] = [];
    let names: string[] = [];
    let set = -1;
    let error: Error | undefined;
    let idle: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#fail = reject;
        this.#framer = new MessageFramer({
          copyData: (piece, first, last) => {
            idle?.refresh();
            return handlers.onCopyData?.(piece, first, last);
          },
          message: (type, body) => {
            switch (type) {
              case 'T':
                names = parseRowNames(body);
                set += 1;
                return;
              case 'D': {
                const row = Object.fromEntries(parseDataRow(body).map((value, i) => [names[i] ?? String(i), value]));
                rows.push(row);
                handlers.onRow?.(row, set);
                return;
              }
              case 'E':
                error = new ServerError(parseFields(body));
                return;
              case 'N':
                handlers.onNotice?.(parseFields(body));
                return;
              case 'G':
                this.#sendCopyIn(handlers.copyIn).catch(reject);
                return;
              case 'W':
                handlers.onCopyBoth?.((body) => {
                  if (!this.#socket.destroyed) this.#socket.write(copyDataMessage(body));
                });
                if (handlers.idleTimeoutMs !== undefined) idle = this.#idleTimer(handlers.idleTimeoutMs);
                return;
              case 'c':
                // The end of a timeline: the server goes on when we have said the same.
                if (handlers.onCopyBoth) this.#socket.write(copyDone);
                return;
              case 'H':
                if (handlers.idleTimeoutMs !== undefined) idle = this.#idleTimer(handlers.idleTimeoutMs);
                return;
              // The backend says why it goes and then goes: an error that no ReadyForQuery follows is settled by `close`.
              case 'Z':
                if (error) reject(error);
                else resolve();
                return;
            }
          },
        });
        this.#socket.write(queryMessage(text));
      });
      return rows;
    } catch (failure) {
      throwIfCancelled(this.#signal, this.#connection);
      // A FATAL is followed by the end of the connection, and says more than that.
      throw error ?? failure;
    } finally {
      clearTimeout(idle);
      this.#framer = undefined;
      this.#fail = undefined;
    }
  }

  #idleTimer(afterMs: number): NodeJS.Timeout {
    return setTimeout(
      () => this.#socket.destroy(Object.assign(new Error(`The server sent nothing for ${afterMs} ms`), { code: 'ETIMEDOUT' })),
      afterMs,
    );
  }

  #receive(chunk: Buffer): void {
    const framer = this.#framer;
    if (!framer) return; // Notices and parameter changes while idle.
    let pending: Promise<void> | undefined;
    try {
      pending = framer.push(chunk);
    } catch (error) {
      this.#broken(error as Error);
      return;
    }
    if (!pending) return;
    this.#socket.pause();
    pending.then(
      () => this.#socket.resume(),
      (error: unknown) => this.#broken(error as Error),
    );
  }

  #broken(error: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#fail?.(error);
  }

  async #sendCopyIn(body: Buffer | undefined): Promise<void> {
    if (!body) throw new ResurgoError('bug', 'The server asked for data that nobody has.');
    for (let at = 0; at < body.length; at += copyInChunk) {
      if (!this.#socket.write(copyDataMessage(body.subarray(at, at + copyInChunk)))) {
        await new Promise<void>((resolve) => {
          const done = () => {
            this.#socket.off('drain', done).off('close', done);
            resolve();
          };
          this.#socket.once('drain', done).once('close', done);
        });
      }
      if (this.#failure) return;
    }
    this.#socket.write(copyDone);
  }

  /** A walsender that waits for a checkpoint does not look at its socket: it is asked to stop as well as cut off. */
  async #cancel(): Promise<void> {
    const { processID, secretKey } = this.#client as unknown as { processID: number | null; secretKey: number | null };
    this.#socket.destroy();
    if (typeof processID !== 'number' || typeof secretKey !== 'number') return;
    const { host, port } = this.#connection;
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
    socket.setTimeout(2000, () => socket.destroy()).on('error', () => undefined);
    const message = Buffer.alloc(16);
    message.writeInt32BE(16, 0);
    message.writeInt32BE(80877102, 4);
    message.writeInt32BE(processID, 8);
    message.writeInt32BE(secretKey, 12);
    socket.end(message).resume();
  }

  /** Ends the session, and with it its temporary slots. */
  async close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort);
    if (this.#socket.destroyed) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    const timer = setTimeout(() => destroyClient(this.#client), 2000);
    this.#socket.resume();
    await this.#client.end().catch(() => undefined);
    await closed;
    clearTimeout(timer);
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#socket.destroy();
  }
}
