/** ECS and RDS actions (A1, A2), against moto with a scripted front; not verified against the real services. */
import { CreateClusterCommand, CreateServiceCommand, DescribeServicesCommand, ECSClient, RegisterTaskDefinitionCommand, UpdateServiceCommand } from '@aws-sdk/client-ecs';
import { CreateDBClusterCommand, CreateDBInstanceCommand, CreateDBInstanceReadReplicaCommand, DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { ChangeResourceRecordSetsCommand, CreateHostedZoneCommand, ListResourceRecordSetsCommand, Route53Client } from '@aws-sdk/client-route-53';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ecsRestart, ecsRollback, ecsScale } from '../../activities/actions/aws/ecs.ts';
import { dnsSwitch } from '../../activities/actions/dns/switch.ts';
import { rdsFailover, rdsPromoteReplica } from '../../activities/actions/aws/rds.ts';
import { contextOf } from '../support/action-context.ts';
import { type AwsFront, type AwsRule, jsonError, queryError, startAwsFront } from '../support/aws-front.ts';
import { s3Missing, type S3Server, startS3, stopAll } from '../support/index.ts';

const region = 'ap-northeast-2';
let moto: S3Server;
let front: AwsFront;
let ecs: ECSClient;
let rds: RDSClient;
const api = (more: object = {}): object => ({ cluster: 'prod', service: 'api', region, endpoint: front.endpoint, poll: '50ms', within: '60s', ...more });
const ledger = (more: object): object => ({ region, endpoint: front.endpoint, poll: '50ms', within: '60s', ...more });
const live = async () => (await ecs.send(new DescribeServicesCommand({ cluster: 'prod', services: ['api'] }))).services?.[0];
/** The emulator never ends a deployment: the front says that it is done, from the n-th question on. */
const deploys = (after = 0): AwsRule => {
  let asked = 0;
  return { on: 'DescribeServices', rewrite: (body) => (++asked > after ? body.replaceAll('"rolloutState": "IN_PROGRESS"', '"rolloutState": "COMPLETED"').replaceAll('"rolloutState":"IN_PROGRESS"', '"rolloutState":"COMPLETED"') : body.replace(/"runningCount": ?\d+/, '"runningCount": 0')) };
};

const failed = (body: string): string => {
  const answer = JSON.parse(body) as { services: { deployments: object[] }[] };
  for (const service of answer.services) service.deployments = service.deployments.map((one) => ({ ...one, rolloutState: 'FAILED', rolloutStateReason: 'ECS deployment circuit breaker: tasks failed to start.' }));
  return JSON.stringify(answer);
};

