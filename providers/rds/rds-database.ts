/** One RDS instance or Aurora cluster behind the same few words; the API has two of every call. */
import type { DBCluster, DBClusterSnapshot, DBInstance, DBSnapshot, RDSClient, Tag } from '@aws-sdk/client-rds';
import { ResurgoError } from '../../domain/errors.ts';
import { clientOptions, isAwsError, mapAwsError, type AwsPlace } from '../aws/client-options.ts';

export type RdsKind = 'instance' | 'cluster';

export interface RdsDatabase {
  readonly kind: RdsKind;
  readonly identifier: string;
  /** Never reused, unlike the identifier: keeps re-created databases apart. */
  readonly resourceId: string;
  readonly status: string;
  readonly engine: string;
  readonly engineVersion: string;
  readonly instanceClass: string | null;
  readonly allocatedGiB: number;
  readonly subnetGroup: string | null;
  readonly securityGroups: readonly string[];
  readonly tags: readonly Tag[];
  /** How far back and forth AWS can restore it; null where it does not say. */
  readonly restorable: { readonly from: string | null; readonly to: string | null };
}

export interface RdsSnapshot {
  readonly identifier: string;
  readonly arn: string;
  readonly status: string;
  readonly percent: number;
  readonly encrypted: boolean;
  readonly at: string | null;
  readonly source: string;
}

type Sdk = typeof import('@aws-sdk/client-rds');

/** Who made it: what has no such tag is never deleted by us. */
export const ownerTag = 'resurgo';

const instanceOf = (one: DBInstance): RdsDatabase => ({
  kind: 'instance', identifier: one.DBInstanceIdentifier ?? '', resourceId: one.DbiResourceId ?? one.DBInstanceIdentifier ?? '', status: one.DBInstanceStatus ?? 'unknown', engine: one.Engine ?? '?', engineVersion: one.EngineVersion ?? '?',
  instanceClass: one.DBInstanceClass ?? null, allocatedGiB: one.AllocatedStorage ?? 0, subnetGroup: one.DBSubnetGroup?.DBSubnetGroupName ?? null, securityGroups: (one.VpcSecurityGroups ?? []).flatMap((group) => group.VpcSecurityGroupId ?? []), tags: one.TagList ?? [],
  restorable: { from: null, to: one.LatestRestorableTime?.toISOString() ?? null },
});
const clusterOf = (one: DBCluster): RdsDatabase => ({
  kind: 'cluster', identifier: one.DBClusterIdentifier ?? '', resourceId: one.DbClusterResourceId ?? one.DBClusterIdentifier ?? '', status: one.Status ?? 'unknown', engine: one.Engine ?? '?', engineVersion: one.EngineVersion ?? '?',
  instanceClass: one.DBClusterInstanceClass ?? null, allocatedGiB: one.AllocatedStorage ?? 0, subnetGroup: one.DBSubnetGroup ?? null, securityGroups: (one.VpcSecurityGroups ?? []).flatMap((group) => group.VpcSecurityGroupId ?? []), tags: one.TagList ?? [],
  restorable: { from: one.EarliestRestorableTime?.toISOString() ?? null, to: one.LatestRestorableTime?.toISOString() ?? null },
});
const instanceSnapshot = (one: DBSnapshot): RdsSnapshot => ({
  identifier: one.DBSnapshotIdentifier ?? '', arn: one.DBSnapshotArn ?? '', status: one.Status ?? 'unknown', percent: one.PercentProgress ?? 0, encrypted: one.Encrypted ?? false,
  at: (one.OriginalSnapshotCreateTime ?? one.SnapshotCreateTime)?.toISOString() ?? null, source: one.DBInstanceIdentifier ?? '',
});
const clusterSnapshot = (one: DBClusterSnapshot): RdsSnapshot => ({
  identifier: one.DBClusterSnapshotIdentifier ?? '', arn: one.DBClusterSnapshotArn ?? '', status: one.Status ?? 'unknown', percent: one.PercentProgress ?? 0, encrypted: one.StorageEncrypted ?? false,
  at: one.SnapshotCreateTime?.toISOString() ?? null, source: one.DBClusterIdentifier ?? '',
});

