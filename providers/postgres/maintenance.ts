import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { withClient, type PgClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** Whether the driver threw it: the server's word (SQLSTATE) or a lost connection; anything else is no matter of the database's. */
export const fromServer = (error: unknown): boolean => {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    !isResurgoError(error) &&
    ((typeof code === 'string' && ((/^[0-9A-Z]{5}$/.test(code) && /\d/.test(code)) || network.has(code))) ||
      /Connection terminated|connection was closed/i.test(String(message)))
  );
};

/** Runs `fn` on a session that is in none of the databases to be worked on: in the connection's own, else `postgres`, else `template1`. */
export const withMaintenance = async <T>(
  connection: PostgresConnection,
  avoid: readonly string[],
  fn: (client: PgClient) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> => {
  const candidates = [...new Set([connection.database, 'postgres', 'template1'])].filter(
    (name) => !avoid.includes(name),
  );
  for (const [i, database] of candidates.entries()) {
    const state = { entered: false };
    try {
      return await withClient(
        connection,
        (client) => {
          state.entered = true;
          return fn(client);
        },
        { database, signal },
      );
    } catch (error) {
      // No such database, or no CONNECT there: the next may do.
      if (state.entered || !isResurgoError(error, 'sourceDenied') || i === candidates.length - 1) throw error;
    }
  }
  throw new ResurgoError('sourceDenied', `No database to work from on ${connection.redacted}`);
};

export interface DatabaseState {
  readonly oid: number;
  readonly comment: string | null;
  readonly allowsConnections: boolean;
  readonly isTemplate: boolean;
  readonly sessions: number;
}

/** What the server says about a database; undefined when there is none of that name. */
export const databaseState = async (client: PgClient, name: string): Promise<DatabaseState | undefined> => {
  const { rows } = await client.query<{ oid: string; comment: string | null; allows: boolean; template: boolean; sessions: number }>(
    `select d.oid::text as oid, shobj_description(d.oid, 'pg_database') as comment, d.datallowconn as allows, d.datistemplate as template,
            (select count(*)::int from pg_stat_activity a where a.datid = d.oid and a.backend_type = 'client backend') as sessions
       from pg_database d where d.datname::text = $1`,
    [name],
  );
  const row = rows[0];
  return row === undefined
    ? undefined
    : { oid: Number(row.oid), comment: row.comment, allowsConnections: row.allows, isTemplate: row.template, sessions: row.sessions };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Ends every session in the named databases and waits until they are gone.
 * @throws destinationBusy naming the sessions that stay
 */
export const endSessions = async (
  client: PgClient,
  databases: readonly string[],
  timeoutMs = 15_000,
): Promise<void> => {
  const query = `select pid, datname::text as database, usename::text as role, application_name as application, coalesce(client_addr::text, 'local') as address
    from pg_stat_activity where datname = any($1::name[]) and pid <> pg_backend_pid()`;
  for (const until = Date.now() + timeoutMs; ;) {
    const { rows } = await client.query<{
      pid: number;
      database: string;
      role: string | null;
      application: string;
      address: string;
    }>(query, [databases]);
    if (rows.length === 0) return;
    let refused: unknown;
    for (const row of rows) {
      await client.query('select pg_terminate_backend($1)', [row.pid]).catch((error: unknown) => {
        refused = error;
      });
    }
    if (Date.now() > until) {
      const who = rows
        .slice(0, 5)
        .map(
          (row) =>
            `pid ${String(row.pid)} (${row.role ?? 'background'}, ${row.application || 'no name'}, ${row.address})`,
        )
        .join(', ');
      throw new ResurgoError(
        'destinationBusy',
        `${String(rows.length)} sessions of ${databases.join(', ')} did not end: ${who}${refused === undefined ? '' : `: ${(refused as Error).message}`}`,
      );
    }
    await pause(50);
  }
};

/**
 * Drops a database, its sessions and its subscriptions: one, also a disabled one, holds its database. Their slots on the publisher stay, for the database that takes
 * its place may use them. Gone already is success.
 */
export const dropDatabase = async (connection: PostgresConnection, client: PgClient, name: string): Promise<void> => {
  const state = await databaseState(client, name);
  if (state === undefined) return;
  await client.query(`alter database ${quoteIdent(name)} is_template false`);
  const { rows } = await client.query<{ name: string }>('select subname::text as name from pg_subscription where subdbid = (select oid from pg_database where datname = $1)', [name]);
  if (rows.length > 0) {
    if (!state.allowsConnections) await client.query(`alter database ${quoteIdent(name)} allow_connections true`);
    await withClient(
      connection,
      async (there) => {
        for (const { name: subscription } of rows) {
          for (const what of ['disable', 'set (slot_name = none)']) await there.query(`alter subscription ${quoteIdent(subscription)} ${what}`);
          await there.query(`drop subscription ${quoteIdent(subscription)}`);
        }
      },
      { database: name },
    );
  }
  await client.query(`drop database if exists ${quoteIdent(name)} with (force)`);
};
