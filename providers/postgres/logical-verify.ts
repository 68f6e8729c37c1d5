import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { inSessions } from './analyze.ts';
import type { PostgresConnection } from './connection.ts';
import { tablesRestored } from './logical-restore.ts';
import { withClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export { digestDatabase, type DatabaseDigest, type TableDigest } from './logical-digest.ts';

export interface LogicalVerification {
  readonly tables: number;
  readonly rows: number;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
}

const label = (table: { schema: string; name: string }): string =>
  `${quoteIdent(table.schema)}.${quoteIdent(table.name)}`;

/**
 * Compares a restored database with what the backup says of it: the exact rows of every table, large objects, extensions.
 * @throws restoreMismatch naming the tables that differ
 */
export const verifyLogical = async (options: {
  connection: PostgresConnection;
  database: string;
  facts: LogicalFacts;
  jobs: number;
  only?: LogicalOnly | undefined;
  signal?: AbortSignal | undefined;
}): Promise<LogicalVerification> => {
  const { connection, database, facts, signal } = options;
  const expected = tablesRestored(facts, options.only).filter((table) => table.ofExtension !== true);
  const differences: string[] = [];
  let rows = 0;
  await inSessions(
    {
      connection,
      database,
      sessions: options.jobs,
      signal,
      prepare: async (query) => {
        for (const sql of [
          'set row_security = off',
          'set statement_timeout = 0',
          'set default_transaction_read_only = on',
        ])
          await query(sql);
      },
    },
    expected,
    async (query, table) => {
      try {
        const [found] = await query<{ count: string }>(`select count(*)::text as count from only ${label(table)}`);
        const count = Number(found?.count);
        rows += count;
        if (count !== table.rows)
          differences.push(`${label(table)} has ${String(count)} rows instead of ${String(table.rows)}`);
      } catch (error) {
        if ((error as { code?: string }).code !== '42P01') throw error;
        differences.push(`${label(table)} is missing`);
      }
    },
  );
  const warnings: string[] = [];
  const checks = [`exact row counts of ${String(expected.length)} tables`];
  await withClient(
    connection,
    async (client) => {
      const { rows: extensions } = await client.query<{ name: string; version: string }>(
        'select extname as name, extversion as version from pg_extension',
      );
      const found = new Map(extensions.map((extension) => [extension.name, extension.version]));
      if (options.only === undefined) {
        for (const { name, version } of facts.only === undefined ? facts.extensions : []) {
          const now = found.get(name);
          if (now === undefined) differences.push(`extension ${name} is missing`);
          else if (now !== version) warnings.push(`Extension ${name} is ${now}, it was ${version}.`);
        }
        const large = await client.query<{ count: number }>(
          'select count(*)::int as count from pg_largeobject_metadata',
        );
        if (large.rows[0]?.count !== facts.largeObjects)
          differences.push(`${String(large.rows[0]?.count)} large objects instead of ${String(facts.largeObjects)}`);
        checks.push('extensions', `${String(facts.largeObjects)} large objects`);
      }
      const broken = await client.query<{ name: string }>(
        `select format('%I.%I', n.nspname, c.relname) as name from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
        where not i.indisvalid and c.relkind = 'i'`,
      );
      if (broken.rows.length > 0)
        warnings.push(
          `Indexes that are not valid (as in the source, most likely): ${broken.rows
            .map((row) => row.name)
            .slice(0, 10)
            .join(', ')}`,
        );
    },
    { database, signal },
  );
  if (differences.length > 0) {
    throw new ResurgoError(
      'restoreMismatch',
      `The restored database ${database} is not what was backed up: ${differences.slice(0, 10).join('; ')}${differences.length > 10 ? ` and ${String(differences.length - 10)} more` : ''}`,
    );
  }
  return { tables: expected.length, rows, checks, warnings };
};
