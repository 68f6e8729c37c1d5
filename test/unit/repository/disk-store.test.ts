import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { diskError } from '../../../providers/repository/disk-errors.ts';
import { DiskStore } from '../../../providers/repository/disk-store.ts';
import { openStore, openStoreUrl } from '../../../providers/repository/open-store.ts';
import { initRepository, openRepository } from '../../../providers/repository/repository-file.ts';
import { tempDir, type TempDir } from '../../support/temp.ts';

const collect = async (store: DiskStore, prefix = ''): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
};

describe('B8 disk repository', () => {
  let directory: TempDir;
  let root: string;
  let store: DiskStore;
  beforeEach(() => {
    directory = tempDir('disk');
    root = join(directory.path, 'repository');
    store = new DiskStore({ name: 'local', path: root });
  });
  afterEach(async () => {
    await directory.stop();
  });

  test('objects are 0600, directories 0700, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      await store.put('a/b/c', Buffer.of(1));
    } finally {
      process.umask(umask);
    }
    const mode = async (path: string) => (await stat(path)).mode & 0o7777;
    expect([
      await mode(root),
      await mode(join(root, 'a')),
      await mode(join(root, 'a/b')),
      await mode(join(root, 'a/b/c')),
    ]).toEqual([0o700, 0o700, 0o700, 0o600]);
  });

  test('a directory that was there keeps its mode', async () => {
    await mkdir(root, { mode: 0o750 });
    await chmod(root, 0o750);
    await store.put('a', Buffer.of(1));
    expect((await stat(root)).mode & 0o777).toBe(0o750);
  });

  test('links below the root are not followed, those above it are', async () => {
    const outside = join(directory.path, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    await store.put('a/b', Buffer.of(1));
    await symlink(outside, join(root, 'link'));
    await symlink(join(outside, 'secret'), join(root, 'a', 'object'));
    const unsafe = { code: 'unsafePath' };
    await expect(store.put('link/x', Buffer.of(1))).rejects.toMatchObject(unsafe);
    await expect(store.get('link/secret')).rejects.toMatchObject(unsafe);
    await expect(store.head('link/secret')).rejects.toMatchObject(unsafe);
    await expect(store.delete(['link/secret'])).rejects.toMatchObject(unsafe);
    await expect(collect(store, 'link/')).rejects.toMatchObject(unsafe);
    await expect(store.get('a/object')).rejects.toMatchObject(unsafe);
    expect(await store.head('a/object')).toBeUndefined();
    expect(await collect(store)).toEqual(['a/b']);
    expect(await store.listDirectories('')).toEqual(['a']);
    // Putting replaces the link itself, never what it points to.
    await store.put('a/object', Buffer.from('new'));
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret');
    expect(await readdir(outside)).toEqual(['secret']);
    await symlink(root, join(directory.path, 'mount'));
    expect(await collect(new DiskStore({ name: 'mount', path: join(directory.path, 'mount') }))).toEqual([
      'a/b',
      'a/object',
    ]);
  });

  test('what strangers put there is passed over: pipes, control characters, names that are not UTF-8', async () => {
    await store.put('a/good', Buffer.of(1));
    expect(spawnSync('mkfifo', [join(root, 'a', 'pipe')]).status).toBe(0);
    await writeFile(join(root, 'a', 'new\nline'), 'x');
    await writeFile(Buffer.concat([Buffer.from(join(root, 'a', 'bytes-')), Buffer.of(0xff, 0xfe)]), 'x');
    await mkdir(join(root, 'bad\ndir'));
    expect(await collect(store)).toEqual(['a/good']);
    expect(await store.listDirectories('')).toEqual(['a']);
    await expect(store.get('a/pipe')).rejects.toMatchObject({ code: 'objectMissing' });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'objectMissing' });
    await expect(store.put('a', Buffer.of(1))).rejects.toMatchObject({ code: 'unsafePath' });
    await expect(store.put('a/good/below', Buffer.of(1))).rejects.toMatchObject({ code: 'unsafePath' });
    await expect(store.put(`x/${'y'.repeat(300)}`, Buffer.of(1))).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(store.put('a/.tmp-mine', Buffer.of(1))).rejects.toMatchObject({ code: 'unsafePath' });
  });

  test('unfinished objects are not listed, keep no directory name and are swept by age', async () => {
    await store.put('a/b/one', Buffer.of(1));
    const left = join(root, 'a', 'b', '.tmp-left');
    await writeFile(left, 'half');
    expect(await collect(store)).toEqual(['a/b/one']);
    expect(await store.sweepTemporary(60_000)).toBe(0);
    await utimes(left, new Date(0), new Date(0));
    expect(await store.sweepTemporary(60_000)).toBe(1);
    expect(await readdir(join(root, 'a', 'b'))).toEqual(['one']);
    expect(await new DiskStore({ name: 'none', path: join(directory.path, 'none') }).sweepTemporary(0)).toBe(0);
  });

  test('an unmounted disk is unreachable and its mount point stays empty', async () => {
    const info = await initRepository(store);
    await store.put('a/b', Buffer.of(1));
    await rename(root, `${root}.away`);
    await mkdir(root);
    const gone = { code: 'repositoryUnreachable' };
    await expect(store.put('a/c', Buffer.of(1))).rejects.toMatchObject(gone);
    await expect(store.get('a/b')).rejects.toMatchObject(gone);
    await expect(store.head('a/b')).rejects.toMatchObject(gone);
    await expect(store.delete(['a/b'])).rejects.toMatchObject(gone);
    await expect(store.listDirectories('')).rejects.toMatchObject(gone);
    await expect(collect(store)).rejects.toMatchObject(gone);
    await expect(openRepository(store)).rejects.toMatchObject(gone);
    expect(await readdir(root)).toEqual([]);
    await rm(root, { recursive: true });
    await rename(`${root}.away`, root);
    expect(await openRepository(store)).toEqual(info);
    await store.put('a/c', Buffer.of(1));
    expect(await collect(store, 'a/')).toEqual(['a/b', 'a/c']);
    const strict = new DiskStore({ name: 'strict', path: join(directory.path, 'elsewhere'), marker: 'required' });
    await expect(strict.put('a', Buffer.of(1))).rejects.toMatchObject(gone);
    await initRepository(strict);
    await strict.put('a', Buffer.of(1));
  });

  test.skipIf(process.getuid?.() !== 0)(
    'a full disk is repositoryFull, a read-only one repositoryDenied; old objects and no rubbish stay',
    async () => {
      await mkdir(root);
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', root]).status).toBe(0);
      try {
        await initRepository(store);
        const old = Buffer.alloc(500_000, 1);
        await store.put('a/object', old);
        await expect(store.put('a/object', Buffer.alloc(3_000_000, 2))).rejects.toMatchObject({
          code: 'repositoryFull',
          details: { errno: 'ENOSPC' },
        });
        await expect(store.put('b/new', Buffer.alloc(3_000_000, 2))).rejects.toMatchObject({ code: 'repositoryFull' });
        expect((await store.get('a/object')).equals(old)).toBe(true);
        expect(await collect(store)).toEqual(['a/object', 'repository.json']);
        expect(await readdir(join(root, 'a'))).toEqual(['object']);
        expect(await store.freeBytes()).toBeGreaterThan(1_000_000);
        await store.delete(['a/object']);
        expect(spawnSync('mount', ['-o', 'remount,ro', root]).status).toBe(0);
        await expect(store.put('c', Buffer.of(1))).rejects.toMatchObject({ code: 'repositoryDenied' });
        await expect(store.delete(['repository.json'])).rejects.toMatchObject({ code: 'repositoryDenied' });
      } finally {
        spawnSync('umount', [root]);
      }
    },
  );

  test('a writer killed at any moment leaves whole objects only', async () => {
    const script = `import { DiskStore } from ${JSON.stringify(new URL('../../../providers/repository/disk-store.ts', import.meta.url).href)};
      const store = new DiskStore({ name: 'x', path: process.argv[1] });
      process.stdout.write('go');
      for (let n = 0; ; n++) await Promise.all([0, 1, 2].map((i) => store.put('o/' + String((n + i) % 5), Buffer.alloc(400_000 + n % 7, n))));`;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ['--experimental-strip-types', '--input-type=module', '-e', script, root], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, 5 + round * 17));
      child.kill('SIGKILL');
      await ended;
      for (const key of await collect(store)) {
        const body = await store.get(key);
        expect(body.length).toBeGreaterThanOrEqual(400_000);
        expect(body.every((byte) => byte === body[0])).toBe(true);
      }
    }
    expect(await collect(store)).not.toEqual([]);
    await store.sweepTemporary(-60_000);
    expect((await readdir(join(root, 'o'))).filter((name) => name.startsWith('.tmp-'))).toEqual([]);
  });

  test('an address of a directory opens it; others are refused with the reason', async () => {
    await store.put('a', Buffer.of(7));
    for (const address of [root, `file://${root}`]) {
      const opened = await openStoreUrl(address);
      expect([...(await opened.get('a'))]).toEqual([7]);
    }
    for (const address of [
      'relative/path',
      'ftp://host/x',
      's3://',
      's3://key:secret@bucket/x',
      's3://bucket/x?secret=1',
      '',
    ])
      await expect(openStoreUrl(address), address).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(openStore('x', { type: 'disk', path: 'relative' })).rejects.toMatchObject({ code: 'configInvalid' });
    await expect(openStore('x', { type: 's3', bucket: 'b', accessKeyId: 'only' })).rejects.toMatchObject({
      code: 'configInvalid',
    });
  });

  test('a rate limit is kept over all callers', async () => {
    const slow = await openStore('slow', { type: 'disk', path: root, maxRate: 1_000_000 });
    const start = performance.now();
    await Promise.all([
      slow.put('a', Buffer.alloc(50_000)),
      slow.put('b', Buffer.alloc(50_000)),
      slow.put('c', Buffer.alloc(100_000)),
    ]);
    expect(performance.now() - start).toBeGreaterThanOrEqual(195);
  });

  test('errors of the file system have their codes', async () => {
    const code = (errno: string): string => diskError(Object.assign(new Error(errno), { code: errno }), 'x').code;
    expect(['ENOSPC', 'EDQUOT'].map(code)).toEqual(['repositoryFull', 'repositoryFull']);
    expect(['EACCES', 'EPERM', 'EROFS'].map(code)).toEqual(Array(3).fill('repositoryDenied'));
    expect(['EIO', 'ESTALE', 'ENOTCONN', 'ENODEV', 'EMFILE'].map(code)).toEqual(Array(5).fill('repositoryUnreachable'));
    expect(diskError(new TypeError('x is not a function'), 'y').code).toBe('bug');
    await writeFile(join(directory.path, 'file'), '');
    await expect(
      new DiskStore({ name: 'x', path: join(directory.path, 'file', 'below') }).put('a', Buffer.of(1)),
    ).rejects.toMatchObject({ code: 'unsafePath' });
    expect((await lstat(join(directory.path, 'file'))).isFile()).toBe(true);
  });
});
