/** B4: files that change, vanish or cannot be read while they are backed up, and backups that want to write where they should not. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackupReader } from '../../domain/ports.ts';
import { dumpFiles } from '../../providers/files/dump.ts';
import { lineOf, ListingWriter, misfits, readListing, type Entry } from '../../providers/files/listing.ts';
import { restoreFiles } from '../../providers/files/restore.ts';
import { verifyFiles } from '../../providers/files/verify.ts';
import { tarEnd, tarHeader, tarPadding } from '../../providers/vault/tar-write.ts';
import { adversarialTree, describeTree } from '../support/tree.ts';
import { tempDir, type TempDir } from '../support/temp.ts';
import { toolsEnv } from '../support/tools-env.ts';
import { checkout } from '../support/index.ts';

let work: TempDir;
const at = (...names: string[]): string => join(work.path, ...names);
const signal = new AbortController().signal;
const quiet = (): void => undefined;

beforeEach(() => {
  work = tempDir('hostile');
  mkdirSync(at('source'));
});
afterEach(async () => {
  await work.stop();
});

/** A dump into memory, and what reads it back. */
async function dumped(options: { onStream?: (name: string) => void; onChunk?: () => void; onProgress?: (phase: string) => void } = {}) {
  const streams = new Map<string, Buffer[]>();
  const dump = await dumpFiles({
    selection: { paths: [at('source')], exclude: [], include: [], never: [] }, oneFileSystem: false, link: 0, staging: at('staging'), signal, onProgress: ({ phase }) => options.onProgress?.(phase),
    writer: {
      sourceBytes: 0, storedBytes: 0,
      openStream: (name) => {
        const chunks: Buffer[] = [];
        streams.set(name, chunks);
        options.onStream?.(name);
        return { write: (chunk) => { chunks.push(Buffer.from(chunk)); options.onChunk?.(); return undefined; }, end: () => Promise.resolve() };
      },
    },
  });
  return { dump, reader: readerOf(dump.listing, streams) };
}

function readerOf(listing: string, streams: ReadonlyMap<string, readonly Buffer[]>): BackupReader {
  return {
    index: { backup: 'hostile', engineManifest: listing },
    async *stream(name: string) {
      yield* streams.get(name) ?? [];
      await Promise.resolve();
    },
  } as unknown as BackupReader;
}

const place = () => [{ path: '', directory: at('out'), strip: 0 }];