/** RDS in one region. Every call is safe to be made again. */
export class Rds {
  readonly region: string;
  private readonly client: RDSClient;
  private readonly sdk: Sdk;

  private constructor(sdk: Sdk, place: AwsPlace) {
    this.sdk = sdk;
    this.region = place.region;
    this.client = new sdk.RDSClient(clientOptions(place));
  }

  static async open(place: AwsPlace): Promise<Rds> {
    return new Rds(await import('@aws-sdk/client-rds'), place);
  }

  close(): void {
    this.client.destroy();
  }

  /** Undefined when there is none. @throws awsDenied, awsUnavailable, awsThrottled */
  async database(kind: RdsKind, identifier: string): Promise<RdsDatabase | undefined> {
    return this.guarded(`describing ${kind} ${identifier}`, ['DBInstanceNotFoundFault', 'DBInstanceNotFound', 'DBClusterNotFoundFault'], async () => {
      if (kind === 'instance') {
        const { DBInstances } = await this.client.send(new this.sdk.DescribeDBInstancesCommand({ DBInstanceIdentifier: identifier }));
        return DBInstances?.[0] === undefined ? undefined : instanceOf(DBInstances[0]);
      }
      const { DBClusters } = await this.client.send(new this.sdk.DescribeDBClustersCommand({ DBClusterIdentifier: identifier }));
      return DBClusters?.[0] === undefined ? undefined : clusterOf(DBClusters[0]);
    });
  }

  async snapshot(kind: RdsKind, identifier: string): Promise<RdsSnapshot | undefined> {
    return this.guarded(`describing snapshot ${identifier}`, ['DBSnapshotNotFoundFault', 'DBSnapshotNotFound', 'DBClusterSnapshotNotFoundFault'], async () => {
      if (kind === 'instance') {
        const { DBSnapshots } = await this.client.send(new this.sdk.DescribeDBSnapshotsCommand({ DBSnapshotIdentifier: identifier }));
        return DBSnapshots?.[0] === undefined ? undefined : instanceSnapshot(DBSnapshots[0]);
      }
      const { DBClusterSnapshots } = await this.client.send(new this.sdk.DescribeDBClusterSnapshotsCommand({ DBClusterSnapshotIdentifier: identifier }));
      return DBClusterSnapshots?.[0] === undefined ? undefined : clusterSnapshot(DBClusterSnapshots[0]);
    });
  }

  /** Effect: a snapshot of that identifier exists. One that is there already is taken for ours: identifiers hold the backup's id. */
  async createSnapshot(kind: RdsKind, source: string, identifier: string, tags: readonly Tag[]): Promise<void> {
    await this.guarded(`snapshotting ${kind} ${source}`, ['DBSnapshotAlreadyExistsFault', 'DBSnapshotAlreadyExists', 'DBClusterSnapshotAlreadyExistsFault'], async () => {
      if (kind === 'instance') await this.client.send(new this.sdk.CreateDBSnapshotCommand({ DBInstanceIdentifier: source, DBSnapshotIdentifier: identifier, Tags: [...tags] }));
      else await this.client.send(new this.sdk.CreateDBClusterSnapshotCommand({ DBClusterIdentifier: source, DBClusterSnapshotIdentifier: identifier, Tags: [...tags] }));
    });
  }

  /** Effect: this region has a copy of a snapshot of another region. */
  async copySnapshot(kind: RdsKind, from: { readonly arn: string }, identifier: string, tags: readonly Tag[], kmsKeyId?: string): Promise<void> {
    const key = kmsKeyId === undefined ? {} : { KmsKeyId: kmsKeyId };
    await this.guarded(`copying ${from.arn} to ${this.region}`, ['DBSnapshotAlreadyExistsFault', 'DBSnapshotAlreadyExists', 'DBClusterSnapshotAlreadyExistsFault'], async () => {
      if (kind === 'instance') await this.client.send(new this.sdk.CopyDBSnapshotCommand({ SourceDBSnapshotIdentifier: from.arn, TargetDBSnapshotIdentifier: identifier, Tags: [...tags], ...key }));
      else await this.client.send(new this.sdk.CopyDBClusterSnapshotCommand({ SourceDBClusterSnapshotIdentifier: from.arn, TargetDBClusterSnapshotIdentifier: identifier, Tags: [...tags], ...key }));
    });
  }

