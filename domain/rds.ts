/** Amazon RDS as a backup engine (B7): what a backup is lies at AWS; the repositories hold what it is called and where. */

/** One snapshot of a backup: the first is where the database is, others are copies in other regions. */
export interface SnapshotFacts {
  readonly region: string;
  readonly arn: string;
  readonly identifier: string;
  readonly encrypted: boolean;
}

/** A stream `rds.json` of the backup holds the same, for whoever opens it by hand. */
export interface RdsFacts {
  readonly engine: 'rds';
  readonly kind: 'instance' | 'cluster';
  readonly identifier: string;
  /** `mysql`, `postgres`, `aurora-postgresql` … */
  readonly databaseEngine: string;
  readonly engineVersion: string;
  readonly instanceClass: string | null;
  readonly allocatedGiB: number;
  readonly subnetGroup: string | null;
  readonly securityGroups: readonly string[];
  readonly snapshotAt: string;
  readonly snapshots: readonly SnapshotFacts[];
}

/**
 * States that the work of AWS itself causes, our backups among it: the database serves, or comes back by itself. They are no incident.
 * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
 */
const working = new Set([
  'available', 'backing-up', 'backtracking', 'configuring-enhanced-monitoring', 'configuring-iam-database-auth', 'configuring-log-exports', 'converting-to-vpc', 'maintenance', 'modifying', 'moving-to-vpc', 'rebooting',
  'renaming', 'resetting-master-credentials', 'storage-optimization', 'storage-config-upgrade', 'upgrading', 'creating', 'starting', 'failing-over', 'migrating', 'promoting', 'update-iam-db-auth', 'scaling-compute', 'scaling-storage',
]);

export type RdsCondition = 'available' | 'working' | 'stopped' | 'failed';

/** What a status word of RDS means for whoever watches: `working` passes by itself. */
export function conditionOf(status: string): RdsCondition {
  if (status === 'available') return 'available';
  if (status === 'stopped' || status === 'stopping') return 'stopped';
  return working.has(status) ? 'working' : 'failed';
}

/** The identifier of a backup's snapshots, the same in every attempt and region, so that none is made twice: at most 255 of letters, digits and hyphens. */
export const snapshotIdentifier = (target: string, backup: string): string => `resurgo-${slug(target)}-${backup}`;

const slug = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-+|-+$/g, '').slice(0, 63) || 'target';
