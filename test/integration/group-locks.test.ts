/** R6 B16: what changes a group in place holds all its members, what changes a member in place its groups; in one order, all or nothing. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { createActivities } from '../../activities/index.ts';
import { heldTogether } from '../../config/lookup.ts';
import { backup } from '../../workflows/backup.workflow.ts';
import { backupOperation } from '../../workflows/backup-operation.workflow.ts';
import { holdLocks } from '../../workflows/locked.ts';
import { finishRestore, finishRestoreRun, restore, restoreOperation, restoreRun } from '../../workflows/restore.workflow.ts';
import { configHere, depsOf } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';
import { runHere } from '../support/workflows-here.ts';

vi.mock('@temporalio/workflow', () => import('../support/workflows-here.ts'));

const children = { backupOperation, restoreOperation, restoreRun, finishRestoreRun, holdLocks };
let work: TempDir;
let deps: ActivityDeps;
let taken: string[];
const at = (...names: string[]): string => join(work.path, ...names);
const content = (name: string): string => readFileSync(at(name, 'file'), 'utf8');

beforeEach(async () => {
  work = tempDir('group-locks');
  taken = [];
  for (const name of ['zeta', 'alpha', 'apart']) {
    mkdirSync(at(name));
    writeFileSync(at(name, 'file'), 'old\n');
  }
  const files = (name: string) => ({ type: 'files', paths: [at(name)] });
  deps = depsOf(await configHere(work.path, { zeta: files('zeta'), alpha: files('alpha'), apart: files('apart'), middle: { type: 'group', members: ['zeta', 'alpha'] }, other: { type: 'group', members: ['zeta'] } }));
});
afterEach(async () => {
  await deps.stores.close();
  await work.stop();
});

const run = <I, R>(workflow: (input: I) => Promise<R>, input: I, busy: readonly string[] = []): Promise<R> => {
  taken = [];
  return runHere(workflow, input, { activities: createActivities(deps), children, busy, taken });
};

test('which targets are held together, and in which order', () => {
  const held = (target: string) => heldTogether(deps.loaded.config, target);
  expect(held('middle')).toEqual(['alpha', 'middle', 'other', 'zeta']);
  expect(held('zeta')).toEqual(['middle', 'other', 'zeta']);
  expect(held('alpha')).toEqual(['alpha', 'middle']);
  expect(held('apart')).toEqual(['apart']);
});

test('a group in place: one that is busy refuses it, whichever it is, and nothing is touched; with all of them free it is done, and brought back', async () => {
  await run(backup, { target: 'middle' });
  expect(taken).toEqual(['op/middle']);
  for (const name of ['alpha', 'zeta']) writeFileSync(at(name, 'file'), 'new\n');
  for (const busy of ['op/alpha', 'op/middle', 'op/other', 'op/zeta']) {
    await expect(run(restore, { target: 'middle', mode: 'in-place' }, [busy])).rejects.toThrow(`${busy} is held by another run`);
    expect([content('alpha'), content('zeta')]).toEqual(['new\n', 'new\n']);
    expect(taken).not.toContain(busy);
  }
  const done = await run(restore, { target: 'middle', mode: 'in-place' });
  expect(done).toMatchObject({ status: 'restored' });
  expect(taken).toEqual(['restore/middle', 'op/alpha', 'op/middle', 'op/other', 'op/zeta']);
  expect([content('alpha'), content('zeta')]).toEqual(['old\n', 'old\n']);
  expect(await run(finishRestore, { id: done.id, target: 'middle', action: 'rollback' })).toMatchObject({ status: 'rolled-back' });
  expect(taken).toEqual(['op/alpha', 'op/middle', 'op/other', 'op/zeta']);
  expect([content('alpha'), content('zeta')]).toEqual(['new\n', 'new\n']);
});

test('a member in place: not beside a backup of its group; beside the source and what stands alone need no more than before', async () => {
  await run(backup, { target: 'alpha' });
  await run(backup, { target: 'apart' });
  await expect(run(restore, { target: 'alpha', mode: 'in-place' }, ['op/middle'])).rejects.toThrow('op/middle is held by another run');
  await run(restore, { target: 'alpha', mode: 'beside', to: at('beside') }, ['op/middle', 'op/alpha']);
  expect(taken).toEqual(['restore/alpha']);
  await run(restore, { target: 'apart', mode: 'in-place' });
  expect(taken).toEqual(['restore/apart', 'op/apart']);
});
