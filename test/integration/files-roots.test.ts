/** B4: what is named is in the backup, wherever it lies; what is ours is not, whichever way leads to it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { leavesOut } from '../../providers/files/selection.ts';
import { rootsOf, walk } from '../../providers/files/walk.ts';
import { backupHere, configHere, depsOf, restoreHere } from '../support/in-process.ts';
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
