import { resolveConnection, withClient } from '../postgres/connection.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { Seen } from './observe.ts';

export interface PostgresLook { readonly kind: 'postgres'; readonly url: string; readonly password?: string; readonly lag: boolean }

const lagQuery = `select case when pg_is_in_recovery()
  then case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0 else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0) end
  else (select coalesce(max(extract(epoch from replay_lag)), 0) from pg_stat_replication) end as lag`;

/** A refused login is our fault and says nothing of the server; a refused or lost connection is the server's. */
export async function lookPostgres({ url, password, lag }: PostgresLook, signal: AbortSignal, timeoutMs: number): Promise<Seen> {
  const begun = performance.now();
  try {
    const row = await withClient(resolveConnection(url, password === undefined ? {} : { password }), async (client) => {
      const { rows } = await client.query<{ lag?: number }>(lag ? lagQuery : 'select 1 as one');
      return rows[0];
    }, { signal });
    const tookMs = Math.round(performance.now() - begun);
    if (!lag) return { state: 'ok', value: tookMs, detail: `answered in ${String(tookMs)} ms` };
    const value = Number(row?.lag ?? NaN);
    return Number.isNaN(value) ? { state: 'unknown', value: null, detail: 'the server does not tell its lag' } : { state: 'ok', value, detail: `${value.toFixed(1)} s behind` };
  } catch (error) {
    if (signal.aborted) return { state: 'bad', value: null, detail: `no answer within ${String(timeoutMs)} ms` };
    if (isResurgoError(error, 'sourceDenied') || isResurgoError(error, 'configInvalid') || isResurgoError(error, 'inputInvalid')) return { state: 'unknown', value: null, detail: error.message.slice(0, 300) };
    return { state: 'bad', value: null, detail: (error instanceof Error ? error.message : String(error)).slice(0, 300) };
  }
}
