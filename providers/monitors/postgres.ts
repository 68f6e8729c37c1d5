import { resolveConnection, withClient } from '../postgres/connection.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { ours } from './http.ts';
import type { Seen } from './observe.ts';

export interface PostgresLook { readonly kind: 'postgres'; readonly url: string; readonly password?: string; readonly lag: boolean }

/**
 * Null where it cannot be known. All that a standby received is replayed: it is up to date only while somebody sends; else its age is what is known. A
 * primary knows only of standbys that are there and that this login may see (`state` is hidden from others); receivers of WAL replay nothing.
 */
const lagQuery = `select case when pg_is_in_recovery()
  then case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0 else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end
  else (select case when bool_or(state is null) then null else max(coalesce(extract(epoch from replay_lag), 0)) filter (where replay_lsn is not null) end from pg_stat_replication) end as lag`;

/** A refused login is our fault and says nothing of the server; a refused or lost connection is the server's. */
export async function lookPostgres({ url, password, lag }: PostgresLook, signal: AbortSignal, timeoutMs: number): Promise<Seen> {
  const begun = performance.now();
  try {
    // Whether it answers is asked of poolers too.
    const row = await withClient(resolveConnection(url, password === undefined ? {} : { password }), async (client) => {
      const { rows } = await client.query<{ lag?: number | string | null }>(lag ? lagQuery : 'select 1 as one');
      return rows[0];
    }, { signal, bare: !lag });
    const tookMs = Math.round(performance.now() - begun);
    if (!lag) return { state: 'ok', value: tookMs, detail: `answered in ${String(tookMs)} ms` };
    const value = Number(row?.lag ?? NaN);
    return Number.isNaN(value) ? { state: 'unknown', value: null, detail: 'the server does not tell its lag: no standby streams, nothing was replayed yet, or the login lacks pg_monitor' } : { state: 'ok', value, detail: `${value.toFixed(1)} s behind` };
  } catch (error) {
    if (signal.aborted) return { state: 'bad', value: null, detail: `no answer within ${String(timeoutMs)} ms` };
    const detail = (error instanceof Error ? error.message : String(error)).slice(0, 300);
    const code = isResurgoError(error) ? error.details['sqlState'] : undefined;
    const blind = isResurgoError(error, 'sourceDenied') || isResurgoError(error, 'configInvalid') || isResurgoError(error, 'inputInvalid') || (typeof code === 'string' && ours.includes(code));
    return { state: blind ? 'unknown' : 'bad', value: null, detail };
  }
}
