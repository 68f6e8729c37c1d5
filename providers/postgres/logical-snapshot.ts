import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import type { CataloguedTable } from './logical-facts.ts';
import type { ResolvedOnly } from './logical-only.ts';
import { withClient, type PgClient } from './postgres-client.ts';

/** Settings that must not end a session which sits idle for as long as the dump takes. */
const calmSession = async (client: PgClient): Promise<void> => {
  for (const name of [
    'statement_timeout',
    'idle_in_transaction_session_timeout',
    'idle_session_timeout',
    'transaction_timeout',
  ]) {
    await client.query(`select set_config($1, '0', false) from pg_settings where name = $1`, [name]);
  }
};

export interface OpenSnapshot {
  /** Reads in the snapshot. */
  readonly client: PgClient;
  /** For `pg_dump --snapshot`; valid as long as `fn` runs. */
  readonly id: string;
  readonly only: ResolvedOnly | undefined;
  /** Fires when this session is lost while `fn` runs: the server died or was cut off, which pg_dump itself may not notice for hours. */
  readonly lost: AbortSignal;
}

/** Runs `fn` beside an open transaction whose snapshot pg_dump, its workers and our facts share. */
export const withSnapshot = async <T>(
  connection: PostgresConnection,
  options: {
    database: string;
    only: (client: PgClient) => Promise<ResolvedOnly | undefined>;
    lockTimeoutMs: number;
    signal: AbortSignal | undefined;
  },
  fn: (snapshot: OpenSnapshot) => Promise<T>,
): Promise<T> =>
  withClient(
    connection,
    async (client) => {
      const only = await options.only(client);
      await calmSession(client);
      // Even asking for a table's size waits for a session that has it locked.
      await client.query(`select set_config('lock_timeout', $1, false)`, [String(options.lockTimeoutMs)]);
      await client.query('begin isolation level repeatable read read only');
      const { rows } = await client.query<{ id: string }>('select pg_export_snapshot() as id');
      const lost = new AbortController();
      const onEnd = (): void => {
        lost.abort(
          new ResurgoError(
            'sourceUnreachable',
            `The session that holds the snapshot of ${options.database} was lost (${connection.redacted})`,
          ),
        );
      };
      client.once('end', onEnd);
      try {
        return await fn({ client, id: (rows[0] as { id: string }).id, only, lost: lost.signal });
      } catch (error) {
        // What stopped because of it says "cancelled"; unless a person did cancel, this is the reason.
        const stopped = !isResurgoError(error) || error.code === 'cancelled';
        throw stopped && lost.signal.aborted && options.signal?.aborted !== true ? lost.signal.reason : error;
      } finally {
        client.removeListener('end', onEnd);
      }
    },
    { database: options.database, signal: options.signal },
  );

/**
 * To be called once pg_dump has locked its tables: none may have got new storage since the snapshot, or be gone. A TRUNCATE or rewrite in that gap
 * leaves a table empty for the older snapshot, and so does one that was dropped and made anew, for pg_dump locks by name; without any error of pg_dump's. (Locking the tables ourselves first would be a trap: pg_dump
 * queues behind whoever waits for us.)
 * @throws dumpFailed naming the tables
 */
export const assertSameStorage = async (
  connection: PostgresConnection,
  database: string,
  tables: ReadonlyMap<number, CataloguedTable>,
  signal: AbortSignal | undefined,
): Promise<void> =>
  withClient(
    connection,
    async (client) => {
      const { rows } = await client.query<{ oid: number; storage: string }>(
        `select oid::bigint::float8 as oid, relfilenode::text as storage from pg_class where relkind in ('r', 'm', 'p', 'f', 'v', 'S')`,
      );
      const now = new Map(rows.map(({ oid, storage }) => [oid, storage]));
      const changed = [...tables].flatMap(([oid, table]) => (now.get(oid) === table.storage ? [] : [`${table.schema}.${table.name}`]));
      if (changed.length > 0) {
        throw new ResurgoError(
          'dumpFailed',
          `${changed.slice(0, 5).join(', ')} ${changed.length === 1 ? 'was' : 'were'} truncated, rewritten or replaced between the snapshot and pg_dump's lock; the dump would show nothing in it`,
          {
            details: { hint: 'The dump is tried again.' },
          },
        );
      }
    },
    { database, signal },
  );
