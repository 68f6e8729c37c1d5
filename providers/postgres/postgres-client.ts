import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import pg from 'pg';
import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { mapPostgresError, poolerHint } from './postgres-error.ts';
import { knowsNewer, knowsSuperuser, lacksNewer, noteNewer, noteSuperuser, pinReading, refusesQuiet, takenDateStyle } from './session-settings.ts';

export interface ClientOptions {
  readonly database?: string;
  readonly replication?: 'true' | 'database';
  readonly signal?: AbortSignal | undefined;
  /** Queries of the configuration run in it, too: {@link asTheirs} gives them the search path that their database and role have. */
  readonly theirs?: boolean;
  /** Asks for nothing at its start, which a pooler may refuse: for a query in which nothing has a name. */
  readonly bare?: boolean;
  /** Makes the socket of a connection without TLS. */
  readonly socket?: () => Socket;
}

/** pg's client with the parts of its inside that the replication protocol needs. */
export type PgClient = pg.Client;

const refusesTls = (error: unknown): boolean =>
  /does not support SSL/.test(String((error as Error | undefined)?.message));
const wantsTls = (error: unknown): boolean => (error as { code?: string } | undefined)?.code === '28000';

const loginOf = ({ user, host, port }: PostgresConnection): string => `${user}@${host}:${String(port)}`;

/** A server older than 17 refuses settings it does not have; it is asked once, and remembered. */
async function connectKnowing(connection: PostgresConnection, options: ClientOptions, tls: boolean | undefined): Promise<PgClient> {
  const server = `${connection.host}:${connection.port}`;
  if (knowsNewer(server) === false) return connectOnce(connection, options, tls, false);
  try {
    const client = await connectOnce(connection, options, tls, true);
    noteNewer(server, true);
    return client;
  } catch (error) {
    if (refusesQuiet(error)) {
      // It was a superuser before.
      noteSuperuser(loginOf(connection), false);
      return connectOnce(connection, options, tls, true);
    }
    if (!lacksNewer(error)) throw error;
    noteNewer(server, false);
    return connectOnce(connection, options, tls, false);
  }
}

/** A setting as the server reports it at the start of a session. */
function reported(client: PgClient, name: string): () => string | undefined {
  let value: string | undefined;
  (client as unknown as { connection: EventEmitter }).connection.on('parameterStatus', (status: { parameterName: string; parameterValue: string }) => {
    if (status.parameterName === name) value = status.parameterValue;
  });
  return () => value;
}

const notTaken = (connection: PostgresConnection): ResurgoError =>
  new ResurgoError('sourceDenied', `The server did not take the settings that a session asks for at its start (${connection.redacted}).`, { details: { hint: poolerHint } });

async function connectOnce(
  connection: PostgresConnection,
  options: ClientOptions,
  tls: boolean | undefined,
  newer: boolean,
): Promise<PgClient> {
  const { replication, socket, theirs = false, bare = false } = options;
  const config = connection.clientConfig(options.database, {
    newer,
    theirs,
    bare,
    superuser: knowsSuperuser(loginOf(connection)),
    ...(tls === undefined ? {} : { tls }),
    ...(replication === undefined ? {} : { replication }),
  });
  const client = new pg.Client(socket && config.ssl === false ? { ...config, stream: socket } : config);
  // Without a listener the loss of an idle connection would end the process; a query in flight is rejected anyway.
  client.on('error', () => undefined);
  const abort = () => destroyClient(client);
  options.signal?.addEventListener('abort', abort, { once: true });
  const style = reported(client, 'DateStyle');
  const superuser = reported(client, 'is_superuser');
  try {
    await client.connect();
    if (superuser() !== undefined) noteSuperuser(loginOf(connection), superuser() === 'on');
    if (theirs) await client.query(pinReading);
    else if (!bare && style() !== takenDateStyle) throw notTaken(connection);
    return client;
  } catch (error) {
    destroyClient(client);
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
}

/** Cuts the connection at once; the server ends the session when it notices. */
export function destroyClient(client: PgClient): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** Ends a session; a server that does not answer within two seconds is cut off. */
export async function endClient(client: PgClient): Promise<void> {
  const timer = setTimeout(() => destroyClient(client), 2000);
  try {
    await client.end().catch(() => undefined);
  } finally {
    clearTimeout(timer);
  }
}

export function throwIfCancelled(signal: AbortSignal | undefined, connection: PostgresConnection): void {
  if (signal?.aborted)
    throw new ResurgoError('cancelled', `Cancelled the work at ${connection.redacted}.`, { cause: signal.reason });
}

/**
 * Opens a session, honouring `sslmode` as libpq does (`allow`: plain first, `prefer`: TLS first). The caller ends it.
 * @throws sourceUnreachable, sourceDenied, cancelled
 */
export async function openClient(connection: PostgresConnection, options: ClientOptions = {}): Promise<PgClient> {
  const { sslmode } = connection;
  try {
    throwIfCancelled(options.signal, connection);
    try {
      return await connectKnowing(connection, options, undefined);
    } catch (error) {
      const again = sslmode === 'prefer' ? refusesTls(error) : sslmode === 'allow' && wantsTls(error);
      if (!again || options.signal?.aborted) throw error;
      try {
        return await connectKnowing(connection, options, sslmode === 'allow');
      } catch (second) {
        // A server without TLS says nothing new on the second try; the first refusal is the reason.
        throw sslmode === 'allow' && refusesTls(second) ? error : second;
      }
    }
  } catch (error) {
    throwIfCancelled(options.signal, connection);
    throw mapPostgresError(error, 'connecting to PostgreSQL', connection, 'sourceUnreachable');
  }
}

/** Runs `fn` on a session of its own and ends it; an abort cuts it (`cancelled`). Other errors of `fn` pass through unchanged. */
export async function withClient<T>(
  connection: PostgresConnection,
  fn: (client: PgClient) => Promise<T>,
  options: ClientOptions = {},
): Promise<T> {
  const client = await openClient(connection, options);
  const abort = () => destroyClient(client);
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    return await fn(client);
  } catch (error) {
    throwIfCancelled(options.signal, connection);
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', abort);
    await endClient(client);
  }
}

/**
 * Runs `work` with the search path that the database and the role give their sessions, and ours again after it. For SQL of the configuration, and for
 * statements that fire triggers; on a session that was opened for it (`theirs`).
 */
export async function asTheirs<T>(client: PgClient, work: () => Promise<T>): Promise<T> {
  await client.query('reset search_path');
  let result: T;
  try {
    result = await work();
  } catch (error) {
    // In a transaction that failed this fails too; its rollback takes the path back with it.
    await client.query(pinReading).catch(() => undefined);
    throw error;
  }
  await client.query(pinReading);
  return result;
}
