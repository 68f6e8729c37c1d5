/** B4: what is named is in the backup, wherever it lies; what is ours is not, whichever way leads to it. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { finishInPlace } from '../../activities/restore-finish.ts';
import { leavesOut } from '../../providers/files/selection.ts';
import { rootsOf, walk } from '../../providers/files/walk.ts';
import { backupHere, configHere, depsOf, restoreHere } from '../support/in-process.ts';
import { describeTree } from '../support/tree.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
const at = (...names: string[]): string => join(work.path, ...names);
const put = (...names: string[]): void => {
  mkdirSync(dirname(at(...names)), { recursive: true });
  writeFileSync(at(...names), names.join('/'));
};
const found = (path: string): string[] => execFileSync('find', ['.', '-type', 'f', '-printf', '%P\n'], { cwd: path, encoding: 'utf8' }).split('\n').filter(Boolean).sort();
const mounts = (path: string): boolean => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'none', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

beforeEach(() => {
  work = tempDir('roots');
});
afterEach(async () => {
  await work.stop();
});

interface Asked {
  readonly paths: readonly string[];
  readonly exclude?: readonly string[];
  readonly oneFileSystem?: boolean;
}

async function walked({ paths, exclude = [], oneFileSystem = false }: Asked): Promise<{ seen: string[]; problems: string[] }> {
  const seen: string[] = [];
  const problems: string[] = [];
  const roots = paths.map((path) => at(path));
  const options = { roots, leaveOut: leavesOut({ paths: roots, exclude, include: [], never: [] }), oneFileSystem, onProblem: (path: string, error: NodeJS.ErrnoException) => void problems.push(`${path.slice(work.path.length)}: ${String(error.code)}`) };
  for await (const batch of walk(options)) for (const { path } of batch) seen.push(path.slice(work.path.length));
  return { seen, problems };
}

test('B4 a root inside another is walked once and in its place, also below what is left out', async () => {
  for (const name of ['ov/a', 'ov/cache/drop', 'ov/cache/keep/in', 'ov/cache/keep/cache/drop', 'ov/cache/zap/y', 'ov/top', 'ov/d/x']) put(name);
  const { seen, problems } = await walked({ paths: ['ov/cache/keep', 'ov/', 'ov/d', 'ov/none/at/all'], exclude: ['**/cache/**'] });
  expect(seen).toEqual(['ov', 'ov/a', 'ov/cache/keep', 'ov/cache/keep/in', 'ov/d', 'ov/d/x', 'ov/top']);
  expect(problems).toEqual(['ov/none/at/all: ENOENT']);
  expect(rootsOf([at('ov/d'), at('ov/')])).toEqual([at('ov')]);
});

test('B4 a root behind a symbolic link of another root is told', async () => {
  put('real/x');
  mkdirSync(at('ov'));
  symlinkSync('../real', at('ov/link'));
  expect(await walked({ paths: ['ov', 'ov/link/x'] })).toEqual({ seen: ['ov', 'ov/link'], problems: ['ov/link/x: ELOOP'] });
});

test('B4 a root on another file system is in the backup of a target that stays on one', { timeout: 60_000 }, async (context) => {
  put('ov/top');
  mkdirSync(at('ov/mnt'));
  if (!mounts(at('ov/mnt'))) return context.skip();
  try {
    put('ov/mnt/far');
    put('ov/mnt/named/in');
    expect((await walked({ paths: ['ov'], oneFileSystem: true })).seen).toEqual(['ov', 'ov/mnt', 'ov/top']);
    expect((await walked({ paths: ['ov', 'ov/mnt/named'], oneFileSystem: true })).seen).toEqual(['ov', 'ov/mnt', 'ov/mnt/named', 'ov/mnt/named/in', 'ov/top']);
    expect((await walked({ paths: ['ov', 'ov/mnt'], oneFileSystem: true })).seen).toEqual(['ov', 'ov/mnt', 'ov/mnt/far', 'ov/mnt/named', 'ov/mnt/named/in', 'ov/top']);
  } finally {
    execFileSync('umount', [at('ov/mnt')]);
  }
});

test('B4 R2 the backup of roots inside roots restores', { timeout: 60_000 }, async () => {
  for (const name of ['ov/top', 'ov/cache/drop', 'ov/cache/keep/in']) put(name);
  const deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('ov'), at('ov/cache/keep')], exclude: ['**/cache/**'] } }));
  try {
    await backupHere(deps, { target: 'media', kind: 'full' });
    expect((await restoreHere(deps, { target: 'media', mode: 'beside', to: at('out') })).status).toBe('restored');
    expect(found(join(at('out'), at('ov')))).toEqual(['cache/keep/in', 'top']);
  } finally {
    await deps.stores.close();
  }
});

test('B4 a repository that a symbolic link or a bind mount leads to is not backed up into itself', { timeout: 60_000 }, async () => {
  put('ov/top');
  mkdirSync(at('ov/store'));
  symlinkSync('ov/store', at('repo'));
  mkdirSync(at('ov/bound'));
  const bound = (() => {
    try {
      execFileSync('mount', ['--bind', at('ov/store'), at('ov/bound')], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  const path = await configHere(work.path, { media: { type: 'files', paths: [at('ov')] } });
  const deps = depsOf(path);
  try {
    await backupHere(deps, { target: 'media', kind: 'full' });
    await backupHere(deps, { target: 'media', kind: 'full' });
    expect(found(at('ov/store')).length).toBeGreaterThan(0);
    await restoreHere(deps, { target: 'media', mode: 'beside', to: at('out') });
    expect(found(join(at('out'), at('ov')))).toEqual(['top']);
  } finally {
    await deps.stores.close();
    if (bound) execFileSync('umount', [at('ov/bound')]);
  }
});

test('R3 names of one file in two roots: in place they are names of one file again, or copies where the roots are on two file systems now', { timeout: 120_000 }, async () => {
  for (const name of ['a/f', 'm/b/g', 'm/b/sub/h']) put(name);
  linkSync(at('a/f'), at('m/b/f'));
  linkSync(at('a/f'), at('m/b/sub/f'));
  utimesSync(at('m/b'), 1000, 1000.5);
  const tree = (): string => describeTree(at('a')) + describeTree(at('m/b'));
  const before = tree();
  const deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('a'), at('m/b')] } }));
  const inPlace = () => restoreHere(deps, { target: 'media', mode: 'in-place' });
  const confirm = async (id: string) => {
    await finishInPlace(deps, { id, target: 'media', action: 'confirm' }, () => Promise.resolve());
  };
  try {
    await backupHere(deps, { target: 'media', kind: 'full' });
    rmSync(at('m/b/sub'), { recursive: true });
    const one = await inPlace();
    expect(one).toMatchObject({ status: 'restored', warnings: [] });
    expect(tree()).toBe(before);
    expect(statSync(at('a/f')).ino).toBe(statSync(at('m/b/f')).ino);
    await confirm(one.id);
    if (!mounts(at('m'))) return;
    const two = await inPlace();
    expect(two).toMatchObject({ status: 'restored', warnings: [expect.stringMatching(/^1 files .* are copies there: [^ ]*\/m\/b\/f"$/)] });
    expect(statSync(at('m/b/f')).ino).toBe(statSync(at('m/b/sub/f')).ino);
    expect(readFileSync(at('m/b/f'), 'utf8')).toBe('a/f');
    expect(statSync(at('m/b')).mtimeMs).toBe(1_000_500);
    await confirm(two.id);
  } finally {
    await deps.stores.close();
    execFileSync('sh', ['-c', 'umount "$1" 2>/dev/null || true', 'sh', at('m')]);
  }
});
