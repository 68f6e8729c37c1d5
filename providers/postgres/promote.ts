import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteLiteral } from './quote.ts';

export interface Promotion {
  /** The new timeline. */
  readonly timeline: number;
  /** The timeline it leaves, as its history says. */
  readonly parent: number;
  /** Where the new timeline leaves the old one. */
  readonly switchLsn: string;
  /** False: it was the primary of a newer timeline already. */
  readonly promotedNow: boolean;
}

interface Row { in_recovery: boolean; timeline: number; flushed: string | null }

const stateSql = `select r.is as in_recovery,
  case when r.is then (select timeline_id from pg_control_checkpoint()) else ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int end as timeline,
  case when not r.is then pg_current_wal_flush_lsn() end::text as flushed
from (select pg_is_in_recovery() as is) r`;

/**
 * Promotes a standby. Nothing happens when it has left `fromTimeline` meanwhile: what a run that was held up tries late is refused by the server
 * itself, in the same statement. Promoted already, from that timeline, is success.
 * @throws promoteFailed, sourceUnreachable, sourceDenied
 */
export async function promote(connection: PostgresConnection, fromTimeline: number, options: { readonly waitMs: number; readonly signal?: AbortSignal | undefined }): Promise<Promotion> {
  return withClient(connection, async (client) => {
    const ask = async (): Promise<Row> => {
      const row = (await client.query<Row>(stateSql)).rows[0];
      if (row === undefined) throw new ResurgoError('promoteFailed', `${connection.redacted} answered nothing`);
      return row;
    };
    try {
      const before = await ask();
      if (before.in_recovery) {
        if (before.timeline > fromTimeline) throw new ResurgoError('fenced', `${connection.redacted} is on timeline ${before.timeline} by now, not on ${fromTimeline}`);
        await client.query(`select pg_promote(false) where (select timeline_id from pg_control_checkpoint()) <= ${Number(fromTimeline)} and pg_is_in_recovery()`);
      } else if (before.timeline <= fromTimeline) {
        throw new ResurgoError('promoteFailed', `${connection.redacted} is no standby: it is the primary of timeline ${before.timeline}`);
      }
      for (const until = performance.now() + options.waitMs; ; ) {
        options.signal?.throwIfAborted();
        const now = before.in_recovery ? await ask() : before;
        if (!now.in_recovery && now.timeline > fromTimeline) return { timeline: now.timeline, ...(await switchPoint(client, fromTimeline, now)), promotedNow: before.in_recovery };
        if (performance.now() > until) throw new ResurgoError('promoteFailed', `${connection.redacted} is still in recovery ${options.waitMs} ms after it was asked to become the primary`);
        await sleep(20);
      }
    } catch (error) {
      throw mapPostgresError(error, 'promoting it', connection, 'promoteFailed');
    }
  }, { signal: options.signal });
}

type Client = Parameters<Parameters<typeof withClient>[1]>[0];

/** The history file of the new timeline says where it forked; only those who may read server files see it, others get the position right after. */
async function switchPoint(client: Client, from: number, now: Row): Promise<{ parent: number; switchLsn: string }> {
  const file = `pg_wal/${now.timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  const text = await client.query<{ text: string | null }>(`select pg_read_file(${quoteLiteral(file)}, true) as text`).then(({ rows }) => rows[0]?.text ?? '', () => '');
  const line = text.split('\n').map((each) => each.split('\t')).findLast(([timeline]) => Number(timeline) > 0);
  return { parent: Number(line?.[0] ?? from), switchLsn: line?.[1]?.trim() ?? now.flushed ?? '0/0' };
}

/**
 * Proves that a server takes writes: commits a WAL record of ours (no table is touched) and reads on which timeline it went. Commits locally only:
 * whether synchronous standbys are there is told, not waited for.
 * @throws promoteFailed, sourceUnreachable
 */
export async function verifyWrites(connection: PostgresConnection, run: string, timeline: number, signal?: AbortSignal): Promise<{ lsn: string; waitsFor: string | null }> {
  return withClient(connection, async (client) => {
    try {
      await client.query('begin');
      await client.query('set local synchronous_commit = local');
      const { rows: [written] } = await client.query<{ lsn: string }>(`select pg_logical_emit_message(true, 'resurgo', ${quoteLiteral(run)})::text as lsn`);
      await client.query('commit');
      const { rows: [after] } = await client.query<{ tli: number; flushed: boolean; names: string; synced: number }>(
        `select ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int as tli, pg_current_wal_flush_lsn() >= ${quoteLiteral(written?.lsn ?? '0/0')}::pg_lsn as flushed,
           current_setting('synchronous_standby_names') as names, (select count(*)::int from pg_stat_replication where sync_state in ('sync', 'quorum')) as synced`);
      if (written === undefined || after?.flushed !== true) throw new ResurgoError('promoteFailed', `${connection.redacted} took a write but did not make it durable`);
      if (after.tli !== timeline) throw new ResurgoError('promoteFailed', `${connection.redacted} writes on timeline ${after.tli}, not on ${timeline}`);
      return { lsn: written.lsn, waitsFor: after.names !== '' && after.synced === 0 ? after.names : null };
    } catch (error) {
      throw mapPostgresError(error, 'writing to it', connection, 'promoteFailed');
    }
  }, { signal });
}
