/** B4: trees of files, full and in chains, and back: equal by an independent comparison, or refused, or told. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { finishInPlace } from '../../activities/restore-finish.ts';
import { confirmFiles, swapBackFiles } from '../../providers/files/swap.ts';
import { adversarialTree, describeTree } from '../support/tree.ts';
import { backupHere, configHere, depsOf, restoreHere, verifyHere } from '../support/in-process.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
let source: string;
let deps: ActivityDeps;

const at = (...names: string[]): string => join(work.path, ...names);
/** Restores put the tree below its whole path. */
const inside = (to: string): string => join(at(to), source);

async function setUp(target: Readonly<Record<string, unknown>> = {}): Promise<void> {
  deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [source], ...target } }));
}
const backup = (kind: 'full' | 'differential' | 'incremental' = 'full') => backupHere(deps, { target: 'media', kind });
const restore = (to: string, more: Record<string, unknown> = {}) => restoreHere(deps, { target: 'media', mode: 'beside', to: at(to), ...more });

beforeEach(async () => {
  work = tempDir('files');
  source = at('source');
  mkdirSync(source);
  await setUp();
});
afterEach(async () => {
  await deps.stores.close();
  await work.stop();
});

describe('B4 names of one file, and roots inside roots', () => {
  test('the first name of a file leaves the tree, or the paths: the others are packed again, and every link restores', { timeout: 120_000 }, async () => {
    for (const name of ['d24', 'd25', 'other']) mkdirSync(join(source, name));
    writeFileSync(join(source, 'd24', 'f'), 'shared');
    linkSync(join(source, 'd24', 'f'), join(source, 'd25', 'f'));
    linkSync(join(source, 'd24', 'f'), join(source, 'other', 'f'));
    await backup();
    renameSync(join(source, 'd24'), at('moved'));
    await backup('incremental');
    const tree = describeTree(source);
    await restore('one');
    expect(describeTree(inside('one'))).toBe(tree);
    await deps.stores.close();
    const config = JSON.parse(readFileSync(deps.loaded.path, 'utf8')) as { targets: { media: { paths: string[] } } };
    config.targets.media.paths = [join(source, 'other')];
    writeFileSync(deps.loaded.path, JSON.stringify(config), { mode: 0o600 });
    deps = depsOf(deps.loaded.path);
    await backup('incremental');
    await restore('two');
    expect(readFileSync(join(inside('two'), 'other', 'f'), 'utf8')).toBe('shared');
  });
});

describe('B4 a path inside another', () => {
  test('is walked whatever is left out above it; what is beside it stays out', { timeout: 60_000 }, async () => {
    for (const name of ['cache', 'cache/keep', 'cache/drop', 'other']) mkdirSync(join(source, name));
    for (const name of ['cache/keep/in', 'cache/drop/out', 'cache/out', 'other/in']) writeFileSync(join(source, name), name);
    await deps.stores.close();
    await setUp({ paths: [source, join(source, 'cache', 'keep')], exclude: ['**/cache'] });
    const done = await backup();
    expect(done.counts.files).toBe(2);
    await restore('back');
    expect(readdirSync(join(inside('back'), 'cache'))).toEqual(['keep']);
    expect(readFileSync(join(inside('back'), 'cache', 'keep', 'in'), 'utf8')).toBe('cache/keep/in');
    expect(readFileSync(join(inside('back'), 'other', 'in'), 'utf8')).toBe('other/in');
  });
});

describe('R2 in place, and what must not be moved away', () => {
  test('a repository in the tree: refused; and a second restore while one waits for a person', { timeout: 120_000 }, async () => {
    mkdirSync(join(source, 'a'));
    mkdirSync(join(source, 'b'));
    writeFileSync(join(source, 'a', 'x'), 'x');
    writeFileSync(join(source, 'b', 'y'), 'y');
    await deps.stores.close();
    const config = JSON.parse(readFileSync(deps.loaded.path, 'utf8')) as { repositories: Record<string, unknown> };
    mkdirSync(at('real'));
    symlinkSync(at('real'), join(source, 'link'));
    const [name = 'local'] = Object.keys(config.repositories);
    config.repositories[name] = { type: 'disk', path: join(source, 'backups') };
    writeFileSync(deps.loaded.path, JSON.stringify(config), { mode: 0o600 });
    deps = depsOf(deps.loaded.path);
    await backup();
    await expect(restore('x', { mode: 'in-place', to: undefined })).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining(`repository ${name}`) as string });
    const one = await restoreHere(deps, { target: 'media', mode: 'in-place', only: [join(source, 'a')] });
    expect(one.status).toMatch(/^restored/);
    await expect(restoreHere(deps, { target: 'media', mode: 'in-place', only: [join(source, 'b')] })).rejects.toMatchObject({ code: 'destinationBusy' });
    expect(existsSync(join(source, 'backups'))).toBe(true);
  });
});

