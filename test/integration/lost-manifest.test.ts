/** Somebody deletes the manifest of a backup that others build on: it is said, nothing builds on it, and the next backup stands on its own. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { listCatalogue } from '../../client/catalogue.ts';
import { rescueList } from '../../client/rescue-list.ts';
import { gatherFacts } from '../../client/status/gather.ts';
import type { PreparedBackup } from '../../domain/operations.ts';
import { keysOf } from '../../providers/repository/layout.ts';
import { backupHere, configHere, depsOf, restoreHere, verifyHere } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
let deps: ActivityDeps;

const at = (...names: string[]): string => join(work.path, ...names);
let n = 0;
async function backup(kind: 'full' | 'incremental' = 'full'): Promise<PreparedBackup> {
  writeFileSync(at('source', 'file'), `content ${String(++n)}`);
  return (await backupHere(deps, { target: 'media', kind })).prepared;
}
const lose = (prepared: PreparedBackup, ...repositories: string[]): void => {
  for (const repository of repositories) rmSync(at(repository, keysOf(prepared).manifest));
};
const shown = async () => new Map((await listCatalogue(deps.loaded, 'media')).backups.map((one) => [one.id, one]));
const target = async () => (await gatherFacts(deps.loaded)).targets[0];

beforeEach(async () => {
  work = tempDir('lost');
  mkdirSync(at('source'));
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('source')] } }, {
    repositories: { one: { type: 'disk', path: './one' }, two: { type: 'disk', path: './two' } },
  }));
});
afterEach(async () => {
  await deps.stores.close();
  await work.stop();
});

describe('B15 a manifest that is gone from every repository', () => {
  test('its backup and what builds on it are damaged, in `backups` and `status`; the next incremental is a full that says why', async () => {
    const full = await backup();
    const link = await backup('incremental');
    const last = await backup('incremental');
    // Both have looked before: what they remember must not hide what has gone since.
    expect([...(await shown()).values()].map(({ status }) => status)).toEqual(['verified', 'verified', 'verified']);
    expect(await target()).toMatchObject({ newest: { id: last.backup }, damaged: 0 });

    lose(full, 'one', 'two');
    const all = await shown();
    expect(all.get(full.backup)).toMatchObject({ status: 'damaged', complete: false, repositories: [{ name: 'one', status: 'damaged' }, { name: 'two', status: 'damaged' }] });
    for (const { backup: id } of [link, last]) {
      expect(all.get(id)).toMatchObject({ status: 'damaged', complete: false, error: { code: 'parentMissing' } });
      expect(all.get(id)?.error?.message).toContain(`${full.backup} of its chain has lost its manifest`);
    }
    expect(await target()).toMatchObject({ newest: null, damaged: 2 });
    expect((await rescueList(at('one'), 'media', new AbortController().signal)).find(({ id }) => id === full.backup)?.state).toContain('no manifest');
    await expect(restoreHere(deps, { target: 'media', mode: 'beside', to: at('back'), backup: last.backup })).rejects.toMatchObject({ code: 'parentMissing' });

    const next = await backup('incremental');
    expect(next).toMatchObject({ kind: 'full', asked: 'incremental', chain: [] });
    expect(next.warnings.join('\n')).toContain(`${last.name} is not built on: ${full.backup} of its chain has lost its manifest in one`);
    expect(await target()).toMatchObject({ newest: { id: next.backup }, damaged: 0 });
    expect(await backup('incremental')).toMatchObject({ kind: 'incremental', chain: [next.backup] });
  });

  test('one that nothing builds on is not built on either', async () => {
    const full = await backup();
    lose(full, 'one', 'two');
    const next = await backup('incremental');
    expect(next.kind).toBe('full');
    expect(next.warnings.join('\n')).toContain(`${full.name} is not built on`);
  });
});

test('B15 gone from one repository, the manifest comes back with the next backup of the chain', async () => {
  const full = await backup();
  lose(full, 'two');
  expect((await shown()).get(full.backup)).toMatchObject({ status: 'verified', complete: false, repositories: [{ name: 'one', status: 'verified' }, { name: 'two', status: 'damaged' }] });
  const next = await backup('incremental');
  expect(next).toMatchObject({ kind: 'incremental', chain: [full.backup] });
  expect((await shown()).get(next.backup)).toMatchObject({ status: 'verified', complete: true });
});

test('B2 where a verification found every backup damaged, the full that is taken says so', async () => {
  const full = await backup();
  const link = await backup('incremental');
  for (const repository of ['one', 'two']) rmSync(at(repository, keysOf(full).partsPrefix), { recursive: true });
  expect((await verifyHere(deps, { target: 'media' })).map(({ status }) => status)).toEqual(['damaged', 'damaged', 'damaged', 'damaged']);
  const next = await backup('incremental');
  expect(next.kind).toBe('full');
  expect(next.warnings).toContain('a full backup was taken instead of incremental: all of its 2 backups in one are damaged');
  expect(link.kind).toBe('incremental');
});
