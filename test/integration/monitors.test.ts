/** What monitors see (I1): PostgreSQL and this host for real, AWS by moto with a scripted front; not verified against the real services. */
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { CreateClusterCommand, CreateServiceCommand, ECSClient, RegisterTaskDefinitionCommand, UpdateServiceCommand } from '@aws-sdk/client-ecs';
import { CreateDBClusterCommand, CreateDBInstanceCommand, RDSClient } from '@aws-sdk/client-rds';
import { CreateHealthCheckCommand, Route53Client } from '@aws-sdk/client-route-53';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../config/load.ts';
import { lookOf } from '../../config/monitor-looks.ts';
import { observe, type Seen } from '../../providers/monitors/observe.ts';
import { type AwsFront, jsonError, queryError, startAwsFront } from '../support/aws-front.ts';
import { type HttpSink, startSink } from '../support/http-sink.ts';
import { freePort, type PostgresServer, s3Missing, type S3Server, startPostgres, startS3, stopAll } from '../support/index.ts';
import { until } from '../support/alerts.ts';
import { recipient } from '../unit/config/bad-configs.ts';

const never = new AbortController().signal;
/** One look, from the configuration on. */
async function look(monitor: Record<string, unknown>, env: NodeJS.ProcessEnv = {}): Promise<Seen> {
  const config = { version: 1, encryption: { recipients: [recipient] }, repositories: { local: { type: 'disk', path: '/b' } }, targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://a@b/c' } }, monitors: [{ name: 'm', timeout: '20s', ...monitor }] };
  const [parsed] = parseConfig(JSON.stringify(config), { shown: 'x', dir: '/', env }).monitors ?? [];
  if (parsed === undefined) throw new Error('no monitor');
  return observe(lookOf(parsed, env), parsed.timeout, never);
}

afterAll(stopAll);

describe.skipIf(s3Missing() !== undefined)('I1 AWS', () => {
  const region = 'ap-northeast-2';
  let moto: S3Server;
  let front: AwsFront;
  let check: string;
  const at = (more: object): object => ({ region, endpoint: front.endpoint, ...more });
  const tasks = (): Promise<Seen> => look({ ecs: at({ cluster: 'prod', service: 'api' }) });
  const instance = (name = 'single'): Promise<Seen> => look({ rds: at({ instance: name }) });
  const edge = (id = check): Promise<Seen> => look({ route53: { healthCheck: id, endpoint: front.endpoint } });
  const queue = (more: object = {}): Promise<Seen> => look({ cloudwatch: at({ namespace: 'Shop', metric: 'Depth', dimensions: { Queue: 'jobs' }, ...more }), above: 1000 });

  beforeAll(async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
    moto = await startS3();
    front = await startAwsFront(moto.port);
    const place = { region, endpoint: moto.endpoint };
    const [ecs, rds, route53, cloudwatch] = [new ECSClient(place), new RDSClient(place), new Route53Client({ ...place, region: 'us-east-1' }), new CloudWatchClient(place)];
    await ecs.send(new CreateClusterCommand({ clusterName: 'prod' }));
    await ecs.send(new RegisterTaskDefinitionCommand({ family: 'api', containerDefinitions: [{ name: 'api', image: 'api:1', memory: 128 }] }));
    await ecs.send(new CreateServiceCommand({ cluster: 'prod', serviceName: 'api', taskDefinition: 'api', desiredCount: 2 }));
    await ecs.send(new UpdateServiceCommand({ cluster: 'prod', service: 'api', desiredCount: 2 }));
    const login = { MasterUsername: 'admin1', MasterUserPassword: 'password1' };
    await rds.send(new CreateDBInstanceCommand({ DBInstanceIdentifier: 'single', DBInstanceClass: 'db.t4g.micro', Engine: 'postgres', AllocatedStorage: 20, ...login }));
    await rds.send(new CreateDBClusterCommand({ DBClusterIdentifier: 'ledger', Engine: 'aurora-postgresql', ...login }));
    check = (await route53.send(new CreateHealthCheckCommand({ CallerReference: 'a', HealthCheckConfig: { Type: 'HTTP', FullyQualifiedDomainName: 'shop.example.test', Port: 80 } }))).HealthCheck?.Id ?? '';
    const metric = { MetricName: 'Depth', Dimensions: [{ Name: 'Queue', Value: 'jobs' }] };
    const old = new Date(Date.now() - 150_000);
    await cloudwatch.send(new PutMetricDataCommand({ Namespace: 'Shop', MetricData: [{ ...metric, Value: 7, Timestamp: old }, { ...metric, Value: 1300, Timestamp: new Date(Date.now() - 20_000) }] }));
    for (const client of [ecs, rds, route53, cloudwatch]) client.destroy();
  });
  beforeEach(() => { front.script(); });

  test('ECS: fewer tasks run than are wanted', async () => {
    expect(await tasks()).toMatchObject({ state: 'ok', value: 2, threshold: 2 });
    front.script({ on: 'DescribeServices', rewrite: (body) => body.replace(/"runningCount": ?\d+/, '"runningCount": 1') });
    expect(await tasks()).toMatchObject({ state: 'bad', value: 1, threshold: 2, detail: '1 of 2 tasks run' });
    front.script({ on: 'DescribeServices', rewrite: (body) => body.replace('"ACTIVE"', '"INACTIVE"') });
    expect(await tasks()).toMatchObject({ state: 'unknown', value: null });
    front.script();
    expect(await look({ ecs: at({ cluster: 'prod', service: 'never-made' }) })).toMatchObject({ state: 'unknown', detail: expect.stringContaining('there is no service never-made') });
    expect(await look({ ecs: at({ cluster: 'elsewhere', service: 'api' }) })).toMatchObject({ state: 'unknown', detail: expect.stringContaining('ClusterNotFound') });
  });

  test('RDS: not available is wrong, planned work is not, a database that is not there is unknown', async () => {
    expect(await instance()).toEqual({ state: 'ok', value: null, detail: 'status available' });
    const status = (text: string) => ({ on: 'DescribeDBInstances', rewrite: (body: string) => body.replace('<DBInstanceStatus>available<', `<DBInstanceStatus>${text}<`) });
    for (const bad of ['rebooting', 'failed', 'storage-full', 'stopped', 'incompatible-network', 'deleting']) {
      front.script(status(bad));
      expect(await instance()).toEqual({ state: 'bad', value: null, detail: `status ${bad}` });
    }
    for (const work of ['backing-up', 'modifying', 'maintenance', 'upgrading']) {
      front.script(status(work));
      expect(await instance()).toEqual({ state: 'ok', value: null, detail: `status ${work}`, working: true });
    }
    front.script();
    expect(await instance('no-such-db')).toMatchObject({ state: 'unknown', detail: expect.stringContaining('no-such-db') });
    expect(await look({ rds: at({ cluster: 'ledger' }) })).toMatchObject({ state: 'ok', detail: 'status available' });
    front.script({ on: 'DescribeDBClusters', rewrite: (body) => body.replace('<Status>available<', '<Status>failing-over<') });
    expect(await look({ rds: at({ cluster: 'ledger' }) })).toMatchObject({ state: 'bad', detail: 'status failing-over' });
  });

  test('Route 53: by what its checkers say', async () => {
    expect(await edge()).toMatchObject({ state: 'ok', value: 1, threshold: 1 });
    front.script({ on: /healthcheck\/.*\/status/, rewrite: (body) => body.replace(/Success: [^<]*/, 'Failure: Connection timed out') });
    expect(await edge()).toMatchObject({ state: 'bad', value: 0, detail: expect.stringContaining('0 of 1 checkers see it healthy: Failure: Connection timed out') });
    front.script({ on: /healthcheck\/.*\/status/, rewrite: (body) => body.replace(/<HealthCheckObservations>.*<\/HealthCheckObservations>/s, '<HealthCheckObservations/>') });
    expect(await edge()).toMatchObject({ state: 'unknown', detail: 'no checker has reported' });
    front.script();
    expect(await edge('11111111-1111-1111-1111-111111111111')).toMatchObject({ state: 'unknown' });
  });

  test('CloudWatch: the newest value; a sum only of whole periods; no data is unknown', async () => {
    expect(await queue()).toMatchObject({ state: 'ok', value: 1300, detail: 'Average of Depth is 1300' });
    expect(await queue({ statistic: 'Sum' })).toMatchObject({ state: 'ok', value: expect.any(Number) });
    const [asked] = front.calls.filter((call) => call.action === 'GetMetricData').slice(-1);
    const { EndTime } = JSON.parse(asked?.body ?? '{}') as { EndTime?: number };
    expect(EndTime).toBeGreaterThan(Date.now() / 1000 - 130);
    expect((EndTime ?? 1) % 60).toBe(0);
    expect(await queue({ dimensions: { Queue: 'another' } })).toMatchObject({ state: 'unknown', value: null, detail: 'no data' });
  });

  test('who is throttled or denied sees nothing: unknown, never healthy and never wrong', async () => {
    const all = /./;
    for (const [json, other] of [[jsonError('ThrottlingException', 'Rate exceeded'), queryError('Throttling', 'Rate exceeded')], [jsonError('AccessDeniedException', 'not allowed', 403), queryError('AccessDenied', 'not allowed', 403)], [jsonError('ServerException', 'broken', 500), queryError('InternalFailure', 'broken', 500)]] as const) {
      front.script({ on: /^(DescribeServices|GetMetricData)$/, answer: () => json }, { on: all, answer: () => other });
      for (const seen of await Promise.all([tasks(), instance(), look({ rds: at({ cluster: 'ledger' }) }), edge(), queue()])) expect(seen).toMatchObject({ state: 'unknown', value: null, detail: expect.stringMatching(/Rate exceeded|not allowed|broken/) });
    }
    front.script({ on: all, loseAnswer: true });
    expect((await Promise.all([tasks(), instance(), edge(), queue()])).map((seen) => seen.state)).toEqual(['unknown', 'unknown', 'unknown', 'unknown']);
    // Once throttled is tried again.
    front.script({ on: 'DescribeDBInstances', times: 1, answer: () => queryError('Throttling', 'Rate exceeded') });
    expect((await instance()).state).toBe('ok');
    const nobody = { ...at({ cluster: 'prod', service: 'api' }), endpoint: `http://127.0.0.1:${String(await freePort())}` };
    expect((await look({ ecs: nobody })).state).toBe('unknown');
  });
});

