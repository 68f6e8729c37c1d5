/** B8 B11: S3 Object Lock is honoured and told: what is locked is not called gone, and is tried again when its lock has ended. */
import { ListObjectVersionsCommand, PutObjectLegalHoldCommand, S3Client } from '@aws-sdk/client-s3';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { showBackup } from '../../client/show-backup.ts';
import { statusReport } from '../../client/status/report.ts';
import type { PruneReport } from '../../domain/operations.ts';
import { keysOf, keysPrefix } from '../../providers/repository/layout.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { createActivities } from '../../activities/index.ts';
import { configHere, depsOf, backupHere, restoreHere } from '../support/in-process.ts';
import { s3Missing, startS3, type S3Server } from '../support/index.ts';
import { runCli } from '../support/run-cli.ts';
import { tempDir, type TempDir } from '../support/temp.ts';
import { prune } from '../../workflows/prune.workflow.ts';
import { pruneOperation } from '../../workflows/prune-operation.workflow.ts';
import { runHere } from '../support/workflows-here.ts';

vi.mock('@temporalio/workflow', () => import('../support/workflows-here.ts'));

const missing = s3Missing();
let s3: S3Server;
let plain: S3Server;
let client: S3Client;
let work: TempDir;
let deps: ActivityDeps;
const day = 86_400_000;

beforeAll(async () => {
  if (missing !== undefined) return;
  s3 = await startS3({ objectLock: true });
  client = new S3Client(s3.clientConfig);
  process.env['S3_KEY'] = s3.accessKeyId;
  process.env['S3_SECRET'] = s3.secretAccessKey;
  plain = await startS3();
});
afterAll(async () => {
  if (missing !== undefined) return;
  client.destroy();
  await s3.stop();
  await plain.stop();
});
let prefix = 0;
beforeEach(() => {
  work = tempDir('lock');
  prefix++;
});
afterEach(async () => {
  vi.useRealTimers();
  await deps.stores.close();
  await work.stop();
});

async function setUp(grace: string, days = 3, server = s3): Promise<void> {
  const source = join(work.path, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'one'), 'one\n');
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [source] } }, {
    repositories: { cloud: { type: 's3', bucket: server.bucket, prefix: `p${String(prefix)}/`, endpoint: server.endpoint, region: server.region, forcePathStyle: true, accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' }, objectLock: { mode: 'GOVERNANCE', days } } },
    retention: [{ last: 1 }], deletion: { grace },
  }));
}
const backup = async (kind: 'full' | 'incremental' = 'full') => {
  const { prepared } = await backupHere(deps, { target: 'media', kind });
  return { id: prepared.backup, target: 'media', systemId: prepared.systemId, name: prepared.name };
};
const pruned = (input: { now?: boolean } = {}): Promise<PruneReport> => runHere(prune, { target: 'media', ...input }, { activities: createActivities(deps), children: { pruneOperation } });
/** Versions the bucket holds of a backup, hidden ones too. */
async function versions(ref: { id: string; target: string; systemId: string; name: string }): Promise<number> {
  const base = `p${String(prefix)}/`;
  const found = await Promise.all([keysOf(ref).prefix, keysPrefix(ref.id)].map(async (at) => (await client.send(new ListObjectVersionsCommand({ Bucket: s3.bucket, Prefix: base + at }))).Versions?.length ?? 0));
  return found.reduce((sum, count) => sum + count, 0);
}

test.skipIf(missing !== undefined)('what is locked is kept, said, and goes with its versions when the lock has ended', async () => {
  await setUp('0s');
  const old = await backup();
  await backup();
  const first = await pruned();
  expect(first.status).toBe('pruned');
  const [entry] = first.repositories[0]?.backups.filter(({ id }) => id === old.id) ?? [];
  expect(entry).toMatchObject({ action: 'remove', outcome: 'kept', detail: expect.stringMatching(/the store locks it until .* \(GOVERNANCE\); a later prune tries again/) as string });
  expect(Date.parse(entry?.until ?? '') - Date.now()).toBeGreaterThan(2 * day);
  expect(first.repositories[0]).toMatchObject({ removed: 0, kept: 2, freedBytes: 0 });
  // It is a backup like any other.
  await restoreHere(deps, { target: 'media', backup: old.id, mode: 'beside', to: join(work.path, 'back') });

  // The bucket's clock and ours go on.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4 * day });
  const before = await versions(old);
  expect(before).toBeGreaterThan(4);
  const second = await pruned();
  vi.useRealTimers();
  // This emulator locks by its own clock: it refuses to remove versions that we think are free, and that is told too.
  const removed = second.repositories[0]?.backups.find(({ id }) => id === old.id);
  expect(removed).toMatchObject({ outcome: 'removed', freed: false, detail: expect.stringContaining('refuses to remove its versions') as string });
  expect(second.repositories[0]).toMatchObject({ removed: 1, freedBytes: 0 });
});

