import { announceActivities } from './announce.activities.ts';
import { backupActivities } from './backup.activities.ts';
import { gameDayActivities } from './gameday.activities.ts';
import { deadmanActivities } from './deadman.activities.ts';
import { drillActivities } from './drill.activities.ts';
import { evidenceActivities } from './evidence.activities.ts';
import { archiveActivities } from './archive.activities.ts';
import { atBoundary } from './failure-mapping.ts';
import { planActivities } from './plan.activities.ts';
import { incidentActivities } from './incident.activities.ts';
import { notifyActivities } from './notify.activities.ts';
import { clusterActivities } from './cluster.activities.ts';
import { pruneActivities } from './prune.activities.ts';
import { upkeepActivities } from './upkeep.activities.ts';
import { explainStale } from './stale-config.ts';
import { restoreActivities } from './restore.activities.ts';
import { runLogActivities } from './run-log.activities.ts';
import { tracesActivities } from './traces.activities.ts';
import { verifyActivities } from './verify.activities.ts';
import { walActivities } from './wal.activities.ts';
import { watchActivities } from './watch.activities.ts';
import type { ActivityDeps } from './deps.ts';

export type { ActivityDeps } from './deps.ts';

/** All activities, each behind the boundary that turns errors into codes. */
export function createActivities(deps: ActivityDeps) {
  // prettier-ignore
  return atBoundary({
    ...announceActivities(deps),
    ...archiveActivities(deps),
    ...backupActivities(deps),
    ...deadmanActivities(deps),
    ...drillActivities(deps),
    ...gameDayActivities(deps),
    ...evidenceActivities(deps),
    ...planActivities(deps),
    ...incidentActivities(deps),
    ...notifyActivities(deps),
    ...clusterActivities(deps),
    ...pruneActivities(deps),
    ...upkeepActivities(deps),
    ...restoreActivities(deps),
    ...runLogActivities(deps),
    ...tracesActivities(deps),
    ...verifyActivities(deps),
    ...walActivities(deps),
    ...watchActivities(deps),
  }, (error) => explainStale(error, deps));
}

export type Activities = ReturnType<typeof createActivities>;
