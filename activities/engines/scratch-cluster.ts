import type { RestoreVerification } from '../../domain/operations.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import type { Pulse } from './restore-engine.ts';

export interface ScratchOptions {
  readonly dataDir: string;
  readonly toolDirs: readonly string[];
  /** The role that took the backup: it exists in the cluster. */
  readonly knownRole?: string;
  /** Per-table digests of every database. */
  readonly digest: boolean;
}

/** Starts a restored cluster in isolation, lets the server check what it can, and stops it. @throws restoreMismatch, restoreFailed */
export async function checkScratchCluster(options: ScratchOptions, { signal, report }: Pulse): Promise<RestoreVerification> {
  report({ phase: 'start the scratch cluster' });
  const server = await startLocalServer({ dataDir: options.dataDir, toolDirs: options.toolDirs, signal, ...(options.knownRole === undefined ? {} : { knownRole: options.knownRole }) });
  try {
    const found = await checkCluster({ connection: server.connection, depth: 'full', signal, onProgress: report });
    const digests: Record<string, string> = {};
    if (options.digest) {
      for (const database of found.names) {
        report({ phase: `digest ${database}` });
        const { tables } = await digestDatabase(server.connection, { database, signal });
        for (const table of tables) digests[`${database}.${table.schema}.${table.name}`] = table.digest;
      }
    }
    return { tables: found.tables, ...(found.rows === undefined ? {} : { rows: found.rows }), checks: ['a server starts from it', ...found.checks, ...found.warnings.map((warning) => `not checked: ${warning}`)], ...(options.digest ? { digests } : {}) };
  } finally {
    await server.stop();
  }
}