describe('I1 PostgreSQL', () => {
  let primary: PostgresServer;
  beforeAll(async () => { primary = await startPostgres(); });
  const connect = (url: string, lag = false): Promise<Seen> => look({ postgres: { connection: { env: 'DB_URL' }, lag } }, { DB_URL: url });

  test('lag: of standbys that are there, and never 0 where nobody tells', async () => {
    expect(await connect(primary.url(), true)).toMatchObject({ state: 'unknown', value: null, detail: expect.stringContaining('no standby streams') });
    await primary.sql('postgres', `alter system set wal_retrieve_retry_interval = '200ms'`);
    const standby = await primary.createStandby();
    await until(() => connect(primary.url(), true), (seen) => seen.state === 'ok');
    await until(() => connect(standby.url(), true), (seen) => seen.value === 0);
    const blind = await primary.addRole('blind', { password: 'blind' });
    expect(await connect(blind, true)).toMatchObject({ state: 'unknown', detail: expect.stringContaining('pg_monitor') });
    // A standby that has replayed no transaction yet does not know how old what it has is.
    await until(() => standby.sql<{ told: boolean }>('postgres', 'select pg_last_xact_replay_timestamp() is not null as told'), ([row]) => row?.told === true);
    await standby.sql('postgres', 'select pg_wal_replay_pause()');
    await primary.sql('postgres', 'create table t as select generate_series(1, 1000) as n');
    const behind = await until(() => connect(standby.url(), true), (seen) => (seen.value ?? 0) > 1);
    expect(behind.state).toBe('ok');
    await until(() => connect(primary.url(), true), (seen) => (seen.value ?? 0) > 1);
    await standby.sql('postgres', 'select pg_wal_replay_resume()');
    await until(() => connect(standby.url(), true), (seen) => seen.value === 0);
    // Its primary goes: all that was received is replayed, and it is not up to date for all that.
    await primary.kill();
    await until(() => connect(standby.url(), true), (seen) => (seen.value ?? 0) > 0);
    await primary.start();
    await until(() => connect(standby.url(), true), (seen) => seen.value === 0);
    await standby.kill();
    await until(() => connect(primary.url(), true), (seen) => seen.state === 'unknown');
  });

  test('connect: takes a login and answers; a login refused or a name that is none is unknown; a server that is down is wrong', async () => {
    expect(await connect(primary.url())).toMatchObject({ state: 'ok', value: expect.any(Number), detail: expect.stringContaining('answered in') });
    expect(await connect(primary.url('no_such_database'))).toMatchObject({ state: 'unknown', detail: expect.stringContaining('no_such_database') });
    expect(await connect(primary.url('postgres', 'no_such_role'))).toMatchObject({ state: 'unknown', value: null });
    expect(await connect('postgres://a@no-such-host.invalid/db')).toMatchObject({ state: 'unknown', detail: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) });
    await primary.kill();
    expect(await connect(primary.url())).toMatchObject({ state: 'bad', detail: expect.stringContaining('ECONNREFUSED') });
    expect((await connect(primary.url(), true)).state).toBe('bad');
    await primary.start();
    expect((await connect(primary.url())).state).toBe('ok');
  });
});