describe('B4 a tree that does not hold still', () => {
  test('a file that changes while it is read is read again; one that never stops is in the backup, marked and named', { timeout: 120_000 }, async () => {
    writeFileSync(at('source', 'once'), Buffer.alloc(8 * 1024 * 1024, 'a'));
    writeFileSync(at('source', 'still'), 'still');
    writeFileSync(at('source', 'always'), 'always');
    let rounds = 0;
    let touched = false;
    const { dump, reader } = await dumped({
      onStream: (name) => {
        if (name.endsWith('.tar')) rounds++;
        writeFileSync(at('source', 'always'), `always ${String(rounds)}`);
      },
      onChunk: () => {
        if (!touched) writeFileSync(at('source', 'once'), Buffer.alloc(8 * 1024 * 1024, 'b'));
        touched = true;
      },
    });
    expect(rounds).toBe(4);
    expect(dump.warnings).toEqual([expect.stringMatching(/^1 changed each time they were read.*source\/always"$/)]);
    const entries = [...readListing(dump.listing)];
    expect(entries.filter(({ torn }) => torn).map(({ path }) => path.split('/').at(-1))).toEqual(['always']);
    await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
    await verifyFiles({ listing: dump.listing, places: place(), only: [], signal, onProgress: quiet });
    expect(describeTree(join(at('out'), at('source', 'once')))).toBe(describeTree(at('source', 'once')));
  });

  test('a second name that a file gets while the tree is walked', { timeout: 120_000 }, async () => {
    mkdirSync(at('source', 'a'));
    mkdirSync(at('source', 'z'));
    for (let i = 0; i < 600; i++) writeFileSync(at('source', 'a', `f${String(i).padStart(3, '0')}`), String(i));
    let made = false;
    const { dump, reader } = await dumped({
      onProgress: (phase) => {
        if (phase === 'look at files' && !made) linkSync(at('source', 'a', 'f000'), at('source', 'z', 'late'));
        made = true;
      },
    });
    await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
    await verifyFiles({ listing: dump.listing, places: place(), only: [], signal, onProgress: quiet });
    expect(describeTree(join(at('out'), at('source')), { times: false })).toBe(describeTree(at('source'), { times: false }));
    expect(dump.warnings).toEqual([]);
  });

  test('a path that is a file and a link by turns is marked, and holds nothing else up', { timeout: 120_000 }, async () => {
    writeFileSync(at('source', 'calm'), 'calm');
    writeFileSync(at('source', 'flip'), 'file');
    let rounds = 0;
    const { dump, reader } = await dumped({
      onStream: (name) => {
        if (!name.endsWith('.tar')) return;
        rounds++;
        rmSync(at('source', 'flip'));
        if (rounds % 2 === 1) symlinkSync('elsewhere', at('source', 'flip'));
        else writeFileSync(at('source', 'flip'), 'file');
      },
    });
    expect(rounds).toBeGreaterThan(1);
    await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
    expect(readdirSync(join(at('out'), at('source')))).toContain('calm');
    expect([...readListing(dump.listing)].find(({ path }) => path.endsWith('calm'))?.torn).toBeUndefined();
  });

  test('a read error of a file whose name looks like a message, and of one with two names: told, in no backup, and the rest restores', { timeout: 120_000 }, async () => {
    // A disk that cannot be read is hard to have; what tar says of it is not.
    const real = execFileSync('sh', ['-c', 'command -v tar'], { encoding: 'utf8' }).trim();
    mkdirSync(at('bin'));
    writeFileSync(at('bin', 'tar'), `#!/bin/sh\n'${real}' "$@"; code=$?\ncase " $* " in *" --create "*) grep -qz 'big: file' "$(printf '%s\\n' "$@" | sed -n 's/^--files-from=//p')" && printf '%s\\n' 'tar: "${at('source', 'big\\: file').slice(1)}": Read error at byte 0, while reading 4096 bytes: Input/output error' 'tar: "${at('source', 'one').slice(1)}": Read error at byte 0, while reading 3 bytes: Input/output error' 'tar: Exiting with failure status due to previous errors' >&2 && code=2;; esac\nexit $code\n`, { mode: 0o755 });
    writeFileSync(at('source', 'big: file'), 'big');
    writeFileSync(at('source', 'one'), 'one');
    linkSync(at('source', 'one'), at('source', 'two'));
    writeFileSync(at('source', 'well'), 'well');
    const path = process.env['PATH'];
    process.env['PATH'] = `${at('bin')}:${path ?? ''}`;
    try {
      const { dump, reader } = await dumped();
      expect(dump.facts.unread).toBe(3);
      expect(dump.warnings.join()).toMatch(/big: file.*Read error/);
      process.env['PATH'] = path;
      await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
      expect(readdirSync(join(at('out'), at('source')))).toEqual(['well']);
    } finally {
      process.env['PATH'] = path;
    }
  });

  test('what is left of a list that does not fit together', () => {
    const odd = [
      entry('a', { type: 'd' }), entry('a/one', { links: 2 }), entry('b', { type: 'l', target: 'a' }), entry('b/in', {}), entry('b/more', {}), entry('c', { hardlink: 'gone', links: 2 }),
      entry('d', { hardlink: 'a/one', links: 2, stream: 2 }), entry('e', { hardlink: 'a/one', links: 2 }),
    ];
    expect([...misfits(odd)].map(({ path, leader }) => [path, leader])).toEqual([['b/in', undefined], ['b/more', undefined], ['c', undefined], ['d', 'a/one']]);
  });

  test('what vanishes is named and missing; the rest is whole', { timeout: 120_000 }, async () => {
    for (let i = 0; i < 20; i++) writeFileSync(at('source', `f${String(i)}`), 'x');
    const { dump, reader } = await dumped({ onStream: (name) => { if (name === 'files-1.tar') for (const gone of ['f3', 'f7']) rmSync(at('source', gone)); } });
    expect(dump.warnings).toEqual([expect.stringMatching(/^2 vanished while the backup was taken: .*f3", .*f7"$/)]);
    await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
    expect(readdirSync(join(at('out'), at('source')))).toHaveLength(18);
  });

  test.skipIf(process.getuid?.() !== 0)('what may not be read is named and not in the backup, files and directories', { timeout: 120_000 }, async () => {
    for (const name of ['open', 'secret\n']) writeFileSync(at('source', name), name);
    mkdirSync(at('source', 'closed'));
    writeFileSync(at('source', 'closed', 'in'), 'x');
    chmodSync(at('source', 'secret\n'), 0o600);
    chmodSync(at('source', 'closed'), 0o700);
    mkdirSync(at('theirs'), { mode: 0o777 });
    chownSync(at('theirs'), 65534, 65534);
    chmodSync(work.path, 0o755);
    const script = `
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const { dumpFiles } = await import(${JSON.stringify(join(checkout, 'providers/files/dump.ts'))});
      const sink = { write: () => undefined, end: () => Promise.resolve() };
      const dump = await dumpFiles({ selection: { paths: [${JSON.stringify(at('source'))}], exclude: [], include: [], never: [] }, oneFileSystem: false, link: 0,
        staging: ${JSON.stringify(at('theirs', 'staging'))}, signal: new AbortController().signal, onProgress: () => {}, writer: { sourceBytes: 0, storedBytes: 0, openStream: () => sink } });
      console.log(JSON.stringify({ warnings: dump.warnings, facts: dump.facts }));`;
    const child = spawn(toolsEnv().node, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    for await (const chunk of child.stdout) out += String(chunk);
    const told = JSON.parse(out) as { warnings: string[]; facts: { unread: number; files: number; entries: number } };
    expect(told.facts).toMatchObject({ unread: 2, files: 1, entries: 2 });
    expect(told.warnings).toEqual([expect.stringMatching(/^2 could not be read and are not in the backup: .*EACCES/)]);
    expect(told.warnings[0]).toContain('secret\\n');
    expect(told.warnings[0]).toContain('closed');
  });
});

const entry = (path: string, more: Partial<Entry> = {}): Entry => ({ path, type: 'f', mode: 0o644, uid: 0, gid: 0, size: 0, mtime: '0', ctime: '0', ino: '1', links: 1, link: 0, stream: 1, ...more });

function forged(entries: readonly Entry[], members: readonly { path: string; type?: 'file' | 'directory' | 'symlink' | 'hardlink'; linkTarget?: string; body?: string }[]): BackupReader {
  const listing = new ListingWriter();
  for (const each of entries) listing.add(lineOf(each));
  const chunks = members.flatMap(({ path, type = 'file', linkTarget, body = '' }) => [
    Buffer.from(tarHeader({ path, type, mode: 0o644, mtime: 0, size: body.length, ...(linkTarget === undefined ? {} : { linkTarget }) })),
    Buffer.from(body), Buffer.from(tarPadding(body.length)),
  ]);
  return readerOf(listing.finish(), new Map([['files-1.tar', [...chunks, Buffer.from(tarEnd())]]]));
}

describe('B4 B9 a hostile backup writes nothing outside its destination', () => {
  const cases: Record<string, BackupReader> = {
    'a name that climbs': forged([entry('../escape')], [{ path: '../escape', body: 'x' }]),
    'a name that climbs inside': forged([entry('a', { type: 'd' }), entry('a/../../escape')], []),
    'an absolute name': forged([entry('/tmp/escape')], []),
    'a write through a symbolic link': forged([entry('link', { type: 'l', target: '..' }), entry('link/escape', { size: 1 })], [{ path: 'link', type: 'symlink', linkTarget: '..' }, { path: 'link/escape', body: 'x' }]),
    'a link in the stream where the list has a directory': forged([entry('link', { type: 'd' }), entry('link/escape', { size: 1 })], [{ path: 'link', type: 'symlink', linkTarget: '..' }, { path: 'link/escape', body: 'x' }]),
    'a hard link to what was there before': forged([entry('hard', { hardlink: '../outside', links: 2 })], [{ path: 'hard', type: 'hardlink', linkTarget: '../outside' }]),
    'a hard link in the stream that the list does not have': forged([entry('hard', { size: 0 })], [{ path: 'hard', type: 'hardlink', linkTarget: 'other' }]),
    'one name twice': forged([entry('a', { type: 'l', target: '..' }), entry('a', { type: 'd' })], []),
    'a member of another size': forged([entry('a', { size: 1 })], [{ path: 'a', body: 'xx' }]),
    'a list that names what the stream lacks': forged([entry('a'), entry('b')], [{ path: 'a' }]),
    'a place in no backup of the chain': forged([entry('a', { link: 3 })], []),
  };
  for (const [name, reader] of Object.entries(cases)) {
    test(name, { timeout: 60_000 }, async () => {
      writeFileSync(at('outside'), 'outside');
      const before = describeTree(work.path, { times: false });
      await expect(restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet })).rejects.toMatchObject({ code: expect.stringMatching(/^(contentMismatch|dumpFailed)$/) });
      rmSync(at('out'), { recursive: true, force: true });
      expect(describeTree(work.path, { times: false })).toBe(before);
    });
  }

  test('a member that the list does not name is not written', { timeout: 60_000 }, async () => {
    const reader = forged([entry('a', { size: 1 })], [{ path: 'evil', type: 'symlink', linkTarget: '/' }, { path: 'a', body: 'x' }, { path: 'evil/etc', body: 'x' }]);
    await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
    expect(readdirSync(at('out'))).toEqual(['a']);
  });
});

test('B4 the comparison after a restore finds what is not as it was', { timeout: 120_000 }, async () => {
  adversarialTree(at('source'));
  const { dump, reader } = await dumped();
  await restoreFiles({ chain: [reader], places: place(), only: [], signal, onProgress: quiet });
  const root = join(at('out'), at('source'));
  const verify = () => verifyFiles({ listing: dump.listing, places: place(), only: [], signal, onProgress: quiet });
  await verify();
  chmodSync(join(root, 'exact512'), 0o600);
  await expect(verify()).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringContaining('has mode 600 instead of 644') });
  chmodSync(join(root, 'exact512'), 0o644);
  symlinkSync('x', join(root, 'zzz-more'));
  await expect(verify()).rejects.toMatchObject({ message: expect.stringContaining('zzz-more" was not in the backup') });
  rmSync(join(root, 'zzz-more'));
  rmSync(join(root, 'fifo'));
  await expect(verify()).rejects.toMatchObject({ message: expect.stringContaining('fifo" is missing') });
  expect(existsSync(root)).toBe(true);
});
