import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

/** Hands `items` to `workers` sessions of a database, each taking the next when it is done. */
export const inSessions = async <T>(
  options: {
    connection: PostgresConnection;
    database: string;
    sessions: number;
    signal: AbortSignal | undefined;
    prepare?: (query: (sql: string) => Promise<unknown>) => Promise<void>;
  },
  items: readonly T[],
  work: (query: <R extends object>(sql: string, values?: unknown[]) => Promise<R[]>, item: T) => Promise<void>,
): Promise<void> => {
  let next = 0;
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const session = (): Promise<void> =>
    withClient(
      options.connection,
      async (client) => {
        await options.prepare?.((sql) => client.query(sql));
        for (let item = items[next++]; item !== undefined; item = items[next++]) {
          signal.throwIfAborted();
          await work(
            async <R extends object>(sql: string, values?: unknown[]) => (await client.query<R>(sql, values)).rows,
            item,
          );
        }
      },
      { database: options.database, signal },
    ).catch((error: unknown) => {
      if (!failed.signal.aborted) failed.abort(error);
      throw error;
    });
  const count = Math.max(1, Math.min(options.sessions, items.length));
  const results = await Promise.allSettled(Array.from({ length: count }, session));
  options.signal?.throwIfAborted();
  const broken = results.find((result) => result.status === 'rejected');
  if (broken !== undefined) throw failed.signal.reason ?? broken.reason;
};

/** ANALYZE of every table, the largest first, so that a restored database plans as the old one did. Failures are warnings. */
export const analyzeDatabase = async (
  connection: PostgresConnection,
  database: string,
  jobs: number,
  signal: AbortSignal | undefined,
): Promise<string[]> => {
  const warnings: string[] = [];
  const tables = await withClient(
    connection,
    async (client) =>
      (
        await client.query<{ schema: string; name: string }>(
          `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm') and n.nspname <> 'information_schema' and (n.nspname !~ '^pg_' or n.nspname = 'pg_catalog') order by c.relpages desc, c.oid`,
        )
      ).rows,
    { database, signal },
  );
  await inSessions({ connection, database, sessions: jobs, signal }, tables, async (query, table) => {
    try {
      await query(`analyze ${quoteIdent(table.schema)}.${quoteIdent(table.name)}`);
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error;
      warnings.push(`${table.schema}.${table.name} could not be analyzed: ${(error as Error).message}`);
    }
  });
  return warnings;
};
