import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { extractChain } from '../../providers/postgres/extract-chain.ts';
import { extractLink } from '../../providers/postgres/extract-link.ts';
import { mergeChain } from '../../providers/postgres/merge-chain.ts';
import { planPlaces } from '../../providers/postgres/restore-places.ts';
import { startPostgres, stopAll, tempDir, type PostgresServer } from '../support/index.ts';
import { pgCombine } from '../support/pg-combinebackup.ts';
import { takePhysical, type TakenBackup } from '../support/physical-backup.ts';
import { sealDirectory } from '../support/seal-directory.ts';

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const blockSize = 8192;
const blocksPerSegment = 131_072;
const magic = 0xd3ae1f0d;

/** mulberry32: the same files again for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** An INCREMENTAL file, by PostgreSQL's source. */
function increment(blocks: readonly number[], truncation: number, fill: () => number): Buffer {
  const header = Buffer.alloc(12 + blocks.length * 4);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(blocks.length, 4);
  header.writeUInt32LE(truncation, 8);
  for (const [i, block] of blocks.entries()) header.writeUInt32LE(block, 12 + i * 4);
  const padding = blocks.length === 0 ? 0 : (blockSize - (header.length % blockSize)) % blockSize;
  return Buffer.concat([header, Buffer.alloc(padding), ...blocks.map(() => Buffer.alloc(blockSize, fill()))]);
}

/** What a server could leave of one relation file in every link: whole, changed, cut, grown, dropped and made again, with a torn end. */
function writeRelation(links: readonly string[], name: string, random: (below: number) => number): void {
  const dir = 'base/1';
  let there = false;
  for (const link of links) {
    if (there && random(10) === 0) there = false;
    else if (!there || random(5) === 0) {
      const whole = Buffer.concat(Array.from({ length: random(20) }, () => Buffer.alloc(blockSize, random(256))));
      const torn = random(6) === 0 ? Buffer.alloc(1 + random(blockSize - 1), 7) : Buffer.alloc(0);
      writeFileSync(join(link, dir, name), Buffer.concat([whole, torn]));
      there = true;
    } else {
      // In any order but ascending it is not written by a server; sparse and empty it is.
      const chosen = random(4) === 0 ? [] : Array.from({ length: 30 }, (_, block) => block).filter(() => random(1 + random(6)) === 0);
      writeFileSync(join(link, dir, `INCREMENTAL.${name}`), increment(chosen, random(25), () => random(256)));
    }
  }
}

function treeOf(dir: string, at = ''): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(join(dir, at), { withFileTypes: true })) {
    const path = at === '' ? entry.name : `${at}/${entry.name}`;
    if (entry.isDirectory()) for (const [name, bytes] of treeOf(dir, path)) files.set(name, bytes);
    else if (path !== 'backup_manifest') files.set(path, readFileSync(join(dir, path)));
  }
  return files;
}

/** Seals each directory as the backup it would be, and takes the way of a restore. @returns the combined cluster and how many files were merged */
async function merge(dirs: readonly string[], distort?: (stream: { path: string; bytes: Buffer }) => Buffer): Promise<{ dir: string; merged: number }> {
  const readers = await Promise.all(dirs.map((dir) => sealDirectory(dir, distort)));
  const places = await planPlaces({ destination: join(tempDir('merge').path, 'data'), id: 'm1', mode: 'new', tablespaces: [] });
  const extracted = await extractChain(readers, places, { depth: 'content', signal: undefined, onProgress: undefined });
  const merged = await mergeChain({ ...extracted, blockSize, blocksPerSegment });
  return { dir: places.work, merged };
}

let server: PostgresServer;
let pristine: string[];
beforeAll(async () => {
  server = await startPostgres({ config: { autovacuum: 'off' } });
  await server.sql('postgres', `create table grown as select i, repeat('x', 200) t from generate_series(1, 5000) i; create table cut as table grown; create table same as table grown`);
  const connection = resolveConnection(server.url());
  const chain: TakenBackup[] = [await takePhysical(connection)];
  for (const round of [1, 2, 3]) {
    await server.sql('postgres', `insert into grown select i, 'new' from generate_series(1, 3000) i; update grown set t = 'u' where i % 501 = ${String(round)}`);
    await server.sql('postgres', `delete from cut where i > ${String(5000 - round * 1500)}`);
    await server.sql('postgres', 'vacuum cut');
    chain.push(await takePhysical(connection, { parent: chain.at(-1) as TakenBackup }));
  }
  const root = tempDir('merge').path;
  pristine = await Promise.all(
    chain.map(async ({ reader }, i) => {
      const dir = join(root, String(i));
      await extractLink(reader, { dir, tablespaces: [] }, {});
      writeFileSync(join(dir, 'backup_manifest'), await reader.read('backup_manifest'));
      return dir;
    }),
  );
});
afterAll(stopAll);

/** A chain of its own. */
function chainCopy(): string[] {
  const root = tempDir('merge').path;
  return pristine.map((from, i) => {
    const to = join(root, String(i));
    cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    return to;
  });
}

