import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../../domain/errors.ts';
import { withClient, type PgClient } from './postgres-client.ts';
import type { PostgresConnection } from './connection.ts';

/** What the startup process waits for when no source has more WAL (monitoring-stats, "Wait Events"). */
const exhausted = new Set(['RecoveryRetrieveRetryInterval', 'RecoveryWalStream']);

/**
 * Waits until a server in recovery, cut off from every source of WAL but its own directory, has replayed all there is. It answers queries as soon as
 * it is consistent, which may be long before: stopped then, its control file tells an end that lies before what it wrote.
 * @throws restoreFailed after `deadlineMs`
 */
export async function replayToEnd(connection: PostgresConnection, options: { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number } = {}): Promise<string> {
  const { signal, deadlineMs = 3_600_000 } = options;
  return withClient(connection, async (client) => {
    const until = Date.now() + deadlineMs;
    for (let last: string | undefined; ; ) {
      const { lsn, waits } = await progress(client);
      if (waits !== null && exhausted.has(waits) && lsn === last) return lsn;
      last = lsn;
      if (Date.now() > until) throw new ResurgoError('restoreFailed', `the server is still replaying its own WAL, at ${lsn}`);
      await sleep(100, undefined, { signal });
    }
  }, { signal });
}

async function progress(client: PgClient): Promise<{ lsn: string; waits: string | null }> {
  const { rows } = await client.query<{ lsn: string | null; waits: string | null }>("select pg_last_wal_replay_lsn()::text lsn, (select wait_event from pg_stat_activity where backend_type = 'startup') waits");
  return { lsn: rows[0]?.lsn ?? '', waits: rows[0]?.waits ?? null };
}
