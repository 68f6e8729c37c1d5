import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TarIndexer } from '../../../providers/vault/tar-index.ts';
import { pathBytes, textOfBytes } from '../../../providers/vault/tar-path.ts';
import { tarEnd, tarHeader, tarPadding } from '../../../providers/vault/tar-write.ts';
import { tarOf } from './sealed-backup.ts';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-tar-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function index(tar: Uint8Array, chunkBytes = tar.length) {
  const indexer = new TarIndexer('base.tar');
  for (let at = 0; at < tar.length; at += Math.max(chunkBytes, 1)) indexer.write(tar.subarray(at, at + chunkBytes));
  indexer.end();
  return indexer.files;
}

const longName = `deep/${'directory-with-a-long-name/'.repeat(9)}file`;

describe('B10 tar index', () => {
  test.each(['gnu', 'pax', 'ustar', 'v7'])('reads what GNU tar writes as %s', (format) => {
    const root = mkdtempSync(join(scratch, 'g-'));
    const long = format === 'v7' ? 'deep/file' : format === 'ustar' ? `${'d'.repeat(90)}/${'f'.repeat(80)}` : longName;
    mkdirSync(join(root, long, '..'), { recursive: true });
    writeFileSync(join(root, long), 'long');
    writeFileSync(join(root, 'empty'), '');
    writeFileSync(join(root, 'größe "quoted"'), 'x'.repeat(1025), { mode: 0o640 });
    chmodSync(join(root, 'empty'), 0o600);
    symlinkSync('/somewhere/else', join(root, 'link'));
    linkSync(join(root, 'empty'), join(root, 'zz-hard'));
    const tar = execFileSync('tar', ['-C', root, '--sort=name', `--format=${format}`, '-cf', '-', '.']);
    const files = index(tar, 700);
    const by = new Map(files.map((file) => [file.path, file]));
    expect(by.get('.')).toMatchObject({ type: 'directory' });
    expect(by.get(long)).toMatchObject({ type: 'file', size: 4 });
    expect(by.get('empty')).toMatchObject({ type: 'file', size: 0, mode: 0o600 });
    expect(by.get('größe "quoted"')).toMatchObject({ size: 1025, mode: 0o640 });
    expect(by.get('link')).toMatchObject({ type: 'symlink', linkTarget: '/somewhere/else' });
    expect(by.get('zz-hard')).toMatchObject({ type: 'hardlink', linkTarget: 'empty' });
    for (const file of files.filter((each) => each.type === 'file'))
      expect(tar.subarray(file.offset, file.offset + file.size).equals(readFileSync(join(root, file.path)))).toBe(true);
  });

  test('our headers: GNU tar lists and extracts them, the index agrees, whatever the chunks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.stringMatching(/^[a-zäß"' \\*-]{1,140}$/), fc.uint8Array({ maxLength: 1500 })), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.integer({ min: 1, max: 2000 }),
        (list, chunk) => {
          const entries = list.map(([name, content], i) => ({
            path: `d/${String(i)}-${name}`,
            content,
            mode: 0o640,
            mtime: 1_700_000_000,
          }));
          const tar = tarOf(entries);
          const files = index(tar, chunk);
          expect(files.map(({ path, size, mode, mtime }) => ({ path, size, mode, mtime }))).toEqual(
            entries.map(({ path, content, mode, mtime }) => ({ path, size: content.length, mode, mtime })),
          );
          for (const [i, file] of files.entries())
            expect(
              tar.subarray(file.offset, file.offset + file.size).equals(entries[i]?.content ?? new Uint8Array()),
            ).toBe(true);
          const root = mkdtempSync(join(scratch, 'x-'));
          execFileSync('tar', ['-C', root, '-xf', '-'], { input: tar });
          for (const entry of entries) expect(readFileSync(join(root, entry.path)).equals(entry.content)).toBe(true);
          rmSync(root, { recursive: true });
        },
      ),
      { numRuns: 25 },
    );
  });

  test('links, directories and modes of our headers', () => {
    const tar = tarOf([
      { path: 'dir', type: 'directory' },
      { path: `dir/${'l'.repeat(120)}`, type: 'symlink', linkTarget: '/t'.repeat(80) },
      { path: 'dir/f' },
      { path: 'dir/h', type: 'hardlink', linkTarget: 'dir/f' },
    ]);
    expect(index(tar)).toMatchObject([
      { path: 'dir', type: 'directory', mode: 0o700 },
      { type: 'symlink', linkTarget: '/t'.repeat(80) },
      { path: 'dir/f', type: 'file', mode: 0o600 },
      { path: 'dir/h', type: 'hardlink', linkTarget: 'dir/f' },
    ]);
  });

  test.each([8 * 2 ** 30 - 1, 8 * 2 ** 30, 5 * 2 ** 40])('sizes of %i bytes, in pax and in base 256', (size) => {
    const indexer = new TarIndexer('big.tar');
    indexer.write(tarHeader({ path: 'big', size }));
    expect(indexer.files).toMatchObject([{ path: 'big', size }]);
    expect(() => {
      indexer.end();
    }).toThrow(/ends \d+ bytes before the end of "big"/);
    // GNU: first byte 0x80, then big endian
    const header = tarHeader({ path: 'big', size: 0 });
    header.fill(0, 124, 136);
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(size), 128);
    const again = new TarIndexer('big.tar');
    again.write(withChecksum(header));
    expect(again.files).toMatchObject([{ size }]);
  });

  test('names that are not UTF-8 survive JSON and come back as the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
        const text = JSON.parse(JSON.stringify(textOfBytes(bytes))) as string;
        const back = pathBytes(text);
        expect(Buffer.compare(typeof back === 'string' ? Buffer.from(back) : back, Buffer.from(bytes))).toBe(0);
      }),
    );
  });

  const good = tarOf([{ path: 'a', content: Buffer.from('hello') }]);
  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(), /is empty/],
    ['no end mark', good.subarray(0, 1024), /cut off/],
    ['half an end mark', good.subarray(0, 1536), /cut off/],
    ['half a header', good.subarray(0, 300), /within a header/],
    ['half a content', good.subarray(0, 515), /before the end of "a"/],
    ['text', Buffer.from('pg_basebackup: error: '.repeat(40)), /no tar header/],
    ['a flipped header bit', good.map((byte, i) => (i === 3 ? byte ^ 4 : byte)), /checksum/],
    ['data after the end', Buffer.concat([good, good]), /data follows/],
    ['..', rawEntry('../../etc/passwd'), /unsafe name/],
    ['absolute', rawEntry('/etc/passwd'), /unsafe name/],
    [
      'a symlink with content',
      withChecksum(change(tarHeader({ path: 'l', size: 5 }), (block) => void block.write('2', 156))),
      /with content/,
    ],
    [
      'a symlink to nowhere',
      withChecksum(change(tarHeader({ path: 'l', size: 0 }), (block) => void block.write('2', 156))),
      /without a target/,
    ],
    [
      'sparse',
      withChecksum(change(tarHeader({ path: 's', size: 0 }), (block) => void block.write('S', 156))),
      /sparse/,
    ],
    [
      'a huge extended header',
      withChecksum(change(tarHeader({ path: 'x', size: 2 ** 30 }), (block) => void block.write('L', 156))),
      /extended header of/,
    ],
    [
      'a bad size',
      withChecksum(change(tarHeader({ path: 'x', size: 0 }), (block) => void block.write('zzzz', 124))),
      /bad size/,
    ],
    [
      'a damaged pax record',
      Buffer.concat([
        withChecksum(change(tarHeader({ path: 'x', size: 9 }), (block) => void block.write('x', 156))),
        Buffer.from('99 path=a'),
        tarPadding(9),
        tarEnd(),
      ]),
      /damaged pax/,
    ],
  ])('refuses %s', (_, tar, why) => {
    expect(() => index(tar)).toThrow(why);
    expect(() => index(tar, 37)).toThrow(expect.objectContaining({ code: 'dumpFailed' }) as Error);
  });

  test('any bytes give an index or a clear error, never another one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (noise, prefixed) => {
        try {
          index(prefixed ? Buffer.concat([good.subarray(0, 1024), noise]) : noise);
        } catch (error) {
          expect(error).toMatchObject({ code: 'dumpFailed' });
        }
      }),
    );
  });
});

function withChecksum(block: Buffer): Buffer {
  block.write('        ', 148);
  block.write(
    `${block
      .subarray(0, 512)
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return block;
}
function change(block: Buffer, edit: (block: Buffer) => void): Buffer {
  edit(block);
  return block;
}
function rawEntry(path: string): Buffer {
  return Buffer.concat([
    withChecksum(change(tarHeader({ path: 'x'.repeat(path.length), size: 0 }), (block) => void block.write(path))),
    tarEnd(),
  ]);
}