describe.skipIf(s3Missing() !== undefined)('A1 A2 actions on AWS', () => {
  beforeAll(async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' });
    moto = await startS3();
    front = await startAwsFront(moto.port);
    ecs = new ECSClient({ region, endpoint: moto.endpoint });
    rds = new RDSClient({ region, endpoint: moto.endpoint });
    await ecs.send(new CreateClusterCommand({ clusterName: 'prod' }));
    for (const image of ['api:1', 'api:2', 'api:3']) await ecs.send(new RegisterTaskDefinitionCommand({ family: 'api', containerDefinitions: [{ name: 'api', image, memory: 128 }] }));
    await ecs.send(new CreateServiceCommand({ cluster: 'prod', serviceName: 'api', taskDefinition: 'api:3', desiredCount: 2 }));
    // The emulator's tasks run only after an update.
    await ecs.send(new UpdateServiceCommand({ cluster: 'prod', service: 'api', desiredCount: 2 }));
    const common = { Engine: 'aurora-postgresql', MasterUsername: 'admin1', MasterUserPassword: 'password1' };
    await rds.send(new CreateDBClusterCommand({ DBClusterIdentifier: 'ledger', ...common }));
    for (const id of ['ledger-a', 'ledger-b']) await rds.send(new CreateDBInstanceCommand({ DBInstanceIdentifier: id, DBClusterIdentifier: 'ledger', DBInstanceClass: 'db.r6g.large', Engine: 'aurora-postgresql' }));
    await rds.send(new CreateDBInstanceCommand({ DBInstanceIdentifier: 'single', DBInstanceClass: 'db.t4g.micro', Engine: 'postgres', AllocatedStorage: 20, MasterUsername: 'admin1', MasterUserPassword: 'password1' }));
    await rds.send(new CreateDBInstanceReadReplicaCommand({ DBInstanceIdentifier: 'replica', SourceDBInstanceIdentifier: 'single' }));
  });
  beforeEach(() => { front.script(); });
  afterAll(async () => {
    ecs.destroy();
    rds.destroy();
    await stopAll();
  });

  test('ecs.scale sets, waits until the tasks run, and brings the old number back only if it is still its own', async () => {
    const context = contextOf(ecsScale, api({ desiredCount: 4 }));
    expect(await ecsScale.check?.(context)).toEqual([expect.stringContaining('prod/api: 2 of 2 tasks running')]);
    const captured = (await ecsScale.capture?.(context)) as never;
    expect(await ecsScale.apply(context, captured)).toMatchObject({ output: { desired: 4, was: 2 } });
    front.script(deploys(3));
    expect(await ecsScale.verify?.(context, captured, undefined)).toContain('4 of 4 tasks running');
    expect(front.count('DescribeServices')).toBeGreaterThan(3);
    expect(await ecsScale.compensate?.(context, captured, undefined)).toContain('2 tasks again');
    expect((await live())?.desiredCount).toBe(2);
    expect(await ecsScale.compensate?.(context, captured, undefined)).toContain('as it had');
    await ecs.send(new UpdateServiceCommand({ cluster: 'prod', service: 'api', desiredCount: 7 }));
    await expect(ecsScale.compensate?.(context, captured, undefined)).rejects.toMatchObject({ code: 'undoConflict' });
    await ecs.send(new UpdateServiceCommand({ cluster: 'prod', service: 'api', desiredCount: 2 }));
  });

  test('ecs.rollback goes back one revision, once, and compensates; a failed rollout is an error at once', async () => {
    const context = contextOf(ecsRollback, api());
    const captured = (await ecsRollback.capture?.(context)) as never;
    await ecsRollback.apply(context, captured);
    await ecsRollback.apply(context, captured);
    expect((await live())?.taskDefinition).toMatch(/api:2$/);
    front.script({ on: 'DescribeServices', rewrite: failed });
    await expect(ecsRollback.verify?.(context, captured, undefined)).rejects.toMatchObject({ code: 'awsFailed', message: expect.stringContaining('circuit breaker') as string });
    front.script(deploys());
    expect(await ecsRollback.verify?.(context, captured, undefined)).toContain('runs api:2');
    expect(await ecsRollback.compensate?.(context, captured, undefined)).toContain('runs api:3 again');
  });

  test('ecs.restart forces one deployment however often it is attempted; throttled calls are tried again, denied ones are named', async () => {
    const context = contextOf(ecsRestart, api());
    const captured = (await ecsRestart.capture?.(context)) as { deployment: string };
    front.script({ on: 'UpdateService', times: 2, answer: () => jsonError('ThrottlingException', 'Rate exceeded') }, deploys());
    await ecsRestart.apply(context, captured);
    expect(await ecsRestart.verify?.(context, captured as never, undefined)).toContain('steady');
    const updates = front.count('UpdateService');
    // As if the first attempt had died after AWS took it.
    await ecsRestart.apply(context, { ...captured, deployment: 'an earlier one' });
    expect(front.count('UpdateService')).toBe(updates);
    front.script({ on: 'DescribeServices', answer: () => jsonError('AccessDeniedException', 'User is not authorized to perform: ecs:DescribeServices') });
    await expect(ecsRestart.check?.(context)).rejects.toMatchObject({ code: 'awsDenied' });
    front.script();
    await expect(ecsRestart.check?.(contextOf(ecsRestart, api({ service: 'nope' })))).rejects.toMatchObject({ code: 'awsFailed', message: expect.stringContaining('nope') as string });
  });

  test('rds.failover moves the writer of a cluster; a lost answer is probed; one member is refused', async () => {
    const context = contextOf(rdsFailover, ledger({ cluster: 'ledger' }));
    expect(await rdsFailover.check?.(context)).toEqual([expect.stringContaining('writer ledger-')]);
    const captured = (await rdsFailover.capture?.(context)) as { writer: string };
    expect(await rdsFailover.probe?.(context, captured as never)).toBe('notApplied');
    await rdsFailover.apply(context, captured);
    expect(await rdsFailover.probe?.(context, captured as never)).toBe('applied');
    expect(await rdsFailover.verify?.(context, captured as never, undefined)).toContain('available');
    const writer = (await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier: 'ledger' }))).DBClusters?.[0]?.DBClusterMembers?.find((member) => member.IsClusterWriter);
    expect(writer?.DBInstanceIdentifier).not.toBe(captured.writer);
    await expect(rdsFailover.check?.(contextOf(rdsFailover, ledger({ instance: 'single' })))).rejects.toMatchObject({ message: expect.stringContaining('not Multi-AZ') as string });
    await expect(rdsFailover.check?.(contextOf(rdsFailover, ledger({ instance: 'nope' })))).rejects.toMatchObject({ code: 'awsFailed' });
    expect(() => rdsFailover.parse(ledger({}))).toThrow(/either instance or cluster/);
    expect(rdsFailover.effect).toBe('irreversible');
  });

  test('A3 dns.switch on Route 53: waits for INSYNC, writes aliases, brings the record back only where it is still its own', async () => {
    const route53 = new Route53Client({ region: 'us-east-1', endpoint: moto.endpoint });
    const zone = ((await route53.send(new CreateHostedZoneCommand({ Name: 'example.test', CallerReference: 'x' }))).HostedZone?.Id ?? '').replace('/hostedzone/', '');
    const put = (Value: string) => route53.send(new ChangeResourceRecordSetsCommand({ HostedZoneId: zone, ChangeBatch: { Changes: [{ Action: 'UPSERT', ResourceRecordSet: { Name: 'api.example.test', Type: 'A', TTL: 60, ResourceRecords: [{ Value }] } }] } }));
    const now = async () => (await route53.send(new ListResourceRecordSetsCommand({ HostedZoneId: zone, StartRecordName: 'api.example.test', StartRecordType: 'A', MaxItems: 1 }))).ResourceRecordSets?.[0];
    await put('192.0.2.1');
    const action = dnsSwitch({} as never);
    const record = (more: object) => contextOf(action, { provider: 'route53', zone, name: 'api.example.test', type: 'A', endpoint: front.endpoint, poll: '50ms', within: '60s', ...more });
    const context = record({ values: ['192.0.2.2'] });
    expect(await action.check?.(context)).toEqual([expect.stringContaining('192.0.2.1')]);
    const captured = (await action.capture?.(context)) as never;
    front.script({ on: /GET .*change\//, times: 3, rewrite: (body) => body.replace('INSYNC', 'PENDING') });
    await action.apply(context, captured);
    expect(front.calls.filter(({ action: call }) => /GET .*change/.test(call)).length).toBeGreaterThan(3);
    expect(await action.verify?.(context, captured, undefined)).toContain('192.0.2.2');
    expect(await action.probe?.(context, captured)).toBe('applied');
    expect(await action.compensate?.(context, captured, undefined)).toContain('192.0.2.1');
    expect(await action.compensate?.(context, captured, undefined)).toContain('as it was');
    await put('203.0.113.9');
    await expect(action.compensate?.(context, captured, undefined)).rejects.toMatchObject({ code: 'dnsConflict' });
    await expect(action.apply(context, captured)).rejects.toMatchObject({ code: 'dnsConflict' });

    const alias = record({ alias: { to: 'lb.example.test', zone: 'Z456' } });
    const before = (await action.capture?.(alias)) as never;
    await action.apply(alias, before);
    expect(await now()).toMatchObject({ AliasTarget: { HostedZoneId: 'Z456', EvaluateTargetHealth: true } });
    expect(await action.compensate?.(alias, before, undefined)).toContain('203.0.113.9');
    front.script({ on: /POST .*rrset/, times: 2, answer: () => ({ status: 400, body: '<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>' }) });
    const again = record({ values: ['192.0.2.5'] });
    await action.apply(again, (await action.capture?.(again)));
    expect((await now())?.ResourceRecords).toEqual([{ Value: '192.0.2.5' }]);
    await expect(action.check?.(record({ zone: 'ZNOPE', values: ['192.0.2.5'] }))).rejects.toMatchObject({ code: expect.stringMatching(/aws/) as string });
    expect(() => action.parse({ provider: 'route53', name: 'a.b', values: ['1.2.3.4'] })).toThrow(/zone/);
    expect(() => action.parse({ provider: 'rfc2136', name: 'a.b', alias: { to: 'x', zone: 'y' } })).toThrow(/route53 only/);
    route53.destroy();
  });

  test('rds.promote-replica is a point of no return, waits through rebooting, and refuses what is no replica', async () => {
    const context = contextOf(rdsPromoteReplica, ledger({ instance: 'replica' }));
    expect(rdsPromoteReplica.pointOfNoReturn).toBe(true);
    expect(await rdsPromoteReplica.check?.(context)).toEqual([expect.stringContaining('a replica of single')]);
    const captured = (await rdsPromoteReplica.capture?.(context)) as never;
    expect(await rdsPromoteReplica.probe?.(context, captured)).toBe('notApplied');
    await rdsPromoteReplica.apply(context, captured);
    // The emulator's promotion changes nothing: the front shows what AWS would.
    const promoted = (body: string): string => body.replaceAll(/<ReadReplicaSourceDBInstanceIdentifier>[^<]*<\/ReadReplicaSourceDBInstanceIdentifier>/g, '');
    front.script({ on: 'DescribeDBInstances', times: 3, rewrite: (body) => body.replace('<DBInstanceStatus>available<', '<DBInstanceStatus>rebooting<') }, { on: 'DescribeDBInstances', rewrite: promoted });
    expect(await rdsPromoteReplica.verify?.(context, captured, undefined)).toContain('a database of its own');
    expect(front.count('DescribeDBInstances')).toBeGreaterThan(3);
    expect(await rdsPromoteReplica.probe?.(context, captured)).toBe('applied');
    await expect(rdsPromoteReplica.check?.(context)).rejects.toMatchObject({ message: expect.stringContaining('no read replica') as string });
    front.script({ on: 'DescribeDBInstances', answer: () => queryError('AccessDenied', 'no', 403) });
    await expect(rdsPromoteReplica.check?.(context)).rejects.toMatchObject({ code: 'awsDenied' });
  });
});
