/** B4: what tar says is filed under the file it is about, and what it writes is taken apart in one go. */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { dumpFiles } from '../../providers/files/dump.ts';
import { misfits, readListing } from '../../providers/files/listing.ts';
import { packFiles } from '../../providers/files/pack.ts';
import { TarMembers } from '../../providers/files/tar-members.ts';
import { pathBytes, textOfBytes } from '../../providers/vault/tar-path.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let work: TempDir;
const at = (...names: string[]): string => join(work.path, ...names);
const signal = new AbortController().signal;

beforeEach(() => {
  work = tempDir('tar');
});
afterEach(async () => {
  await work.stop();
});

function pack(paths: readonly string[]): Promise<Map<string, string>> {
  writeFileSync(at('list'), Buffer.concat(paths.flatMap((path) => [Buffer.from(pathBytes(path)), Buffer.of(0)])));
  return packFiles({ list: at('list'), stream: 's', sink: { write: () => undefined, end: () => Promise.resolve() }, onMember: () => undefined, onBytes: () => undefined, signal });
}

test('B4 a message of the real tar is about the file it names, whatever the name', { timeout: 60_000 }, async () => {
  mkdirSync(at('d'));
  writeFileSync(at('d', 'well'), 'x');
  const odd = ['big: file', 'a: Read error at byte 0: b', 'q"u\\o\'te', 'new\nline: x\t\r\x07', '??/tri', 'Warning: x', 'ü 😀: y', '\\n', '\\072', ' lead', textOfBytes(Buffer.from('ff3a2080', 'hex'))];
  const missing = odd.map((name) => `${at('d').slice(1)}/${name}`);
  const said = await pack([...missing, at('d', 'well').slice(1)]);
  expect([...said]).toEqual(missing.map((path) => [path, 'Cannot stat: No such file or directory']));
});

test('B4 a tar that fails and says something that is about no file fails the backup', { timeout: 60_000 }, async () => {
  const real = execFileSync('sh', ['-c', 'command -v tar'], { encoding: 'utf8' }).trim();
  mkdirSync(at('bin'));
  writeFileSync(at('bin', 'tar'), `#!/bin/sh\n'${real}' "$@"\necho 'tar: "some/file": Cannot stat: No such file or directory' >&2\necho 'tar: Something is wrong with everything' >&2\nexit 2\n`, { mode: 0o755 });
  writeFileSync(at('f'), 'x');
  const path = process.env['PATH'];
  process.env['PATH'] = `${at('bin')}:${path ?? ''}`;
  try {
    await expect(pack([at('f').slice(1)])).rejects.toMatchObject({ code: 'dumpFailed', message: expect.stringContaining('Something is wrong with everything') as string });
  } finally {
    process.env['PATH'] = path;
  }
});

test('B4 the map of a sparse file is read in time that grows with its length, whatever the blocks', { timeout: 120_000 }, () => {
  const count = 400_000;
  const map = Buffer.from(`${String(count)}\n${Array.from({ length: count }, (_, i) => `${String(i * 8192 + 1_000_000_000)}\n1\n`).join('')}`);
  const records = ['GNU.sparse.major=1', 'GNU.sparse.minor=0', 'GNU.sparse.name=f', 'GNU.sparse.realsize=9999999999'].map((text) => `${String(text.length + 4)} ${text}\n`).join('');
  const blocks = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
  const header = (type: string, size: number): Buffer => {
    const block = Buffer.alloc(512);
    for (const [text, offset] of [['f', 0], ['0000644\0', 100], ['0000000\0', 108], ['0000000\0', 116], [`${size.toString(8).padStart(11, '0')}\0`, 124], ['00000000000\0', 136], ['        ', 148], [type, 156], ['ustar\x0000', 257]] as const) block.write(text, offset, 'latin1');
    block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return block;
  };
  const archive = Buffer.concat([header('x', records.length), blocks(Buffer.from(records)), header('0', blocks(map).length + count), blocks(map), blocks(Buffer.alloc(count, 'x')), Buffer.alloc(1024)]);
  let extents = 0;
  let longest = 0;
  const members = new TarMembers('s', { begin: () => false, end: (_, content) => void (extents = content.extents?.length ?? 0) }, { digest: true });
  for (let i = 0; i < archive.length; i += 65_536) {
    const startedAt = performance.now();
    members.write(archive.subarray(i, i + 65_536));
    longest = Math.max(longest, performance.now() - startedAt);
  }
  members.end();
  expect(extents).toBe(count);
  // It was 19 seconds; whatever else the machine does, it is none of them.
  expect(longest).toBeLessThan(3000);
});

test('B4 a file of many extents as the real tar packs it', { timeout: 60_000 }, async () => {
  const fd = openSync(at('holes'), 'w');
  for (let i = 0; i < 3000; i++) writeSync(fd, 'x', i * 65_536);
  ftruncateSync(fd, 3000 * 65_536);
  closeSync(fd);
  expect(await pack([at('holes').slice(1)])).toEqual(new Map());
});

test('B4 a read error of a file that got its second name while the tree was walked: neither name is in the backup, both are told', { timeout: 60_000 }, async () => {
  const real = execFileSync('sh', ['-c', 'command -v tar'], { encoding: 'utf8' }).trim();
  for (const name of ['bin', 'src', 'src/a', 'src/z']) mkdirSync(at(name));
  for (let i = 0; i < 600; i++) writeFileSync(at('src', 'a', `f${String(i).padStart(3, '0')}`), String(i));
  const first = at('src', 'a', 'f000');
  writeFileSync(at('bin', 'tar'), `#!/bin/sh\n'${real}' "$@"\necho 'tar: "${first.slice(1)}": Read error at byte 0, while reading 1 bytes: Input/output error' >&2\nexit 2\n`, { mode: 0o755 });
  const path = process.env['PATH'];
  process.env['PATH'] = `${at('bin')}:${path ?? ''}`;
  let isLinked = false;
  try {
    const { listing, warnings, facts } = await dumpFiles({
      selection: { paths: [at('src')], exclude: [], include: [], never: [] }, oneFileSystem: false, link: 0, staging: at('staging'), signal,
      onProgress: ({ phase }) => {
        if (phase === 'look at files' && !isLinked) linkSync(first, at('src', 'z', 'late'));
        isLinked = true;
      },
      writer: { sourceBytes: 0, storedBytes: 0, openStream: () => ({ write: () => undefined, end: () => Promise.resolve() }) },
    });
    const entries = [...readListing(listing)];
    expect([...misfits(entries)]).toEqual([]);
    expect(entries.filter(({ path: name }) => /late|f000/.test(name))).toEqual([]);
    expect(facts.unread).toBe(2);
    expect(warnings.join()).toMatch(/f000" \(Read error.*late" \(it is another name of/);
  } finally {
    process.env['PATH'] = path;
  }
});