describe('I1 Prometheus and this host', () => {
  let sink: HttpSink;
  beforeAll(async () => { sink = await startSink(); });
  afterAll(() => sink.stop());
  const vector = (...values: string[]): string => JSON.stringify({ status: 'success', data: { resultType: 'vector', result: values.map((value, i) => ({ metric: { i: String(i) }, value: [1_700_000_000, value] })) } });
  const ask = (body: string, more: object = { above: 0.1 }, status = 200): Promise<Seen> => {
    sink.answers.push({ status, body });
    return look({ prometheus: { url: `${sink.url}/`, query: 'errors / requests', token: { env: 'PROM' } }, ...more }, { PROM: 'a-token-of-prometheus' });
  };

  test('the worst series; nothing, nonsense and refusals are unknown', async () => {
    expect(await ask(vector('0.02', '0.3', 'NaN'))).toMatchObject({ state: 'ok', value: 0.3 });
    const [asked] = sink.received.slice(-1);
    expect(asked).toMatchObject({ path: '/api/v1/query', body: 'query=errors+%2F+requests' });
    expect(asked?.headers.authorization).toBe('Bearer a-token-of-prometheus');
    expect(await ask(vector('5', '3'), { below: 4 })).toMatchObject({ state: 'ok', value: 3 });
    expect(await ask(vector('0.02', '+Inf'))).toMatchObject({ state: 'ok', value: Infinity });
    expect(await ask(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, '7'] } }))).toMatchObject({ state: 'ok', value: 7 });
    expect(await ask(vector())).toMatchObject({ state: 'unknown', detail: 'the query has no result' });
    expect(await ask(vector('NaN'))).toMatchObject({ state: 'unknown' });
    expect(await ask('<html>')).toMatchObject({ state: 'unknown' });
    expect(await ask('{"status":"error","error":"parse error"}', { above: 1 }, 400)).toMatchObject({ state: 'unknown', detail: expect.stringContaining('parse error') });
    expect(await ask('no', { above: 1 }, 401)).toMatchObject({ state: 'unknown', detail: expect.stringContaining('401') });
    expect(await look({ prometheus: { url: `http://127.0.0.1:${String(await freePort())}`, query: 'x' }, above: 1 })).toMatchObject({ state: 'unknown' });
  });

  test('cpu, memory, disk', async () => {
    const percent = expect.toSatisfy((value: number) => value >= 0 && value <= 100);
    expect(await look({ host: 'memory' })).toMatchObject({ state: 'ok', value: percent });
    expect(await look({ host: 'disk', path: '/' })).toMatchObject({ state: 'ok', value: percent });
    expect(await look({ host: 'disk', path: '/no/such/place' })).toMatchObject({ state: 'unknown', detail: expect.stringContaining('ENOENT') });
    expect(await look({ host: 'disk', path: '/proc' })).toMatchObject({ state: 'unknown' });
    expect(await look({ host: 'cpu', name: 'cpu-of-this-test' })).toMatchObject({ state: 'unknown', detail: 'first look' });
    const until_ = performance.now() + 600;
    while (performance.now() < until_);
    const busy = await look({ host: 'cpu', name: 'cpu-of-this-test' });
    expect(busy).toMatchObject({ state: 'ok', value: percent });
    expect(busy.value).toBeGreaterThan(5);
  });
});