describe('R2 the end of a restore in place', () => {
  test.skipIf(process.getuid?.() !== 0)('what cannot be removed of the old data is told; there is no way back to half of it', { timeout: 120_000 }, async ({ skip }) => {
    const tree = join(source, 'tree');
    mkdirSync(tree);
    for (const name of ['a', 'b', 'stuck']) writeFileSync(join(tree, name), name);
    await backup();
    const done = await restoreHere(deps, { target: 'media', mode: 'in-place', only: [tree] });
    try {
      execFileSync('chattr', ['+i', join(`${tree}_old`, 'stuck')], { stdio: 'pipe' });
    } catch {
      return skip('no immutable files here');
    }
    const swaps = [{ path: tree, work: at('nowhere') }];
    try {
      const told = await confirmFiles(swaps, done.id);
      expect(told).toMatchObject({ removed: [], left: [{ path: expect.stringContaining('.resurgo-removing-') as string }] });
    } finally {
      execFileSync('sh', ['-c', `chattr -R -i '${source}'`], { stdio: 'pipe' });
    }
    expect(await swapBackFiles(swaps, done.id, true)).toEqual({ restored: [], failed: [] });
    expect(readdirSync(tree)).toEqual(['a', 'b', 'stuck']);
  });

  test('a name that is too long for the longest of ours beside it', { timeout: 120_000 }, async () => {
    for (const length of [225, 240]) {
      const tree = join(source, 'n'.repeat(length));
      mkdirSync(tree);
      writeFileSync(join(tree, 'x'), 'x');
      await backup();
      const { id, status } = await restoreHere(deps, { target: 'media', mode: 'in-place', only: [tree] });
      expect(status).toBe('restored');
      await finishInPlace(deps, { id, target: 'media', action: 'confirm' }, () => Promise.resolve());
    }
  });
});

describe('B4 round trip', () => {
  test('the adversarial tree: full, differential, incremental; deletions, renames and new types survive; every link of the chain restores', { timeout: 240_000 }, async () => {
    adversarialTree(source);
    const states: { id: string; tree: string }[] = [];
    const taken = async (kind: 'full' | 'differential' | 'incremental'): Promise<void> => {
      const tree = describeTree(source);
      const done = await backup(kind);
      expect(done.prepared.kind).toBe(kind);
      expect([...done.prepared.warnings, ...done.warnings]).toEqual([]);
      states.push({ id: done.prepared.backup, tree });
    };
    await taken('full');
    rmSync(join(source, 'deep'), { recursive: true });
    rmSync(join(source, 'new\nline'));
    writeFileSync(join(source, 'plain'), 'other\n');
    await taken('differential');
    // A directory where a file was, and the other way round; a name less, a name more of a file with several.
    rmSync(join(source, 'exact512'));
    mkdirSync(join(source, 'exact512'));
    writeFileSync(join(source, 'exact512', 'inner'), 'x');
    rmSync(join(source, 'empty-dir'), { recursive: true });
    symlinkSync('a', join(source, 'empty-dir'));
    renameSync(join(source, 'a'), join(source, 'renamed'));
    rmSync(join(source, 'zz-three'));
    linkSync(join(source, 'hl', 'one'), join(source, 'four'));
    appendFileSync(join(source, 'sparse'), 'more');
    // Only its times tell; same size.
    writeFileSync(join(source, 'exact513'), 'c'.repeat(513));
    utimesSync(join(source, 'exact513'), 1, 1);
    await taken('incremental');
    await taken('incremental');
    for (const [i, { id, tree }] of states.entries()) {
      const result = await restore(`back-${String(i)}`, { backup: id });
      expect(result).toMatchObject({ status: 'restored', warnings: [] });
      expect(describeTree(inside(`back-${String(i)}`))).toBe(tree);
    }
    expect(readdirSync(at('back-0'))).toEqual([source.split('/')[1]]);
    expect((await verifyHere(deps, { target: 'media', deep: true })).map(({ status, depth }) => `${status} ${String(depth)}`)).toEqual(Array.from({ length: 4 }, () => 'verified content'));
  });

  test('a sparse file of 10 GB takes neither the time nor the room of 10 GB', { timeout: 120_000 }, async () => {
    writeFileSync(join(source, 'disk.img'), 'begin');
    truncateSync(join(source, 'disk.img'), 10 * 1024 ** 3);
    const done = await backup();
    expect(done.bytes.source).toBeLessThan(1024 * 1024);
    await restore('back');
    expect(describeTree(inside('back'))).toBe(describeTree(source));
    expect(Number(execFileSync('du', ['-k', join(inside('back'), 'disk.img')], { encoding: 'utf8' }).split('\t')[0])).toBeLessThan(1024);
  });

  test('an incremental of an unchanged tree holds nothing of it, and restores it', { timeout: 120_000 }, async () => {
    for (let i = 0; i < 50; i++) writeFileSync(join(source, `f${String(i)}`), 'x'.repeat(10_000));
    await new Promise((resolve) => setTimeout(resolve, 200));
    await backup();
    const done = await backup('incremental');
    expect(done.bytes.source).toBeLessThan(2000);
    expect(done.counts.files).toBe(50);
    await restore('back');
    expect(describeTree(inside('back'))).toBe(describeTree(source));
  });
});

