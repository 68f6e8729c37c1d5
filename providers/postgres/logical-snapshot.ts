import { ResurgoError } from '../../domain/errors.ts';
import { withClient, type PgClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';
import type { PostgresConnection } from './connection.ts';
import type { ResolvedOnly } from './logical-only.ts';
import { quoteIdent } from './quote.ts';

/** Settings that must not end a session which sits idle, or waits, for as long as the dump takes. */
export const calmSession = async (client: PgClient): Promise<void> => {
  for (const name of ['statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout']) {
    await client.query('select set_config($1, \'0\', false) from pg_settings where name = $1', [name]);
  }
};

const lockable = `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and ($1::boolean or n.nspname = any($2::name[]) or (n.nspname || '.' || c.relname) = any($3::text[])) order by c.oid`;

const lockTables = async (client: PgClient, tables: readonly { schema: string; name: string }[]): Promise<void> => {
  for (let i = 0; i < tables.length; i += 200) {
    const names = tables.slice(i, i + 200).map((table) => `${quoteIdent(table.schema)}.${quoteIdent(table.name)}`);
    await client.query(`lock table only ${names.join(', only ')} in access share mode`);
  }
};

/**
 * Opens the transaction whose snapshot the dump, its workers and our facts share. Tables are locked before the snapshot is taken:
 * otherwise a TRUNCATE between snapshot and pg_dump's own lock leaves a table empty in the dump, without an error.
 * @returns id for `pg_dump --snapshot`; valid while the transaction is open
 * @throws dumpFailed when a table stays locked by another session for `lockTimeoutMs`
 */
export const openSnapshot = async (connection: PostgresConnection, client: PgClient, only: ResolvedOnly | undefined, lockTimeoutMs: number): Promise<string> => {
  await calmSession(client);
  await client.query(`select set_config('lock_timeout', $1, false)`, [String(lockTimeoutMs)]);
  for (let attempt = 1; ; attempt++) {
    const list = await client.query<{ schema: string; name: string }>(lockable, [
      only === undefined, only?.schemas ?? [], (only?.tables ?? []).map((table) => `${table.schema}.${table.name}`),
    ]);
    await client.query('begin isolation level repeatable read read only');
    try {
      await lockTables(client, list.rows);
      break;
    } catch (error) {
      await client.query('rollback');
      const state = (error as { code?: string }).code;
      if (state === '55P03') {
        throw new ResurgoError('dumpFailed', `A table stayed locked by another session for ${String(lockTimeoutMs)} ms: ${(error as Error).message}`, {
          cause: error, details: { hint: 'Find the session in pg_locks (mode AccessExclusiveLock); the dump is tried again.' },
        });
      }
      // Dropped or renamed since it was listed: look again. It stops changing, or pg_dump meets the same.
      if ((state === '42P01' || state === '3F000') && attempt < 5) continue;
      if (state !== '42501' && state !== '42P01' && state !== '3F000') throw mapPostgresError(error, 'locking the tables to be dumped', connection);
      // Not allowed to read a table: pg_dump says so itself if it needs that table.
      await client.query('begin isolation level repeatable read read only');
      break;
    }
  }
  const { rows } = await client.query<{ id: string }>('select pg_export_snapshot() as id');
  return (rows[0] as { id: string }).id;
};

/** Runs `fn` beside an open snapshot; the transaction ends with it. */
export const withSnapshot = async <T>(
  connection: PostgresConnection, options: { database: string; only: (client: PgClient) => Promise<ResolvedOnly | undefined>; lockTimeoutMs: number; signal: AbortSignal | undefined },
  fn: (snapshot: { client: PgClient; id: string; only: ResolvedOnly | undefined }) => Promise<T>,
): Promise<T> =>
  withClient(connection, async (client) => {
    const only = await options.only(client);
    const id = await openSnapshot(connection, client, only, options.lockTimeoutMs);
    return fn({ client, id, only });
  }, { database: options.database, signal: options.signal });
