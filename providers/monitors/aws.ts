/** ECS, RDS, Route 53 and CloudWatch. An API that refuses or throttles leaves the thing unobserved. */
import type { Seen } from './observe.ts';

interface Place { readonly region?: string; readonly endpoint?: string }
export type AwsLook =
  | ({ readonly kind: 'ecs'; readonly cluster: string; readonly service: string } & Place)
  | ({ readonly kind: 'rds'; readonly instance?: string; readonly cluster?: string } & Place)
  | ({ readonly kind: 'route53'; readonly healthCheck: string } & Place)
  | ({ readonly kind: 'cloudwatch'; readonly namespace: string; readonly metric: string; readonly dimensions: Readonly<Record<string, string>>; readonly statistic: string; readonly periodMs: number } & Place);

/** States that planned work passes through, ours and AWS's: they begin no breach and end none. */
const atWork: readonly string[] = [
  'backing-up', 'modifying', 'maintenance', 'configuring-enhanced-monitoring', 'configuring-iam-database-auth', 'configuring-log-exports', 'converting-to-vpc', 'moving-to-vpc', 'renaming',
  'resetting-master-credentials', 'storage-optimization', 'storage-config-upgrade', 'storage-initialization', 'upgrading', 'creating', 'configuring-associated-roles', 'backtracking', 'promoting',
];

const clients = new Map<string, unknown>();
/** One client per service and place: each holds connections and credentials. */
function clientOf<T>(service: string, { region, endpoint }: Place, make: (options: { region?: string; endpoint?: string; maxAttempts: number }) => T): T {
  const key = `${service} ${region ?? ''} ${endpoint ?? ''}`;
  const known = clients.get(key) as T | undefined;
  if (known !== undefined) return known;
  const made = make({ ...(region === undefined ? {} : { region }), ...(endpoint === undefined ? {} : { endpoint }), maxAttempts: 2 });
  clients.set(key, made);
  return made;
}

export async function lookAws(look: AwsLook, abortSignal: AbortSignal): Promise<Seen> {
  const http = { abortSignal };
  switch (look.kind) {
    case 'ecs': {
      const { ECSClient, DescribeServicesCommand } = await import('@aws-sdk/client-ecs');
      const { services, failures } = await clientOf('ecs', look, (options) => new ECSClient(options)).send(new DescribeServicesCommand({ cluster: look.cluster, services: [look.service] }), http);
      const [service] = services ?? [];
      if (service === undefined || service.status === 'INACTIVE') return { state: 'unknown', value: null, detail: `there is no service ${look.service} in cluster ${look.cluster}${failures?.[0]?.reason === undefined ? '' : ` (${failures[0].reason})`}` };
      const { runningCount = 0, desiredCount = 0 } = service;
      return { state: runningCount < desiredCount ? 'bad' : 'ok', value: runningCount, threshold: desiredCount, detail: `${String(runningCount)} of ${String(desiredCount)} tasks run` };
    }
    case 'rds': {
      const { RDSClient, DescribeDBInstancesCommand, DescribeDBClustersCommand } = await import('@aws-sdk/client-rds');
      const client = clientOf('rds', look, (options) => new RDSClient(options));
      const status =
        look.cluster === undefined
          ? (await client.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: look.instance }), http)).DBInstances?.[0]?.DBInstanceStatus
          : (await client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: look.cluster }), http)).DBClusters?.[0]?.Status;
      if (status === undefined) return { state: 'unknown', value: null, detail: 'AWS does not tell its status' };
      const working = atWork.includes(status);
      return { state: status === 'available' || working ? 'ok' : 'bad', value: null, detail: `status ${status}`, ...(working ? { working } : {}) };
    }
    case 'route53': {
      const { Route53Client, GetHealthCheckStatusCommand } = await import('@aws-sdk/client-route-53');
      const { HealthCheckObservations = [] } = await clientOf('route53', { region: look.region ?? 'us-east-1', ...(look.endpoint === undefined ? {} : { endpoint: look.endpoint }) }, (options) => new Route53Client(options)).send(new GetHealthCheckStatusCommand({ HealthCheckId: look.healthCheck }), http);
      const reports = HealthCheckObservations.flatMap((each) => (each.StatusReport?.Status === undefined ? [] : [each.StatusReport.Status]));
      if (reports.length === 0) return { state: 'unknown', value: null, detail: 'no checker has reported' };
      const good = reports.filter((report) => report.startsWith('Success')).length;
      // Route 53's own rule: healthy when more than 18 % of the checkers say so.
      return { state: good / reports.length > 0.18 ? 'ok' : 'bad', value: good, threshold: reports.length, detail: `${String(good)} of ${String(reports.length)} checkers see it healthy${good === reports.length ? '' : `: ${(reports.find((report) => !report.startsWith('Success')) ?? '').slice(0, 150)}`}` };
    }
    case 'cloudwatch': {
      const { CloudWatchClient, GetMetricDataCommand } = await import('@aws-sdk/client-cloudwatch');
      const period = Math.ceil(look.periodMs / 60_000) * 60;
      const now = Date.now();
      // A sum over a period that is not over yet is too small: only whole ones are compared.
      const end = new Date(look.statistic === 'Sum' || look.statistic === 'SampleCount' ? now - (now % (period * 1000)) : now);
      const { MetricDataResults } = await clientOf('cloudwatch', look, (options) => new CloudWatchClient(options)).send(
        new GetMetricDataCommand({
          StartTime: new Date(end.getTime() - Math.max(5 * look.periodMs, 15 * 60_000)), EndTime: end, ScanBy: 'TimestampDescending',
          MetricDataQueries: [{ Id: 'm', MetricStat: { Metric: { Namespace: look.namespace, MetricName: look.metric, Dimensions: Object.entries(look.dimensions).map(([Name, Value]) => ({ Name, Value })) }, Period: period, Stat: look.statistic } }],
        }),
        http,
      );
      const value = MetricDataResults?.[0]?.Values?.[0];
      const { StatusCode: status = 'Complete' } = MetricDataResults?.[0] ?? {};
      return value === undefined ? { state: 'unknown', value: null, detail: status === 'Complete' ? 'no data' : `no data: ${status}` } : { state: 'ok', value, detail: `${look.statistic} of ${look.metric} is ${String(value)}` };
    }
  }
}
