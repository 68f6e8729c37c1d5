import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';

/** Name under which all sessions of one run are known to the server. */
export const sessionsOf = (id: string): string => `resurgo ${id}`;

/**
 * Ends sessions that an earlier attempt of the same run left at work: the server notices the death of a client only when it writes to it, and a
 * worker that was cut off may still live. Sessions of the same role only; waits until they are gone, with their temporary slots.
 * @returns how many were told to end
 */
export async function endEarlierSessions(connection: PostgresConnection, applicationName: string, signal?: AbortSignal, patienceMs = 15_000): Promise<number> {
  return withClient(
    connection,
    async (client) => {
      const ended = new Set<number>();
      for (const until = Date.now() + patienceMs; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
        const { rows } = await client.query<{ pid: number }>(
          'select pid, pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and usename = current_user and pid <> pg_backend_pid()',
          [applicationName],
        );
        for (const { pid } of rows) ended.add(pid);
        if (rows.length === 0 || Date.now() > until) return ended.size;
      }
    },
    { signal },
  );
}
