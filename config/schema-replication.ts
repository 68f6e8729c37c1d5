/** How the standbys of a cluster are watched: `replication`, for all clusters or for one target. */
import { duration, flag, mapping, size } from './leaf.ts';

export const replicationDefaults = { every: 30_000, maxLag: 30_000, criticalLag: 300_000, rebuild: true, lostAfter: 60_000, cooldown: 900_000, slotLimit: 16 * 1024 ** 3 } as const;

export const replication = mapping(
  {
    every: duration('How often every member is looked at.', { min: 500 }).default(replicationDefaults.every),
    maxLag: duration('A standby that lacks what the primary wrote longer ago than this is warned about.').default(replicationDefaults.maxLag),
    maxLagBytes: size('… or that lacks more than this.').optional(),
    criticalLag: duration('A standby further behind than this is rebuilt.').default(replicationDefaults.criticalLag),
    criticalLagBytes: size('… or that lacks more than this.').optional(),
    rebuild: flag(
      'Whether a standby that is lost is started again, and one that is lost for good or above the critical limit is replaced by a fresh copy; one at a time, never the last healthy one, never an old primary. Needs its `host` and `dataDir`.',
    ).default(replicationDefaults.rebuild),
    lostAfter: duration('A standby that does not stream for this long is lost.').default(replicationDefaults.lostAfter),
    cooldown: duration('Between two repairs of one standby, and between two automatic failovers of one cluster that did not come to an end.').default(replicationDefaults.cooldown),
    slotLimit: size('The slot of a standby that does not stream is dropped when it holds more WAL than this on the primary; the standby is then rebuilt.').default(replicationDefaults.slotLimit),
  },
  'How the standbys of a cluster are watched.',
);
