/** B15 R3: a full disk where a restore builds, and where the state lies: told by its name, nothing swapped in, nothing published, and good again afterwards. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { createActivities } from '../../activities/index.ts';
import { backup } from '../../workflows/backup.workflow.ts';
import { backupOperation } from '../../workflows/backup-operation.workflow.ts';
import { restore, restoreOperation, restoreRun } from '../../workflows/restore.workflow.ts';
import { configHere, depsOf } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';
import { describeTree } from '../support/tree.ts';
import { runHere } from '../support/workflows-here.ts';

vi.mock('@temporalio/workflow', () => import('../support/workflows-here.ts'));

const children = { backupOperation, restoreOperation, restoreRun };
let work: TempDir;
let small: string;
let deps: ActivityDeps;
const mib = 1024 * 1024;
const mounted = new Set<string>();
const at = (...names: string[]): string => join(work.path, ...names);

/** A file system of its own; false where we may not. */
function mount(path: string, bytes: number): boolean {
  mkdirSync(path, { recursive: true });
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${String(bytes)},mode=755`, 'none', path]).status === 0;
  if (done) mounted.add(path);
  return done;
}
/** Takes all but so much. */
function fill(path: string, leave: number): void {
  const { bavail, bsize } = statfsSync(path);
  const bytes = bavail * bsize - leave;
  if (bytes > 0) writeFileSync(join(path, 'hog'), Buffer.alloc(bytes));
}
const free = (path: string): void => { rmSync(join(path, 'hog'), { force: true }); };

beforeEach(() => {
  work = tempDir('full-disk');
  small = at('small');
});
afterEach(async () => {
  await deps.stores.close();
  for (const path of mounted) spawnSync('umount', ['-l', path]);
  mounted.clear();
  await work.stop();
});

/** Makes `activity` meet a disk that became full since it was looked at. */
const fillBefore = (activity: string, path: string, leave = 0): ReturnType<typeof createActivities> => {
  const activities = createActivities(deps) as unknown as Record<string, (input: never) => Promise<unknown>>;
  const run = activities[activity] as (input: never) => Promise<unknown>;
  return { ...activities, [activity]: (input: never) => { fill(path, leave); return run(input); } } as unknown as ReturnType<typeof createActivities>;
};
const failure = async (running: Promise<unknown>): Promise<{ type: string; message: string; result?: { status: string; steps: { name: string; outcome: string }[] } }> => {
  try {
    await running;
  } catch (error) {
    for (let current: unknown = error; current instanceof Error; current = current.cause) {
      const { type, details } = current as { type?: unknown; details?: { result?: { status: string; steps: { name: string; outcome: string }[] } }[] };
      if (typeof type === 'string') return { type, message: current.message, ...(details?.[0]?.result === undefined ? {} : { result: details[0].result }) };
    }
    throw error;
  }
  throw new Error('it went well');
};
const run = <I, R>(workflow: (input: I) => Promise<R>, input: I, activities = createActivities(deps)): Promise<R> => runHere(workflow, input, { activities, children });

function tree(path: string): void {
  mkdirSync(join(path, 'a'), { recursive: true });
  for (let i = 0; i < 8; i++) writeFileSync(join(path, 'a', String(i)), randomBytes(mib));
}

test('restore beside: the destination is full before it is looked at, and while it is built', async ({ skip }) => {
  if (!mount(small, 32 * mib)) return skip('no file system can be mounted here');
  tree(at('source'));
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('source')] } }));
  await run(backup, { target: 'media' });
  const to = join(small, 'back');
  fill(small, 2 * mib);
  const refused = await failure(run(restore, { target: 'media', mode: 'beside', to }));
  expect(refused.type).toBe('destinationSpace');
  expect(refused.message).toContain(to);
  free(small);
  const failed = await failure(run(restore, { target: 'media', mode: 'beside', to }, fillBefore('buildRestore', small, 3 * mib)));
  expect(failed).toMatchObject({ type: 'destinationSpace', message: expect.stringContaining(`no space left for the destination of the restore of media (${to})`) as string, result: { status: 'compensated' } });
  expect(readdirSync(small)).toEqual(['hog']);
  free(small);
  expect(await run(restore, { target: 'media', mode: 'beside', to })).toMatchObject({ status: 'restored' });
  expect(describeTree(join(to, at('source')))).toBe(describeTree(at('source')));
});

test('restore in place: nothing is swapped in, what was there is as it was', async ({ skip }) => {
  if (!mount(small, 40 * mib)) return skip('no file system can be mounted here');
  const source = join(small, 'source');
  tree(source);
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [source] } }));
  await run(backup, { target: 'media' });
  writeFileSync(join(source, 'a', '0'), 'newer\n');
  const before = describeTree(source);
  const failed = await failure(run(restore, { target: 'media', mode: 'in-place' }, fillBefore('buildRestore', small, 3 * mib)));
  expect(failed).toMatchObject({ type: 'destinationSpace', message: expect.stringContaining(source) as string, result: { status: 'compensated' } });
  expect(failed.result?.steps.some(({ name }) => name === 'safety copy')).toBe(false);
  expect(describeTree(source)).toBe(before);
  expect(readdirSync(small).toSorted()).toEqual(['hog', 'source']);
  free(small);
  expect(await run(restore, { target: 'media', mode: 'in-place' })).toMatchObject({ status: 'restored' });
  expect(describeTree(source)).not.toBe(before);
});

test('the state directory is full: backup and restore say so, nothing is published, and it goes on when there is room', async ({ skip }) => {
  tree(at('source'));
  const config = await configHere(work.path, { media: { type: 'files', paths: [at('source')] } });
  if (!mount(at('.resurgo'), 4 * mib)) return skip('no file system can be mounted here');
  deps = depsOf(config);
  await run(backup, { target: 'media' });
  const before = readdirSync(at('repo', 'media', 'files', 'backups'));
  const failed = await failure(run(backup, { target: 'media' }, fillBefore('dumpBackup', at('.resurgo'))));
  expect(failed).toMatchObject({ type: 'repositoryFull', message: expect.stringContaining(`no space left for the state directory (${at('.resurgo')})`) as string });
  expect(readdirSync(at('repo', 'media', 'files', 'backups'))).toEqual(before);
  const refused = await failure(run(restore, { target: 'media', mode: 'beside', to: at('back') }));
  expect(refused).toMatchObject({ type: 'destinationSpace', message: expect.stringContaining(`the state directory (${at('.resurgo')})`) as string });
  expect(existsSync(at('back'))).toBe(false);
  free(at('.resurgo'));
  expect(await run(backup, { target: 'media' })).toMatchObject({ status: 'verified', complete: true });
  expect(await run(restore, { target: 'media', mode: 'beside', to: at('back') })).toMatchObject({ status: 'restored' });
});

test('the repository is full: its name is told, nothing is published there, and the other one has the backup', async ({ skip }) => {
  tree(at('source'));
  const config = await configHere(work.path, { media: { type: 'files', paths: [at('source')] } }, { repositories: { local: { type: 'disk', path: './repo' }, small: { type: 'disk', path: './small/repo' } } });
  if (!mount(small, 4 * mib)) return skip('no file system can be mounted here');
  deps = depsOf(config);
  const result = await run(backup, { target: 'media' });
  expect(result).toMatchObject({ status: 'verified', complete: false, repositories: [{ name: 'local', status: 'verified' }, { name: 'small', status: 'failed', error: { code: 'repositoryFull' } }] });
  expect(result.repositories[1]?.error?.message).toMatch(/small.*no space left/);
  expect(existsSync(join(small, 'repo', 'media', 'files', 'backups'))).toBe(false);
});