describe('R2 a chain merged in place', () => {
  for (const seed of [1, 2, Date.now() % 1_000_000]) {
    test(`R2 is byte for byte what pg_combinebackup makes of it, 150 odd relations beside (seed ${String(seed)})`, async () => {
      const dirs = chainCopy();
      const random = randomOf(seed);
      for (let i = 0; i < 150; i++) writeRelation(dirs, String(90_000 + i), random);
      const output = join(tempDir('merge').path, 'combined');
      await pgCombine(server.major, dirs, output);
      const { dir, merged } = await merge(dirs);
      expect(merged).toBeGreaterThan(50);
      const [ours, theirs] = [treeOf(dir), treeOf(output)];
      expect([...ours.keys()].toSorted()).toEqual([...theirs.keys()].toSorted());
      expect([...ours].filter(([path, bytes]) => theirs.get(path)?.equals(bytes) !== true).map(([path]) => path)).toEqual([]);
      expect(readFileSync(join(dir, 'backup_label'), 'utf8')).not.toContain('INCREMENTAL');
    });
  }

  test("R2 a user's own file with such a name stays as it is", async () => {
    const dirs = chainCopy();
    for (const dir of dirs) {
      mkdirSync(join(dir, 'mine'));
      writeFileSync(join(dir, 'mine/INCREMENTAL.txt'), 'no increment');
      writeFileSync(join(dir, 'INCREMENTAL.1'), 'neither');
    }
    const { dir } = await merge(dirs);
    expect(readFileSync(join(dir, 'mine/INCREMENTAL.txt'), 'utf8')).toBe('no increment');
    expect(readFileSync(join(dir, 'INCREMENTAL.1'), 'utf8')).toBe('neither');
  });

  const name = '90000';
  const wrong: { what: string; newest: Buffer; error: RegExp }[] = [
    { what: 'another form', newest: Buffer.alloc(12, 1), error: /INCREMENTAL\.90000 is not in the form PostgreSQL 17 and 18 write: it begins with 0x1010101/ },
    { what: 'half a header', newest: increment([], 3, () => 0).subarray(0, 9), error: /INCREMENTAL\.90000 ends at byte 9; 12 were expected/ },
    { what: 'fewer blocks than it names', newest: increment([0, 1, 2], 3, () => 5).subarray(0, -1), error: /INCREMENTAL\.90000 ends at byte 32767; 32768 were expected/ },
    { what: 'a block beyond its segment', newest: increment([blocksPerSegment], 3, () => 5), error: /names block 131072; a segment has 131072 at most/ },
    { what: 'a length beyond its segment', newest: increment([], blocksPerSegment + 1, () => 5), error: /a length of 131073; a segment has 131072 at most/ },
  ];
  for (const { what, newest, error } of wrong) {
    test(`R2 an increment of ${what} is refused`, async () => {
      const dirs = chainCopy();
      for (const dir of dirs.slice(0, 3)) writeFileSync(join(dir, 'base/1', name), Buffer.alloc(blockSize));
      writeFileSync(join(dirs[3] as string, 'base/1', `INCREMENTAL.${name}`), newest);
      await expect(merge(dirs)).rejects.toMatchObject({ code: 'restoreFailed', message: expect.stringMatching(error) });
    });
  }

  test('R2 an increment without a base, links that do not follow each other and one without a label are refused', async () => {
    const dirs = chainCopy();
    writeFileSync(join(dirs[3] as string, 'base/1', `INCREMENTAL.${name}`), increment([0], 1, () => 5));
    await expect(merge(dirs)).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringContaining(`base/1/INCREMENTAL.${name} is an increment`) });
    const [full, one, two, three] = chainCopy() as [string, string, string, string];
    await expect(merge([full, two, three])).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringMatching(/backup 2 of the chain builds on one that began at .* the one before it began at/) });
    await expect(merge([full, full])).rejects.toMatchObject({ message: expect.stringMatching(/backup 2 of the chain is a full one/) });
    await expect(merge([full, full, one])).rejects.toMatchObject({ message: expect.stringMatching(/backup 2 of the chain is a full one/) });
    await expect(merge([one, two])).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringMatching(/is an increment, and no older backup/) });
    rmSync(join(two, 'backup_label'));
    await expect(merge([full, one, two, three])).rejects.toMatchObject({ code: 'restoreMismatch', message: 'Backup 3 of the chain has no backup_label.' });
  });

  test('R2 a file of any link that is not what its backup_manifest says is found: a base, an increment, one of the newest', async () => {
    const dirs = chainCopy();
    for (const dir of dirs.slice(0, 2)) writeFileSync(join(dir, 'base/1', name), Buffer.alloc(blockSize, 1));
    for (const dir of dirs.slice(2)) writeFileSync(join(dir, 'base/1', `INCREMENTAL.${name}`), increment([0], 1, () => 2));
    expect(readFileSync(join((await merge(dirs)).dir, 'base/1', name))).toEqual(Buffer.alloc(blockSize, 2));
    for (const [link, file] of [[1, `base/1/${name}`], [2, `base/1/INCREMENTAL.${name}`], [3, `base/1/INCREMENTAL.${name}`], [3, 'PG_VERSION']] as const) {
      const flip = ({ path, bytes }: { path: string; bytes: Buffer }): Buffer => {
        if (path !== join(dirs[link] as string, file)) return bytes;
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bytes.length - 1) ^ 4, bytes.length - 1);
        return flipped;
      };
      await expect(merge(dirs, flip), file).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringContaining(`${file} has CRC32C`) });
    }
    // Overwritten later, so not part of the result.
    const unneeded = ({ path, bytes }: { path: string; bytes: Buffer }): Buffer => (path === join(dirs[0] as string, 'base/1', name) ? Buffer.alloc(bytes.length, 9) : bytes);
    expect(readFileSync(join((await merge(dirs, unneeded)).dir, 'base/1', name))).toEqual(Buffer.alloc(blockSize, 2));
  });
});
