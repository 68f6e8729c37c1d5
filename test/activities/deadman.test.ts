/** B13 O6: dead-man pings, against a real HTTP sink. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { deadmanActivities } from '../../activities/deadman.activities.ts';
import { readPings } from '../../activities/deadman.ts';
import type { ActivityDeps, Readiness } from '../../activities/deps.ts';
import { backupActivities } from '../../activities/backup.activities.ts';
import { statusReport } from '../../client/status/report.ts';
import { startSink, type HttpSink } from '../support/http-sink.ts';
import { backupHere, configHere, depsOf } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
let sink: HttpSink;
beforeEach(async () => {
  work = tempDir('deadman');
  sink = await startSink();
});
afterEach(async () => {
  await sink.stop();
  await work.stop();
});

async function depsWith(deadman: readonly unknown[]): Promise<ActivityDeps> {
  const source = join(work.path, 'source');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, 'one'), 'one');
  return depsOf(await configHere(work.path, { media: { type: 'files', paths: [source] }, other: { type: 'files', paths: [source] } }, deadman.length === 0 ? {} : { deadman }));
}
const paths = (): string[] => sink.received.map(({ path }) => path.split('?')[0] ?? '');

test('a backup pings its begin and its end, tied together; another target pings nothing', async () => {
  const deps = await depsWith([{ url: `${sink.url}/ping/abc/`, on: 'backup', targets: ['media'] }]);
  await backupHere(deps, { target: 'other' });
  expect(paths()).toEqual([]);
  const { prepared } = await backupHere(deps, { target: 'media' });
  expect(paths()).toEqual(['/ping/abc/start', '/ping/abc/']);
  const [begin, end] = sink.received;
  expect(end?.body).toBe(`full backup ${prepared.backup} of media: verified in local`);
  const rid = new URL(end?.path ?? '', sink.url).searchParams.get('rid');
  expect(rid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(new URL(begin?.path ?? '', sink.url).searchParams.get('rid')).toBe(rid);
  expect(await readPings(deps.loaded.stateDir)).toMatchObject([{ name: 'backup', event: 'success', status: 'sent' }]);
  await deps.stores.close();
});

test('a backup that fails says so', async () => {
  const deps = await depsWith([{ url: `${sink.url}/p`, on: 'backup' }, { name: 'plain', url: `${sink.url}/plain?status=up`, on: 'backup', style: 'plain' }]);
  const { abandonBackup } = backupActivities(deps);
  await abandonBackup({ id: 'abc', target: 'media', kind: 'full', startedAt: new Date().toISOString(), startedBy: 'schedule', prepared: null, dumped: null, error: { code: 'sourceUnreachable', message: 'it is gone' } });
  expect(paths()).toEqual(['/p/fail']);
  expect(sink.received[0]?.body).toContain('sourceUnreachable: it is gone');
  await backupHere(deps, { target: 'media' });
  expect(sink.received.map(({ path }) => path)).toContain('/plain?status=up');
  expect(paths().filter((path) => path.startsWith('/plain'))).toHaveLength(1);
  await deps.stores.close();
});

test('a service that is down, slow or refuses: the backup is good, and the failure is seen in the status', async () => {
  const { url } = sink;
  const deps = await depsWith([{ name: 'refuses', url: `${url}/gone`, on: 'backup' }, { name: 'down', url: 'http://127.0.0.1:9/x', on: 'backup', timeout: '100ms' }]);
  sink.answers.push({ status: 404 }, { status: 404 });
  const begun = performance.now();
  await backupHere(deps, { target: 'media' });
  expect(performance.now() - begun).toBeLessThan(60_000);
  const notes = await readPings(deps.loaded.stateDir);
  expect(notes.map(({ name, status }) => [name, status]).toSorted()).toEqual([['down', 'failed'], ['refuses', 'failed']]);
  expect(notes.find(({ name }) => name === 'refuses')?.error).toContain('answered 404');
  // The address is a secret.
  expect(JSON.stringify(notes)).not.toContain('/gone');
  const report = await statusReport(deps.loaded, ['media']);
  expect(report.pings).toHaveLength(2);
  expect(report.targets[0]?.newestVerifiedBackup).not.toBeNull();
  await deps.stores.close();
});

test('a busy service is asked again', async () => {
  const deps = await depsWith([{ url: `${sink.url}/p`, on: 'backup' }]);
  sink.answers.push({ status: 200 }, { status: 503 }, { status: 500 });
  await backupHere(deps, { target: 'media' });
  expect(paths()).toEqual(['/p/start', '/p', '/p', '/p']);
  expect(await readPings(deps.loaded.stateDir)).toMatchObject([{ status: 'sent' }]);
  await deps.stores.close();
});

test('health is pinged in its time: success while all is known to be well, else what is not', async () => {
  const base = await depsWith([{ url: `${sink.url}/all`, every: '1s' }, { name: 'one', url: `${sink.url}/one`, every: '1s', targets: ['media'] }]);
  let seen: Readiness | Error = { targets: [{ name: 'media', missed: [] }, { name: 'other', missed: [] }], unknown: [] };
  const deps = { ...base, readiness: async () => { if (seen instanceof Error) throw seen; return seen; } };
  const env = new MockActivityEnvironment();
  const running = env.run(deadmanActivities(deps).watchHealth).catch((error: unknown) => error);
  await vi.waitFor(() => { expect(paths()).toEqual(expect.arrayContaining(['/all', '/one'])); }, { timeout: 60_000 });
  seen = { targets: [{ name: 'media', missed: [] }, { name: 'other', missed: ['there is no verified backup'] }], unknown: [] };
  await vi.waitFor(() => { expect(sink.received.find(({ path }) => path === '/all/fail')?.body).toBe('other: there is no verified backup'); }, { timeout: 60_000 });
  expect(paths()).not.toContain('/one/fail');
  seen = { targets: [{ name: 'media', missed: [] }], unknown: ['Temporal: gone'] };
  await vi.waitFor(() => { expect(sink.received.find(({ path }) => path === '/one/fail')?.body).toBe('Temporal: gone'); }, { timeout: 60_000 });
  sink.received.length = 0;
  seen = new Error('no idea');
  await vi.waitFor(() => { expect(sink.received.find(({ body }) => body === 'no idea')?.path).toMatch(/fail$/); }, { timeout: 60_000 });
  env.cancel();
  await running;
  const count = sink.received.length;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(sink.received.length).toBe(count);
});

test('B13 runs are counted: schedules by how they ended, also across a repository that was away', async () => {
  const deps = await depsWith([]);
  await backupHere(deps, { target: 'media' });
  const { abandonBackup } = backupActivities(deps);
  await abandonBackup({ id: 'bad', target: 'media', kind: 'full', startedAt: new Date().toISOString(), startedBy: 'schedule', prepared: null, dumped: null, error: { code: 'sourceUnreachable', message: 'gone' } });
  const health = async () => (await statusReport(deps.loaded, ['media'])).targets[0]?.health;
  expect(await health()).toMatchObject([{ operation: 'backup', kind: 'full', succeeded: 1, failed: 1, missed: 0, rate: 0.5 }]);
  const report = await statusReport(deps.loaded, ['media']);
  expect(report.targets[0]?.problems.map(({ code }) => code)).toContain('successRate');
  // A log that is damaged is begun anew, and nothing else suffers.
  const log = join(work.path, 'repo', 'evidence', 'runs', 'media', 'backup.json');
  writeFileSync(log, '{"schemaVersion":1,"runs":[{}]');
  expect(await health()).toEqual([]);
  await backupHere(deps, { target: 'media' });
  expect(await health()).toMatchObject([{ succeeded: 1, failed: 0 }]);
  renameSync(log, `${log}-gone`);
  expect(await health()).toEqual([]);
  await deps.stores.close();
});
