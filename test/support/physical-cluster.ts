import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { QueryResultRow } from 'pg';
import { asTheirs, withClient } from '../../providers/postgres/postgres-client.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import type { LocalServer, LocalServerOptions } from '../../providers/postgres/local-server.ts';
import { toolDirs } from './physical-tools.ts';
import { pgRunAs } from './run-as.ts';
import { tempDir } from './temp.ts';
import { chownSync } from 'node:fs';

export interface CheckedServer extends LocalServer {
  sql<Row extends QueryResultRow>(database: string, text: string): Promise<Row[]>;
}

/** Runs `work` on a restored cluster, started in isolation, and stops it whatever happens. */
export async function onCluster<T>(
  dataDir: string,
  work: (server: CheckedServer) => Promise<T>,
  options: Partial<LocalServerOptions> = {},
): Promise<T> {
  const server = await startLocalServer({ dataDir, toolDirs: toolDirs(), ...options });
  const sql = async <Row extends QueryResultRow>(database: string, text: string): Promise<Row[]> =>
    withClient(
      server.connection,
      async (client) => {
        const result: unknown = await asTheirs(client, () => client.query(text));
        return ((Array.isArray(result) ? result.at(-1) : result) as { rows: Row[] }).rows;
      },
      { database, theirs: true },
    );
  try {
    return await work({ ...server, sql });
  } finally {
    await server.stop();
  }
}

/** A directory whose owner runs PostgreSQL, to restore into. */
export function restoreRoot(): string {
  const owner = pgRunAs();
  const { path } = tempDir('restore', owner);
  const inner = join(path, 'r');
  mkdirSync(inner, { mode: 0o755 });
  chmodSync(path, 0o755);
  if (owner) chownSync(inner, owner.uid, owner.gid);
  return inner;
}
