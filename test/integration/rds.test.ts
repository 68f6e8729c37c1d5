/** RDS snapshots as backups (B7), against moto with a scripted front; not verified against the real service. */
import { RDSClient, CreateDBInstanceCommand, DescribeDBSnapshotsCommand } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { conditionOf, snapshotIdentifier } from '../../domain/rds.ts';
import { Rds } from '../../providers/rds/rds-database.ts';
import { removeSnapshots, takeSnapshot } from '../../providers/rds/take-snapshot.ts';
import { type AwsFront, queryError, startAwsFront } from '../support/aws-front.ts';
import { s3Missing, type S3Server, startS3, stopAll } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const region = 'ap-northeast-2';
let moto: S3Server;
let front: AwsFront;
let admin: RDSClient;

const keys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };

describe.skipIf(s3Missing() !== undefined)('B7 RDS', () => {
  beforeAll(async () => {
    Object.assign(process.env, keys);
    moto = await startS3();
    front = await startAwsFront(moto.port);
    admin = new RDSClient({ region, endpoint: moto.endpoint });
    await admin.send(new CreateDBInstanceCommand({ DBInstanceIdentifier: 'ledger-prod', DBInstanceClass: 'db.t4g.micro', Engine: 'postgres', AllocatedStorage: 20, MasterUsername: 'a', MasterUserPassword: 'password1' }));
  });
  afterAll(async () => {
    admin.destroy();
    await stopAll();
  });

  const take = (snapshot: string, more: object = {}) =>
    takeSnapshot({ place: { region, endpoint: front.endpoint }, kind: 'instance', identifier: 'ledger-prod', snapshot, tags: { why: 'test' }, copies: [], deadlineMs: 60_000, pollMs: 50, ...more });

  test('states that its own work causes are no incident; a stopped or failed one is', () => {
    for (const status of ['backing-up', 'modifying', 'maintenance', 'storage-optimization', 'rebooting']) expect(conditionOf(status), status).toBe('working');
    expect(['available', 'stopped', 'storage-full', 'incompatible-restore', 'failed'].map(conditionOf)).toEqual(['available', 'stopped', 'failed', 'failed', 'failed']);
  });

  test('it waits while the instance is backing up and the snapshot is being made, and says so', async () => {
    front.script(
      { on: 'DescribeDBInstances', times: 3, rewrite: (body) => body.replace('<DBInstanceStatus>available<', '<DBInstanceStatus>backing-up<') },
      { on: 'DescribeDBSnapshots', when: ({ body }) => body.includes('waiting') && front.count('CreateDBSnapshot') > 0, times: 2, rewrite: (body) => body.replace('<Status>available<', '<Status>creating<') },
    );
    const states: string[] = [];
    const { snapshots } = await take('waiting', { onState: (state: string) => states.push(state) });
    expect(snapshots).toMatchObject([{ region, identifier: 'waiting' }]);
    expect(states.some((state) => state.includes('backing-up'))).toBe(true);
    expect(states.some((state) => state.includes('creating'))).toBe(true);
  });

  test('throttling is waited out, a lost answer makes no second snapshot, and one that exists is taken', async () => {
    const before = front.count('CreateDBSnapshot');
    front.script({ on: 'CreateDBSnapshot', times: 2, answer: () => queryError('Throttling', 'Rate exceeded') }, { on: 'CreateDBSnapshot', times: 1, loseAnswer: true });
    await take('once');
    expect(front.count('CreateDBSnapshot') - before).toBe(4);
    front.script();
    const after = front.count('CreateDBSnapshot');
    await take('once');
    expect(front.count('CreateDBSnapshot')).toBe(after);
    const { DBSnapshots } = await admin.send(new DescribeDBSnapshotsCommand({ DBInstanceIdentifier: 'ledger-prod', SnapshotType: 'manual' }));
    expect(DBSnapshots?.filter((one) => one.DBSnapshotIdentifier === 'once')).toHaveLength(1);
  });

  test('a snapshot that fails, one that never ends, a stopped instance and refused credentials are told apart', async () => {
    front.script({ on: 'DescribeDBSnapshots', when: ({ body }) => body.includes('bad'), rewrite: (body) => body.replace('<Status>available<', '<Status>failed<') });
    await take('bad').catch(() => undefined);
    await expect(take('bad')).rejects.toMatchObject({ code: 'awsFailed' });
    front.script({ on: 'DescribeDBSnapshots', rewrite: (body) => body.replace('<Status>available<', '<Status>creating<') });
    await expect(take('slow', { deadlineMs: 300 })).rejects.toMatchObject({ code: 'awsTimeout' });
    front.script({ on: 'DescribeDBInstances', rewrite: (body) => body.replace('<DBInstanceStatus>available<', '<DBInstanceStatus>stopped<') });
    await expect(take('stopped')).rejects.toMatchObject({ code: 'awsFailed', message: expect.stringContaining('stopped') as string });
    front.script({ on: 'DescribeDBInstances', answer: () => queryError('AccessDenied', 'User is not authorized', 403) });
    await expect(take('denied')).rejects.toMatchObject({ code: 'awsDenied' });
    front.script();
    await expect(take('x', { identifier: 'nobody' })).rejects.toMatchObject({ code: 'configInvalid' });
  });

  test('copies lie in the other region; removal takes them all, and gone is gone', async () => {
    const west = { region: 'us-west-2', endpoint: front.endpoint };
    const { snapshots } = await take('copied', { copies: [west] });
    expect(snapshots.map((one) => one.region)).toEqual([region, 'us-west-2']);
    expect(snapshots[1]?.arn).toContain('us-west-2');
    const there = await Rds.open(west);
    expect((await there.snapshot('instance', 'copied'))?.status).toBe('available');
    for (let i = 0; i < 2; i++) await removeSnapshots('instance', 'copied', [{ region, endpoint: front.endpoint }, west]);
    expect(await there.snapshot('instance', 'copied')).toBeUndefined();
    there.close();
  });

  test('through workflow and catalogue: a backup is available, restores into a new instance only, and retention removes its snapshot', async () => {
    front.script();
    const stack: Stack = await startStack({
      targets: { ledger: { type: 'rds', instance: 'ledger-prod', region, endpoint: front.endpoint, poll: '100ms', deadline: '2m' } },
      env: keys,
      sections: { deletion: { grace: '0s' }, retention: [{ targets: ['ledger'], last: 1 }] },
    });
    try {
      await stack.startWorker();
      const first = await stack.run('backup', { target: 'ledger' });
      expect(first).toMatchObject({ status: 'available', engine: 'rds', complete: true });
      const rds = await Rds.open({ region, endpoint: front.endpoint });
      expect((await rds.snapshot('instance', snapshotIdentifier('ledger', first.id)))?.status).toBe('available');
      expect(await stack.run('restore', { target: 'ledger', mode: 'beside', to: 'ledger-copy' })).toMatchObject({ status: 'restored', restoredRecords: null });
      expect((await rds.database('instance', 'ledger-copy'))?.status).toBe('available');
      await expect(stack.run('restore', { target: 'ledger', mode: 'beside', to: 'ledger-prod' })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
      await expect(stack.run('restore', { target: 'ledger', mode: 'in-place' })).rejects.toMatchObject({ code: 'unsupported' });
      expect(await stack.run('restore', { target: 'ledger', mode: 'beside', to: 'ledger-then', time: 'latest' })).toMatchObject({ status: 'restored' });
      await expect(stack.run('restore', { target: 'ledger', mode: 'beside', to: 'ledger-later', time: '2100-01-01T00:00:00Z' })).rejects.toMatchObject({ code: 'recoveryTargetUnreachable' });
      // A worker that dies while it waits finds its snapshot again.
      const before = front.count('CreateDBSnapshot');
      front.script({ on: 'DescribeDBSnapshots', rewrite: (body) => body.replace('<Status>available<', '<Status>creating<') });
      const run = await stack.start('backup', { target: 'ledger' });
      while (front.count('CreateDBSnapshot') === before) await new Promise((resolve) => setTimeout(resolve, 50));
      await stack.stopWorker();
      front.script();
      await stack.startWorker();
      const second = await stack.resultOf(run);
      expect(second.status).toBe('available');
      expect(front.count('CreateDBSnapshot')).toBe(before + 1);
      // Retention kept one: the first one's entry went, and its snapshot with it.
      expect(second.pruned).toMatchObject({ removed: 1 });
      expect(await rds.snapshot('instance', snapshotIdentifier('ledger', first.id))).toBeUndefined();
      expect((await rds.snapshot('instance', snapshotIdentifier('ledger', second.id)))?.status).toBe('available');
      // A run that fails leaves no snapshot behind.
      const known = front.count('CreateDBSnapshot');
      front.script({ on: 'DescribeDBSnapshots', when: () => front.count('CreateDBSnapshot') > known, times: 2, rewrite: (body) => body.replace('<Status>available<', '<Status>failed<') });
      await expect(stack.run('backup', { target: 'ledger' })).rejects.toMatchObject({ code: 'awsFailed' });
      front.script();
      const { DBSnapshots } = await admin.send(new DescribeDBSnapshotsCommand({ DBInstanceIdentifier: 'ledger-prod', SnapshotType: 'manual' }));
      expect(DBSnapshots?.filter((one) => one.DBSnapshotIdentifier?.startsWith('resurgo-ledger-')).map((one) => one.DBSnapshotIdentifier)).toEqual([snapshotIdentifier('ledger', second.id)]);
      await rds.deleteSnapshot('instance', snapshotIdentifier('ledger', second.id));
      rds.close();
    } finally {
      await stack.stop();
    }
  });
});