describe('B4 what is left out, and what is asked for', () => {
  test('exclude, include, and our own repository inside the paths', { timeout: 120_000 }, async () => {
    for (const name of ['a/cache/x', 'a/keep.txt', 'b/c/cache', 'b/c/notes.md', 'b/c/n\new.txt', 'tmp/t.txt']) {
      mkdirSync(join(source, name, '..'), { recursive: true });
      writeFileSync(join(source, name), name);
    }
    await deps.stores.close();
    await setUp({ paths: [work.path], exclude: ['**/cache/**', `${source}/tmp`], include: ['*.txt', '*.md'] });
    await backup();
    await backup();
    await restore('out', { only: [source] });
    const names = execFileSync('find', ['.', '-type', 'f', '-print0'], { cwd: inside('out'), encoding: 'utf8' }).split('\0').filter(Boolean).sort();
    expect(names).toEqual(['./a/keep.txt', './b/c/n\new.txt', './b/c/notes.md']);
  });

  test('--only takes parts with their directories and the other name of a hard link; an unknown part is refused', { timeout: 120_000 }, async () => {
    adversarialTree(source);
    await backup();
    await restore('part', { only: [join(source, 'hl', 'two'), join(source, 'a')] });
    expect(readdirSync(inside('part')).sort()).toEqual(['a', 'hl']);
    expect(readdirSync(join(inside('part'), 'hl')).sort()).toEqual(['one', 'two']);
    await expect(restore('nothing', { only: [join(source, 'no-such')] })).rejects.toMatchObject({ code: 'inputInvalid', message: expect.stringContaining('no-such') });
    expect(existsSync(at('nothing'))).toBe(false);
  });
});

describe('B4 R3 in place', () => {
  test('the restored tree takes the place of the old one, which is kept; rollback brings it back, confirm drops it', { timeout: 240_000 }, async () => {
    adversarialTree(source);
    const good = describeTree(source);
    await backup();
    writeFileSync(join(source, 'plain'), 'ruined');
    rmSync(join(source, 'a'), { recursive: true });
    const ruined = describeTree(source);
    const first = await restoreHere(deps, { target: 'media', mode: 'in-place' });
    expect(first).toMatchObject({ status: 'restored', kept: `${source}_old` });
    expect(describeTree(source)).toBe(good);
    expect(describeTree(`${source}_old`)).toBe(ruined);
    await expect(restoreHere(deps, { target: 'media', mode: 'in-place' })).rejects.toMatchObject({ code: 'destinationBusy' });
    const { finishInPlace } = await import('../../activities/restore-finish.ts');
    const none = () => Promise.resolve();
    await finishInPlace(deps, { id: first.id, target: 'media', action: 'rollback' }, none);
    expect(describeTree(source)).toBe(ruined);
    rmSync(`${source}_failed_${first.id}`, { recursive: true });
    const second = await restoreHere(deps, { target: 'media', mode: 'in-place' });
    await finishInPlace(deps, { id: second.id, target: 'media', action: 'confirm' }, none);
    expect(describeTree(source)).toBe(good);
    expect(readdirSync(work.path).filter((name) => name.includes('source') || name.startsWith('.resurgo-'))).toEqual(['source']);
  });

  test('only one directory of it, also when it is gone', { timeout: 120_000 }, async () => {
    adversarialTree(source);
    const good = describeTree(source, { times: false });
    await backup();
    rmSync(join(source, 'hl'), { recursive: true });
    await expect(restoreHere(deps, { target: 'media', mode: 'in-place', only: [join(source, 'zz-three')] })).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('hl/one') });
    rmSync(join(source, 'zz-three'));
    await restoreHere(deps, { target: 'media', mode: 'in-place', only: [join(source, 'hl'), join(source, 'a')] });
    rmSync(join(source, 'a_old'), { recursive: true });
    for (const name of readdirSync(source)) if (name.endsWith('.resurgo-swap')) rmSync(join(source, name));
    linkSync(join(source, 'hl', 'one'), join(source, 'zz-three'));
    expect(describeTree(source, { times: false })).toBe(good);
  });

  test('a destination that is not empty is refused, and stays as it is', { timeout: 120_000 }, async () => {
    writeFileSync(join(source, 'f'), 'x');
    await backup();
    mkdirSync(at('full'));
    writeFileSync(at('full', 'mine'), 'mine');
    await expect(restore('full')).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    expect(readdirSync(at('full'))).toEqual(['mine']);
    expect(readFileSync(at('full', 'mine'), 'utf8')).toBe('mine');
  });
});
