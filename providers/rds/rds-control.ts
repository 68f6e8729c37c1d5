/** What a recovery does to a running RDS database: fail over, promote. Not verified against the real service, only against its emulator. */
import type { RDSClient } from '@aws-sdk/client-rds';
import { ResurgoError } from '../../domain/errors.ts';
import { abortable, clientOptions, mapAwsError, type AwsPlace } from '../aws/client-options.ts';

export interface RdsInstanceFacts {
  readonly kind: 'instance';
  readonly status: string;
  readonly zone: string | null;
  readonly multiAz: boolean;
  /** Of a replica: what it replicates from. */
  readonly replicaOf: string | null;
  readonly address: string | null;
}

export interface RdsClusterFacts {
  readonly kind: 'cluster';
  readonly status: string;
  readonly writer: string | null;
  readonly members: readonly string[];
  readonly address: string | null;
}

type Sdk = typeof import('@aws-sdk/client-rds');

export class RdsControl {
  readonly place: AwsPlace;
  private readonly sdk: Sdk;
  private readonly client: RDSClient;

  private constructor(sdk: Sdk, place: AwsPlace) {
    this.sdk = sdk;
    this.place = place;
    this.client = new sdk.RDSClient(clientOptions(place));
  }

  static async open(place: AwsPlace): Promise<RdsControl> {
    return new RdsControl(await import('@aws-sdk/client-rds'), place);
  }

  close(): void {
    this.client.destroy();
  }

  /** @throws awsFailed when there is none, awsDenied, awsThrottled, awsUnavailable */
  async instance(identifier: string, signal?: AbortSignal): Promise<RdsInstanceFacts> {
    return this.call(`describing RDS instance ${identifier}`, async () => {
      const { DBInstances } = await this.client.send(new this.sdk.DescribeDBInstancesCommand({ DBInstanceIdentifier: identifier }), abortable(signal));
      const [one] = DBInstances ?? [];
      if (one === undefined) throw new ResurgoError('awsFailed', `there is no RDS instance ${identifier} in ${this.place.region}`);
      const source = one.ReadReplicaSourceDBInstanceIdentifier;
      return { kind: 'instance', status: one.DBInstanceStatus ?? 'unknown', zone: one.AvailabilityZone ?? null, multiAz: one.MultiAZ ?? false, replicaOf: source === undefined || source === '' ? null : source, address: one.Endpoint?.Address ?? null };
    });
  }

  /** @throws as {@link RdsControl.instance} */
  async cluster(identifier: string, signal?: AbortSignal): Promise<RdsClusterFacts> {
    return this.call(`describing RDS cluster ${identifier}`, async () => {
      const { DBClusters } = await this.client.send(new this.sdk.DescribeDBClustersCommand({ DBClusterIdentifier: identifier }), abortable(signal));
      const [one] = DBClusters ?? [];
      if (one === undefined) throw new ResurgoError('awsFailed', `there is no RDS cluster ${identifier} in ${this.place.region}`);
      const members = one.DBClusterMembers ?? [];
      return { kind: 'cluster', status: one.Status ?? 'unknown', writer: members.find(({ IsClusterWriter }) => IsClusterWriter === true)?.DBInstanceIdentifier ?? null, members: members.flatMap(({ DBInstanceIdentifier }) => DBInstanceIdentifier ?? []), address: one.Endpoint ?? null };
    });
  }

  /** Effect: the standby of a Multi-AZ instance takes over. */
  async rebootWithFailover(identifier: string, signal?: AbortSignal): Promise<void> {
    await this.call(`failing RDS instance ${identifier} over`, () => this.client.send(new this.sdk.RebootDBInstanceCommand({ DBInstanceIdentifier: identifier, ForceFailover: true }), abortable(signal)));
  }

  /** Effect: another member becomes the writer. */
  async failoverCluster(identifier: string, to: string | undefined, signal?: AbortSignal): Promise<void> {
    await this.call(`failing RDS cluster ${identifier} over`, () => this.client.send(new this.sdk.FailoverDBClusterCommand({ DBClusterIdentifier: identifier, ...(to === undefined ? {} : { TargetDBInstanceIdentifier: to }) }), abortable(signal)));
  }

  /** Effect: the replica becomes a database of its own, for good. */
  async promote(identifier: string, signal?: AbortSignal): Promise<void> {
    await this.call(`promoting read replica ${identifier}`, () => this.client.send(new this.sdk.PromoteReadReplicaCommand({ DBInstanceIdentifier: identifier }), abortable(signal)));
  }

  private async call<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw mapAwsError(error, what);
    }
  }
}

export async function withRds<T>(place: AwsPlace, work: (rds: RdsControl) => Promise<T>): Promise<T> {
  const rds = await RdsControl.open(place);
  try {
    return await work(rds);
  } finally {
    rds.close();
  }
}
