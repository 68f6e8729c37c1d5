/** What the watch over replication adds to the status of a target. */
import { formatBytes, formatDuration } from '../../config/units.ts';
import type { ClusterReport } from '../../domain/replication.ts';
import { staleMs } from '../monitors/report.ts';
import type { Problem } from './judge.ts';

/** Null: it is configured, and nobody watches. */
export type ReplicationStatus = Pick<ClusterReport, 'at' | 'primary' | 'timeline' | 'state' | 'detail' | 'automatic' | 'standbys' | 'failover'> | null;

export const replicationStatus = ({ at, primary, timeline, state, detail, automatic, standbys, failover }: ClusterReport): ReplicationStatus => ({ at, primary, timeline, state, detail, automatic, standbys, failover });

const silent = (now: number, replication: NonNullable<ReplicationStatus>): boolean => now - Date.parse(replication.at) > staleMs + 30_000;

/** Healthy is only what a living watch says. */
export function replicationProblems(replication: ReplicationStatus, now: number): Problem[] {
  if (replication === null) return [{ code: 'replication', severity: 'warning', message: 'nobody watches its replication: start a worker' }];
  const { state, detail } = replication;
  if (state === 'no primary' || state === 'stopped') return [{ code: 'replication', severity: 'objective', message: state === 'stopped' ? `two primaries are suspected: ${detail}` : `it has no primary: ${detail}` }];
  if (state === 'unknown') return [{ code: 'replication', severity: 'warning', message: `its replication is not known: ${detail}` }];
  if (silent(now, replication)) return [{ code: 'replication', severity: 'warning', message: `its replication was last looked at ${replication.at}` }];
  return state === 'ok' ? [] : [{ code: 'replication', severity: 'warning', message: state === 'failing over' ? `failing over: ${detail}` : state === 'suspected' ? `the primary is suspected: ${detail}` : detail }];
}

/** `b 0 s, c 12 s (3 MiB)` */
export const lagText = (replication: ReplicationStatus): string =>
  replication === null ? '' : replication.standbys.map(({ name, state, lagMs, lagBytes }) => `${name} ${state !== 'streaming' ? state : lagMs === null ? '?' : `${formatDuration(lagMs)}${(lagBytes ?? 0) > 0 ? ` (${formatBytes(lagBytes ?? 0)})` : ''}`}`).join(', ');
