import type { BackupWriter } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import type { PostgresConnection } from './connection.ts';
import { databaseArgument, type LogicalTools } from './logical-tools.ts';
import type { PgClient } from './postgres-client.ts';

/**
 * Writes `pg_dumpall --globals-only` (roles, memberships, tablespaces, grants on parameters) as the blob `globals.sql`. Password
 * hashes need the right to read pg_authid; without it they are left out, with a warning.
 * @throws dumpEmpty, toolFailed
 */
export const dumpGlobals = async (options: {
  connection: PostgresConnection;
  client: PgClient;
  database: string;
  writer: BackupWriter;
  tools: LogicalTools;
  env: Record<string, string>;
  signal: AbortSignal | undefined;
}): Promise<string[]> => {
  const { rows } = await options.client.query<{ full: boolean }>(
    `select has_table_privilege('pg_catalog.pg_authid', 'select') as full`,
  );
  const full = rows[0]?.full === true;
  const chunks: Buffer[] = []; // Bytes, not text: role names may be in any encoding.
  await runTool({
    command: options.tools.pgDumpall,
    args: [
      '--globals-only',
      '--no-password',
      `--database=${databaseArgument(options.database)}`,
      ...(full ? [] : ['--no-role-passwords']),
    ],
    env: options.env,
    signal: options.signal,
    onStdout: (chunk) => {
      chunks.push(chunk);
    },
  });
  const sql = Buffer.concat(chunks);
  if (!sql.includes('PostgreSQL database cluster dump complete'))
    throw new ResurgoError(
      'dumpEmpty',
      `pg_dumpall wrote ${String(sql.length)} bytes of globals without its closing line`,
    );
  const sink = options.writer.openStream('globals.sql', 'blob');
  await sink.write(sql);
  await sink.end();
  return full ? [] : ['The role may not read pg_authid: globals.sql has the roles without their passwords.'];
};
