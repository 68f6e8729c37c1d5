import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { createActivities } from '../../activities/index.ts';
import { configHere, depsOf } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
let path: string;
let deps: ActivityDeps;

const prepare = (target: string) => createActivities(deps).prepareBackup({ id: 'a1', target, kind: 'full', startedBy: 'test', startedAt: '2026-11-01T00:00:00Z' });

beforeEach(async () => {
  work = tempDir('stale');
  path = await configHere(work.path, { media: { type: 'files', paths: [work.path] } });
  deps = depsOf(path);
});
afterEach(async () => {
  await deps.stores.close();
  await work.stop();
});

test('O4 a target that was added while the worker runs is not said to be missing without the reason', async () => {
  const text = JSON.parse(readFileSync(path, 'utf8')) as { targets: Record<string, unknown> };
  writeFileSync(path, JSON.stringify({ ...text, targets: { ...text.targets, late: text.targets['media'] } }), { mode: 0o600 });
  await expect(prepare('late')).rejects.toMatchObject({
    type: 'targetUnknown',
    message: `The configuration has no target "late"; there are media. The worker on test-host was started with an older configuration than ${path} has now.`,
    details: [{ hint: expect.stringContaining('Start the worker again') as string }],
  });
  writeFileSync(path, 'version: [', { mode: 0o600 });
  await expect(prepare('late')).rejects.toMatchObject({ message: expect.stringContaining('older configuration') as string });
});

test('O4 one that is in no configuration is missing', async () => {
  await expect(prepare('late')).rejects.toMatchObject({ type: 'targetUnknown', message: 'The configuration has no target "late"; there are media.', details: [{ hint: expect.stringContaining('resurgo check') as string }] });
});
