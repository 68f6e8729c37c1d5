import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { resolveConnection, type PostgresConnection } from '../providers/postgres/connection.ts';
import { serverFacts, type ServerFacts } from '../providers/postgres/server-facts.ts';
import type { PostgresSettings } from './target-settings.ts';

export interface SourceServer {
  readonly connection: PostgresConnection;
  readonly facts: ServerFacts;
}

/**
 * Finds the server to read a backup from: roles are discovered, not configured, so that the first backup after a failover does not dial the
 * fenced node.
 * @param applicationName how sessions made with the connection are known to the server
 * @throws what the last candidate failed with
 */
export async function sourceServer(settings: PostgresSettings, applicationName?: string): Promise<SourceServer> {
  const preference = settings.config.backupFrom;
  const found: SourceServer[] = [];
  let problem: unknown;
  for (const endpoint of settings.endpoints) {
    try {
      const connection = resolveConnection(endpoint.url(), { ...endpoint.overrides(), ...(applicationName === undefined ? {} : { applicationName }) });
      const facts = await serverFacts(connection);
      const wanted = preference === 'primary' ? !facts.inRecovery : facts.inRecovery;
      if (wanted) return { connection, facts };
      found.push({ connection, facts });
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      problem ??= error;
    }
  }
  const [other] = found;
  if (other !== undefined && preference === 'prefer-standby') return other;
  if (other !== undefined && preference === 'primary' && settings.endpoints.length === 1) return other;
  if (other !== undefined) throw new ResurgoError('sourceUnreachable', `target ${settings.name} has no reachable ${preference === 'primary' ? 'primary' : 'standby'}; ${String(found.length)} other server(s) answered`, { cause: problem });
  throw (problem ?? new ResurgoError('configInvalid', `target ${settings.name} has no connection`)) as Error;
}
