/** How the standbys of a cluster are watched: `replication`, for all clusters or for one target. */
import { duration, flag, mapping, size } from './leaf.ts';

export const replication = mapping(
  {
    every: duration('How often every member is looked at.', { min: 500 }).default(30_000),
    maxLag: duration('A standby that lacks what the primary wrote longer ago than this is warned about.').default(30_000),
    maxLagBytes: size('… or that lacks more than this.').optional(),
    criticalLag: duration('A standby further behind than this is rebuilt.').default(300_000),
    criticalLagBytes: size('… or that lacks more than this.').optional(),
    rebuild: flag(
      'Whether a standby that is lost is started again, and one that is lost for good or above the critical limit is replaced by a fresh copy; one at a time, never the last healthy one, never an old primary. Needs its `host` and `dataDir`.',
    ).default(true),
    lostAfter: duration('A standby that does not stream for this long is lost.').default(60_000),
    cooldown: duration('Between two repairs of one standby, and between two automatic failovers of one cluster that did not come to an end.').default(900_000),
    slotLimit: size('The slot of a standby that does not stream is dropped when it holds more WAL than this on the primary; the standby is then rebuilt.').default(16 * 1024 ** 3),
  },
  'How the standbys of a cluster are watched.',
);