test.skipIf(missing !== undefined)('with a time of grace: removed at once, its objects only after the lock; what it builds on stays as long', async () => {
  await setUp('1h');
  const full = await backup();
  const incremental = await backup('incremental');
  await backup();
  expect(await pruned()).toMatchObject({ status: 'pruned', repositories: [{ removed: 2, freedBytes: 0 }] });
  const again = await pruned({ now: true });
  expect(again.repositories[0]).toMatchObject({ purged: 0, freedBytes: 0 });
  expect(again.repositories[0]?.pendingBytes).toBeGreaterThan(0);
  expect(again.warnings.join()).toMatch(new RegExp(`${incremental.name} was removed by retention and is still in cloud: the store locks it until`));
  expect(await versions(full)).toBeGreaterThan(4);
});

test.skipIf(missing !== undefined)('a bucket that locks, and whose locks have ended: every version goes', async () => {
  await setUp('0s', 3);
  const { stores } = deps;
  const old = await backup();
  await backup();
  const store = await stores.open('cloud');
  // As if the lock had ended: GOVERNANCE may be lifted by who has the right.
  const { PutObjectRetentionCommand } = await import('@aws-sdk/client-s3');
  for (const at of [keysOf(old).prefix, keysPrefix(old.id)])
    for (const { Key, VersionId } of (await client.send(new ListObjectVersionsCommand({ Bucket: s3.bucket, Prefix: `p${String(prefix)}/${at}` }))).Versions ?? [])
      await client.send(new PutObjectRetentionCommand({ Bucket: s3.bucket, Key, VersionId, BypassGovernanceRetention: true, Retention: { Mode: 'GOVERNANCE', RetainUntilDate: new Date(Date.now() - day) } }));
  expect((await store.head(keysOf(old).manifest))?.lock).toBeUndefined();
  const report = await pruned();
  expect(report.repositories[0]).toMatchObject({ removed: 1 });
  expect(report.repositories[0]?.freedBytes).toBeGreaterThan(0);
  expect(await versions(old)).toBe(0);
});

test.skipIf(missing !== undefined)('backups show, status and check tell of locks; a legal hold has no end', async () => {
  await setUp('0s');
  const one = await backup();
  expect(await showBackup(deps.loaded, one.id)).toMatchObject({ repositories: [{ name: 'cloud', lock: { mode: 'GOVERNANCE' } }] });
  await client.send(new PutObjectLegalHoldCommand({ Bucket: s3.bucket, Key: `p${String(prefix)}/${keysOf(one).manifest}`, LegalHold: { Status: 'ON' } }));
  expect(await showBackup(deps.loaded, one.id)).toMatchObject({ repositories: [{ lock: { mode: 'LEGAL_HOLD', until: null } }] });
  expect((await statusReport(deps.loaded)).repositories).toMatchObject([{ name: 'cloud', status: 'ok', objectLock: { mode: 'GOVERNANCE', days: 3 } }]);
  const env = { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey };
  expect((await runCli(['check'], { cwd: work.path, env })).stdout).toContain('objects are locked for 3 days (GOVERNANCE)');
});

test.skipIf(missing !== undefined)('a bucket without Object Lock is found out by check', async () => {
  await setUp('0s', 3, plain);
  const { stdout, stderr } = await runCli(['check'], { cwd: work.path, env: { S3_KEY: plain.accessKeyId, S3_SECRET: plain.secretAccessKey } });
  expect(stdout + stderr).toContain('objectLock is configured, and the bucket has no Object Lock');
});
