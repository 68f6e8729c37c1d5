/** R2, R3: in place where names are long, where something cannot be removed or written, and what a dead restore leaves. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { finishInPlace } from '../../activities/restore-finish.ts';
import { marksOf, writeMark } from '../../activities/restore-marks.ts';
import type { FinishRestoreInput, FinishRestoreResult, RestorePlan } from '../../domain/operations.ts';
import { beside, oldName } from '../../providers/files/swap.ts';
import { backupHere, configHere, depsOf, restoreHere } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
let deps: ActivityDeps;
const at = (...names: string[]): string => join(work.path, ...names);
const inPlace = () => restoreHere(deps, { target: 'media', mode: 'in-place' });
const finish = (id: string, action: FinishRestoreInput['action']): Promise<FinishRestoreResult> => finishInPlace(deps, { id, target: 'media', action }, () => Promise.resolve());
/** Whether the system lets us. */
const can = (...words: readonly string[]): boolean => {
  try {
    execFileSync(words[0] ?? '', words.slice(1), { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

async function taken(...paths: readonly string[]): Promise<void> {
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths } }));
  await backupHere(deps, { target: 'media', kind: 'full' });
}

beforeEach(() => {
  work = tempDir('in-place');
});
afterEach(async () => {
  await deps.stores.close();
  await work.stop();
});

test('R3 a name as long as a name can be: in place, rolled back, in place again and confirmed', { timeout: 120_000 }, async () => {
  const root = at('ä'.repeat(127) + 'x');
  mkdirSync(root);
  writeFileSync(join(root, 'f'), 'good');
  await taken(root);
  writeFileSync(join(root, 'f'), 'ruined');
  const one = await inPlace();
  expect(one).toMatchObject({ status: 'restored', kept: oldName(root) });
  expect(readFileSync(join(oldName(root), 'f'), 'utf8')).toBe('ruined');
  await finish(one.id, 'rollback');
  expect(readFileSync(join(root, 'f'), 'utf8')).toBe('ruined');
  expect(readFileSync(join(beside(root, `_failed_${one.id}`), 'f'), 'utf8')).toBe('good');
  const two = await inPlace();
  await finish(two.id, 'confirm');
  expect(readFileSync(join(root, 'f'), 'utf8')).toBe('good');
  expect(existsSync(oldName(root))).toBe(false);
});

test('R3 a path that has no room for what is built beside it is refused before anything is written', { timeout: 120_000 }, async () => {
  const names: string[] = [];
  while (work.path.length + 1 + names.join('/').length + 202 < 4075) names.push('p'.repeat(200));
  mkdirSync(at(...names), { recursive: true });
  const last = 'f'.repeat(4085 - at(...names).length - 1);
  writeFileSync(at(...names, last), 'x');
  await taken(at(names[0] ?? ''));
  const before = readdirSync(work.path);
  await expect(inPlace()).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('the system takes 4095') as string });
  expect(readdirSync(work.path)).toEqual(before);
});

test('R2 what a dead restore left where it cannot be removed is told, and keeps no later one from being made', { timeout: 120_000 }, async () => {
  mkdirSync(at('src'));
  writeFileSync(at('src', 'f'), 'x');
  await taken(at('src'));
  const plan = (id: string, directory: string) => ({ schemaVersion: 1, id, target: 'media', engine: 'files', mode: 'in-place', destination: at('src'), engineState: { places: [{ path: '', directory, strip: 0 }], swaps: [], only: [], made: false } }) as unknown as RestorePlan;
  await writeMark(deps.loaded.stateDir, { plan: plan('toolong', at('n'.repeat(300))) });
  mkdirSync(at('stuck'));
  writeFileSync(at('stuck', 'f'), 'x');
  const isStuck = can('chattr', '+i', at('stuck', 'f'));
  try {
    if (isStuck) await writeMark(deps.loaded.stateDir, { plan: plan('stuck', at('stuck')) });
    const result = await restoreHere(deps, { target: 'media', mode: 'beside', to: at('out') });
    expect(result).toMatchObject({ status: 'restored', warnings: isStuck ? [expect.stringMatching(/restore stuck left .*Operation not permitted/)] : [] });
    expect((await marksOf(deps.loaded.stateDir, 'media')).map(({ plan: { id } }) => id)).toEqual(isStuck ? ['stuck'] : []);
  } finally {
    if (isStuck) can('chattr', '-i', at('stuck', 'f'));
  }
});

test('R2 confirm with something that cannot be removed: done and told; there is no way back to half of it', { timeout: 120_000 }, async (context) => {
  for (const name of ['a', 'b']) {
    mkdirSync(at(name));
    for (const file of ['f', 'g', 'h']) writeFileSync(at(name, file), 'x');
  }
  await taken(at('a'), at('b'));
  const { id } = await inPlace();
  if (!can('chattr', '+i', join(oldName(at('b')), 'g'))) return context.skip();
  try {
    const { detail, status } = await finish(id, 'confirm');
    expect(status).toBe('confirmed');
    expect(detail).toMatch(/a_old was removed; what is left of the old data at .* could not be removed .*\/g': Operation not permitted/);
    await expect(finish(id, 'rollback')).rejects.toMatchObject({ code: 'inputInvalid' });
    expect(readdirSync(at('b'))).toEqual(['f', 'g', 'h']);
    expect(existsSync(oldName(at('b')))).toBe(false);
  } finally {
    execFileSync('chattr', ['-R', '-i', work.path], { stdio: 'ignore' });
  }
});

test('R2 a confirm that died before it removed anything refuses a rollback, of any root', { timeout: 120_000 }, async () => {
  mkdirSync(at('a'));
  await taken(at('a'));
  const { id } = await inPlace();
  const journal = at('.a.resurgo-swap');
  writeFileSync(journal, JSON.stringify({ ...(JSON.parse(readFileSync(journal, 'utf8')) as object), confirmed: true }));
  await expect(finish(id, 'rollback')).rejects.toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('was confirmed') as string });
  expect((await finish(id, 'confirm')).detail).toContain('a_old was removed');
});

test('R2 a destination that is read-only is named as that', { timeout: 120_000 }, async (context) => {
  mkdirSync(at('src'));
  mkdirSync(at('ro'));
  await taken(at('src'));
  if (!can('mount', '-t', 'tmpfs', '-o', 'ro', 'none', at('ro'))) return context.skip();
  try {
    await expect(restoreHere(deps, { target: 'media', mode: 'beside', to: at('ro', 'to', 'here') })).rejects.toMatchObject({ code: 'destinationDenied', message: `${at('ro')} cannot be written to: its file system is read-only (EROFS)` });
  } finally {
    execFileSync('umount', [at('ro')]);
  }
});
