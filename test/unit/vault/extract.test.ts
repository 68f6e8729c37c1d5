import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ExtractOptions } from '../../../domain/ports.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { crc32c } from '../../../providers/vault/crc32c.ts';
import { closeCryptoPool } from '../../../providers/vault/crypto-pool.ts';
import { openBackup } from '../../../providers/vault/open.ts';
import { sealTestBackup, tarOf, testBytes } from './sealed-backup.ts';

let scratch = '';
let destination = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-extract-'));
});
beforeEach(() => {
  destination = join(mkdtempSync(join(scratch, 't-')), 'data');
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await closeCryptoPool();
});

async function extract(
  entries: Parameters<typeof tarOf>[0],
  options: Partial<ExtractOptions> = {},
  damage?: (store: MemoryStore) => void,
  partBytes = 4096,
) {
  const store = new MemoryStore();
  const { ref, keys } = await sealTestBackup(store, [{ name: 'base.tar', kind: 'tar', bytes: tarOf(entries) }], {
    partBytes,
  });
  damage?.(store);
  const reader = await openBackup({ stores: [store], ref, credentials: { keys } });
  return reader.extract({ stream: 'base.tar', destination, ...options });
}

describe('R1 extraction', () => {
  test('R2 what a spool takes lies in it in the order of the stream, whole or cut by the ends of parts, and makes no file', async () => {
    const contents = { 'base/1/one': testBytes(10_000), 'base/1/I.a': testBytes(12), 'base/1/I.b': testBytes(9_001), 'base/1/I.c': testBytes(0), two: testBytes(3) };
    const entries = Object.entries(contents).map(([path, content]) => ({ path, content }));
    const spool = { path: `${destination}.spool`, takes: (path: string) => path.includes('/I.') };
    const { spooled, crc32c: sums, files } = await extract(entries, { spool, crc32c: true });
    expect(files).toBe(5);
    expect(Object.fromEntries(spooled ?? [])).toEqual({
      'base/1/I.a': { spool: spool.path, at: 0, bytes: 12 },
      'base/1/I.b': { spool: spool.path, at: 12, bytes: 9_001 },
      'base/1/I.c': { spool: spool.path, at: 9_013, bytes: 0 },
    });
    expect(readFileSync(spool.path)).toEqual(Buffer.concat([contents['base/1/I.a'], contents['base/1/I.b']]));
    expect(Object.fromEntries(sums ?? [])).toEqual(Object.fromEntries(Object.entries(contents).map(([path, content]) => [path, crc32c(content)])));
    expect(readdirSync(join(destination, 'base/1'))).toEqual(['one']);
    expect(readFileSync(join(destination, 'base/1/one'))).toEqual(Buffer.from(contents['base/1/one']));
    // Never through what lies there already.
    await expect(extract(entries, { destination: `${destination}2`, spool })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
  });

  test('R1 R5 checksums of what was written, of files in one part, in many and of no bytes', async () => {
    const contents = { small: testBytes(700), 'base/1/large': testBytes(50_001), empty: testBytes(0) };
    const entries = Object.entries(contents).map(([path, content]) => ({ path, content }));
    const map = (file: { path: string }): string => `in/${file.path}`;
    const { crc32c: sums } = await extract(entries, { crc32c: true, map });
    const expected = Object.entries(contents).map(([path, content]) => [`in/${path}`, crc32c(content)]);
    expect(Object.fromEntries(sums ?? [])).toEqual(Object.fromEntries(expected));
  });

  test('files of all sizes, directories, links, modes', async () => {
    const entries = [
      { path: 'PG_VERSION', content: Buffer.from('18\n'), mode: 0o640 },
      { path: 'base', type: 'directory' as const, mode: 0o750 },
      { path: 'base/1', type: 'directory' as const, mode: 0o500 },
      { path: 'base/1/large', content: testBytes(50_000) },
      { path: 'base/1/empty' },
      { path: 'base/1/odd name "\n\t\u{1F418}', content: Buffer.from('x') },
      { path: 'not/announced/file', content: testBytes(4096) },
      { path: 'hard', type: 'hardlink' as const, linkTarget: 'base/1/large' },
      { path: 'pg_tblspc/16400', type: 'symlink' as const, linkTarget: '/mnt/space' },
    ];
    let seen = 0;
    const result = await extract(entries, {
      onProgress: (bytes) => {
        seen += bytes;
      },
    });
    expect(result).toEqual({ files: 5, bytes: seen });
    expect(readFileSync(join(destination, 'base/1/large')).equals(testBytes(50_000))).toBe(true);
    expect(readFileSync(join(destination, 'base/1/empty'))).toHaveLength(0);
    expect(readFileSync(join(destination, 'base/1/odd name "\n\t\u{1F418}'), 'utf8')).toBe('x');
    expect(statSync(join(destination, 'hard')).ino).toBe(statSync(join(destination, 'base/1/large')).ino);
    expect(readlinkSync(join(destination, 'pg_tblspc/16400'))).toBe('/mnt/space');
    const mode = (path: string): number => lstatSync(join(destination, path)).mode & 0o7777;
    expect([mode('PG_VERSION'), mode('base'), mode('base/1'), mode('base/1/large'), mode('.'), mode('not')]).toEqual([
      0o640, 0o750, 0o500, 0o600, 0o700, 0o700,
    ]);
  });

  test('a map renames, and leaves out without reading what is left out', async () => {
    const entries = [
      { path: 'a', content: testBytes(9000) },
      { path: 'b', content: testBytes(20_000, 'b') },
      { path: 'c', content: testBytes(9000, 'c') },
    ];
    const result = await extract(
      entries,
      { map: (file) => (file.path === 'c' ? 'sub/renamed' : undefined) },
      (store) => {
        for (const key of store.objects.keys()) if (/00000[12345]$/.test(key)) store.objects.delete(key);
      },
    );
    expect(result).toEqual({ files: 1, bytes: 9000 });
    expect(readFileSync(join(destination, 'sub/renamed')).equals(testBytes(9000, 'c'))).toBe(true);
    expect(existsSync(join(destination, 'a'))).toBe(false);
  });

  test('never outside the destination', async () => {
    const outside = join(scratch, 'outside');
    mkdirSync(outside, { recursive: true });
    for (const to of ['../x', '/etc/x', 'a/../../x', '', '.'])
      await expect(extract([{ path: 'a', content: Buffer.from('x') }], { map: () => to })).rejects.toMatchObject({
        code: 'unsafePath',
      });
    // A symbolic link in the archive, then a file through it.
    await expect(
      extract([
        { path: 'way', type: 'symlink', linkTarget: outside },
        { path: 'way/out', content: Buffer.from('x') },
      ]),
    ).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    rmSync(destination, { recursive: true });
    // One that was there before.
    mkdirSync(destination);
    symlinkSync(outside, join(destination, 'way'));
    await expect(extract([{ path: 'way/out', content: Buffer.from('x') }])).rejects.toMatchObject({
      code: 'unsafePath',
    });
    symlinkSync(join(outside, 'new'), join(destination, 'file'));
    await expect(extract([{ path: 'file', content: Buffer.from('x') }])).rejects.toMatchObject({
      code: 'destinationNotEmpty',
    });
    await expect(extract([{ path: 'h', type: 'hardlink', linkTarget: '/etc/passwd' }])).rejects.toMatchObject({
      code: 'unsafePath',
    });
    expect(existsSync(join(outside, 'out'))).toBe(false);
    expect(existsSync(join(outside, 'new'))).toBe(false);
    await expect(extract([{ path: 'a' }], { destination: 'relative' })).rejects.toMatchObject({ code: 'unsafePath' });
  });

  test('what is there already is never overwritten, not even through a hard link', async () => {
    mkdirSync(destination);
    writeFileSync(join(destination, 'mine'), 'mine');
    linkSync(join(destination, 'mine'), join(destination, 'a'));
    for (const content of [Buffer.from('x'), testBytes(20_000), Buffer.alloc(0)])
      await expect(extract([{ path: 'a', content }])).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    expect(readFileSync(join(destination, 'mine'), 'utf8')).toBe('mine');
  });

  test('a damaged part ends it with the name of the part', async () => {
    await expect(
      extract([{ path: 'a', content: testBytes(20_000) }], {}, (store) => {
        damagePart(store, 2);
      }),
    ).rejects.toMatchObject({ code: 'partCorrupt', message: expect.stringContaining('part 2 ') as string });
  });

  test('on the crypto threads: large parts, and errors of the file system keep their meaning', async () => {
    const content = testBytes(900_000);
    const entries = [
      { path: 'first', content: testBytes(300_000) },
      { path: 'second', content },
    ];
    await extract(entries, {}, undefined, 512 * 1024);
    expect(readFileSync(join(destination, 'second')).equals(content)).toBe(true);
    await expect(extract([{ path: 'first', content }], {}, undefined, 2 ** 20)).rejects.toMatchObject({
      code: 'destinationNotEmpty',
    });
    await expect(
      extract(
        [{ path: 'third', content }],
        {},
        (store) => {
          damagePart(store, 2);
        },
        512 * 1024,
      ),
    ).rejects.toMatchObject({ code: 'partCorrupt' });
  });

  test('cancelled', async () => {
    await expect(
      extract([{ path: 'a', content: testBytes(20_000) }], { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'cancelled' });
  });
});

function damagePart(store: MemoryStore, n: number): void {
  const [, object] = [...store.objects].find(([key]) => key.endsWith(`-00000${String(n)}`)) ?? [];
  if (object !== undefined) object.body[5] = (object.body[5] ?? 0) ^ 1;
}
