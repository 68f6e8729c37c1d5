import { formatLsn, parseLsn } from '../../domain/lsn.ts';
import { withClient, type PostgresConnection } from './connection.ts';

/** Where the server is, and what it remembers of the blocks that changed. */
export interface SummaryFacts {
  readonly timeline: number;
  readonly lsn: bigint;
  /** Undefined: the role may not ask. */
  readonly summaries: readonly { readonly timeline: number; readonly start: bigint; readonly end: bigint }[] | undefined;
}

export async function summaryFacts(connection: PostgresConnection): Promise<SummaryFacts> {
  return withClient(connection, async (client) => {
    const { rows: [at] } = await client.query<{ timeline: number; lsn: string }>(
      `select timeline_id as timeline, (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn from pg_control_checkpoint()`);
    const summaries = await client
      .query<{ tli: string; start: string; end: string }>('select tli::text, start_lsn::text as start, end_lsn::text as "end" from pg_available_wal_summaries()')
      .then(({ rows }) => rows.map(({ tli, start, end }) => ({ timeline: Number(tli), start: parseLsn(start), end: parseLsn(end) })))
      .catch(() => undefined);
    return { timeline: at?.timeline ?? 0, lsn: parseLsn(at?.lsn ?? '0/0'), summaries };
  });
}

/**
 * What the server would refuse an incremental backup on a parent for, told before it is begun, so that a full one is taken instead. Undefined where nothing
 * speaks against it; the server decides.
 */
export function cannotBuildOn(facts: SummaryFacts, wal: { readonly startLsn: string; readonly stopLsn: string; readonly timeline: number }): string | undefined {
  const start = parseLsn(wal.startLsn);
  if (wal.timeline > facts.timeline) return `it is of timeline ${String(wal.timeline)}, the server is on timeline ${String(facts.timeline)}`;
  if (wal.timeline === facts.timeline && facts.lsn < parseLsn(wal.stopLsn)) return `the server is at ${formatLsn(facts.lsn)}, behind its end ${wal.stopLsn}: it was set back since`;
  if (facts.summaries === undefined) return undefined;
  const same = facts.summaries.filter(({ timeline }) => timeline === wal.timeline);
  if (same.some((summary) => summary.start <= start && start < summary.end)) return undefined;
  const first = same.reduce<bigint | undefined>((least, summary) => (least === undefined || summary.start < least ? summary.start : least), undefined);
  // On the present timeline the summarizer may only be a little late, or have just begun.
  if (wal.timeline === facts.timeline && (first === undefined || first <= start)) return undefined;
  return `the server has no WAL summary of timeline ${String(wal.timeline)} from ${wal.startLsn} on: it was restored, or promoted, or summarize_wal was off`;
}