  /** Effect: it is gone; gone already is success. */
  async deleteSnapshot(kind: RdsKind, identifier: string): Promise<void> {
    await this.guarded(`deleting snapshot ${identifier}`, ['DBSnapshotNotFoundFault', 'DBSnapshotNotFound', 'DBClusterSnapshotNotFoundFault'], async () => {
      if (kind === 'instance') await this.client.send(new this.sdk.DeleteDBSnapshotCommand({ DBSnapshotIdentifier: identifier }));
      else await this.client.send(new this.sdk.DeleteDBClusterSnapshotCommand({ DBClusterSnapshotIdentifier: identifier }));
    });
  }

  /** Effect: a database of that identifier is being made from a snapshot, or from a moment of a running one. One that exists is left alone. */
  async restore(kind: RdsKind, to: string, from: { readonly snapshot: string } | { readonly source: string; readonly at: Date | 'latest' }, like: { readonly engine: string; readonly instanceClass: string | null; readonly subnetGroup: string | null; readonly securityGroups: readonly string[] }, tags: readonly Tag[]): Promise<void> {
    const common = { Tags: [...tags], ...(like.subnetGroup === null ? {} : { DBSubnetGroupName: like.subnetGroup }), ...(like.securityGroups.length === 0 ? {} : { VpcSecurityGroupIds: [...like.securityGroups] }) };
    const sized = like.instanceClass === null ? {} : { DBInstanceClass: like.instanceClass };
    await this.guarded(`restoring ${to}`, ['DBInstanceAlreadyExistsFault', 'DBInstanceAlreadyExists', 'DBClusterAlreadyExistsFault'], async () => {
      if (kind === 'instance') {
        if ('snapshot' in from) await this.client.send(new this.sdk.RestoreDBInstanceFromDBSnapshotCommand({ DBInstanceIdentifier: to, DBSnapshotIdentifier: from.snapshot, ...common, ...sized }));
        else await this.client.send(new this.sdk.RestoreDBInstanceToPointInTimeCommand({ TargetDBInstanceIdentifier: to, SourceDBInstanceIdentifier: from.source, ...(from.at === 'latest' ? { UseLatestRestorableTime: true } : { RestoreTime: from.at }), ...common, ...sized }));
      } else if ('snapshot' in from) await this.client.send(new this.sdk.RestoreDBClusterFromSnapshotCommand({ DBClusterIdentifier: to, SnapshotIdentifier: from.snapshot, Engine: like.engine, ...common }));
      else await this.client.send(new this.sdk.RestoreDBClusterToPointInTimeCommand({ DBClusterIdentifier: to, SourceDBClusterIdentifier: from.source, ...(from.at === 'latest' ? { UseLatestRestorableTime: true } : { RestoreToTime: from.at }), ...common }));
    });
  }

  /** Effect: a database that this restore made is being deleted, without a last snapshot. @throws destinationBusy when it is not that restore's */
  async deleteRestored(kind: RdsKind, identifier: string, restore: string): Promise<boolean> {
    const found = await this.database(kind, identifier);
    if (found === undefined || found.status === 'deleting') return false;
    if (!found.tags.some((tag) => tag.Key === `${ownerTag}:restore` && tag.Value === restore)) throw new ResurgoError('destinationBusy', `${kind} ${identifier} was not made by restore ${restore}; it is left alone`);
    await this.guarded(`deleting ${kind} ${identifier}`, ['DBInstanceNotFoundFault', 'DBInstanceNotFound', 'DBClusterNotFoundFault', 'InvalidDBInstanceState'], async () => {
      if (kind === 'instance') await this.client.send(new this.sdk.DeleteDBInstanceCommand({ DBInstanceIdentifier: identifier, SkipFinalSnapshot: true, DeleteAutomatedBackups: true }));
      else await this.client.send(new this.sdk.DeleteDBClusterCommand({ DBClusterIdentifier: identifier, SkipFinalSnapshot: true }));
    });
    return true;
  }

  private async guarded<T>(what: string, settled: readonly string[], work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (isAwsError(error, ...settled)) return undefined;
      throw mapAwsError(error, what);
    }
  }
}
