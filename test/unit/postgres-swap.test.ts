import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
  existsSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { confirmSwap, findSwap, settleBuild, swapBack, swapIn } from '../../providers/postgres/in-place-physical.ts';
import { discardBuild } from '../../providers/postgres/physical-restore.ts';
import { planPlaces } from '../../providers/postgres/restore-places.ts';
import type { RestorePlaces } from '../../providers/postgres/restore-places.ts';
import { stopAll, tempDir } from '../support/index.ts';

/** A directory tree as text, links included; what is ours (working names, journal) only when asked. */
function tree(path: string, prefix = ''): Record<string, string> {
  const result: Record<string, string> = {};
  for (const name of readdirSync(path).toSorted()) {
    const full = join(path, name);
    const info = lstatSync(full);
    const key = `${prefix}${name}`;
    if (info.isSymbolicLink()) result[key] = `-> ${readlinkSync(full)}`;
    else if (info.isDirectory()) Object.assign(result, { [`${key}/`]: '' }, tree(full, `${key}/`));
    else result[key] = readFileSync(full, 'utf8');
  }
  return result;
}

/** What a server that starts on `dataDir` would read, through its links. */
function seen(dataDir: string): Record<string, string> {
  const result: Record<string, string> = {
    version: readFileSync(join(dataDir, 'PG_VERSION'), 'utf8'),
    control: readFileSync(join(dataDir, 'global/pg_control'), 'utf8'),
  };
  for (const oid of readdirSync(join(dataDir, 'pg_tblspc'))) {
    const location = join(dataDir, 'pg_tblspc', oid);
    for (const name of readdirSync(location).filter((each) => each.startsWith('PG_')))
      result[`${oid}/${name}`] = readFileSync(join(location, name, 'data'), 'utf8');
  }
  return result;
}

function cluster(dataDir: string, what: string, tablespaces: Record<string, string>): void {
  mkdirSync(join(dataDir, 'global'), { recursive: true });
  mkdirSync(join(dataDir, 'pg_tblspc'));
  writeFileSync(join(dataDir, 'PG_VERSION'), '18');
  writeFileSync(join(dataDir, 'global/pg_control'), what);
  for (const [oid, location] of Object.entries(tablespaces)) {
    mkdirSync(join(location, 'PG_18_202506291'), { recursive: true });
    writeFileSync(join(location, 'PG_18_202506291/data'), `${what} ${oid}`);
    symlinkSync(location, join(dataDir, 'pg_tblspc', oid));
  }
}

class Crash extends Error {}

let root: string;
let dataDir: string;
beforeEach(() => {
  root = tempDir('swap').path;
  dataDir = join(root, 'data');
});
afterEach(stopAll);

describe('in place with two tablespaces, one of them new in the backup', () => {
  let places: RestorePlaces;
  const oldSeen = {
    version: '18',
    control: 'old',
    '16400/PG_18_202506291': 'old 16400',
    '16999/PG_18_202506291': 'old 16999',
  };
  const newSeen = {
    version: '18',
    control: 'new',
    '16400/PG_18_202506291': 'new 16400',
    '16500/PG_18_202506291': 'new 16500',
  };

  beforeEach(async () => {
    // 16999 is in the old cluster only and must stay as it is.
    cluster(dataDir, 'old', { 16400: join(root, 'fast'), 16999: join(root, 'later') });
    places = await planPlaces({
      destination: dataDir,
      id: 'x1',
      mode: 'in-place',
      tablespaces: [
        { oid: '16400', path: '/elsewhere', stream: '16400.tar' },
        { oid: '16500', path: join(root, 'second'), stream: '16500.tar' },
      ],
    });
    expect(places.tablespaces.map(({ location }) => location)).toEqual([join(root, 'fast'), join(root, 'second')]);
    cluster(places.work, 'new', Object.fromEntries(places.tablespaces.map(({ oid, build }) => [oid, build])));
  });

  test('R2 swap in, confirm: the new data is there, nothing of the old is left', async () => {
    const { kept } = await swapIn(places);
    expect(kept).toBe(`${dataDir}_old`);
    expect(seen(dataDir)).toEqual(newSeen);
    expect(seen(kept)).toEqual(oldSeen);
    expect(readlinkSync(join(dataDir, 'pg_tblspc/16400'))).toBe(join(root, 'fast'));
    expect((await swapIn(places)).kept).toBe(kept);
    await confirmSwap(dataDir);
    expect(seen(dataDir)).toEqual(newSeen);
    expect(readdirSync(root).toSorted()).toEqual(['data', 'fast', 'later', 'second']);
    expect(readdirSync(join(root, 'fast'))).toEqual(['PG_18_202506291']);
    await expect(confirmSwap(dataDir)).rejects.toMatchObject({ code: 'backupUnknown' });
  });

  test('R2 rollback brings the old data back byte by byte and keeps the new as _failed', async () => {
    const before = tree(dataDir);
    await swapIn(places);
    await expect(swapBack(dataDir, { keepFailed: true })).resolves.toEqual({
      restored: true,
      failed: `${dataDir}_failed`,
    });
    expect(tree(dataDir)).toEqual(before);
    expect(seen(dataDir)).toEqual(oldSeen);
    expect(seen(`${dataDir}_failed`)).toEqual(newSeen);
    expect(await findSwap(dataDir)).toBeUndefined();
    await expect(swapBack(dataDir)).resolves.toEqual({ restored: false });
  });

  test('R3 a crash after every single operation: going on ends swapped, undoing ends as before', async () => {
    const before = tree(dataDir);
    let operations = 0;
    await swapIn(places, {
      afterEach: () => {
        operations++;
      },
    });
    await swapBack(dataDir);
    expect(tree(dataDir)).toEqual(before);
    expect(operations).toBeGreaterThan(7);
    for (let crashAt = 1; crashAt <= operations; crashAt++) {
      const crashing = (): ((...args: unknown[]) => void) => {
        let count = 0;
        return () => {
          if (++count === crashAt) throw new Crash();
        };
      };
      await expect(swapIn(places, { afterEach: crashing() })).rejects.toThrow(Crash);
      // Another restore does not get in between.
      await expect(swapIn({ ...places, id: 'other' })).rejects.toMatchObject({ code: 'destinationBusy' });
      await swapIn(places);
      expect(seen(dataDir)).toEqual(newSeen);
      expect(seen(`${dataDir}_old`)).toEqual(oldSeen);

      await expect(swapBack(dataDir, { afterEach: crashing() })).rejects.toThrow(Crash);
      await swapBack(dataDir);
      expect(tree(dataDir)).toEqual(before);
      expect(seen(places.work)).toEqual(newSeen);

      // Crash while swapping, then straight back, crashing on the way at each place.
      await expect(swapIn(places, { afterEach: crashing() })).rejects.toThrow(Crash);
      for (let again = 0; again < Math.min(crashAt, 3); again++) {
        let count = 0;
        await swapBack(dataDir, {
          afterEach: () => {
            if (++count === 1) throw new Crash();
          },
        }).catch((error: unknown) => {
          if (!(error instanceof Crash)) throw error;
        });
      }
      await swapBack(dataDir);
      expect(tree(dataDir)).toEqual(before);
      expect(seen(places.work)).toEqual(newSeen);
    }
    await discardBuild(places);
    expect(readdirSync(root).toSorted()).toEqual(['data', 'fast', 'later', 'second']);
    expect(readdirSync(join(root, 'fast'))).toEqual(['PG_18_202506291']);
  });

  test('R2 refuses while an earlier restore is unconfirmed, while a kept copy is there, and when paths were moved by hand', async () => {
    await swapIn(places);
    await expect(swapIn({ ...places, id: 'x2' })).rejects.toMatchObject({
      code: 'destinationBusy',
      hint: expect.stringContaining('x1'),
    });
    rmSync(`${dataDir}_old`, { recursive: true });
    await expect(swapBack(dataDir)).rejects.toMatchObject({ code: 'outcomeUnknown' });
    expect(seen(dataDir)).toEqual(newSeen);
  });

  test('R2 a _old directory that is not ours is never touched', async () => {
    mkdirSync(`${dataDir}_old`);
    await expect(swapIn(places)).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    expect(seen(dataDir)).toEqual(oldSeen);
    expect(existsSync(`${dataDir}.resurgo-swap.json`)).toBe(false);
  });

  test('R2 confirm goes on after a crash, and cannot be rolled back any more', async () => {
    await swapIn(places);
    const { path, journal } = (await findSwap(dataDir)) ?? {};
    writeFileSync(path ?? '', JSON.stringify({ ...journal, phase: 'confirming' }));
    await expect(swapBack(dataDir)).rejects.toMatchObject({ code: 'destinationBusy' });
    await confirmSwap(dataDir);
    expect(readdirSync(root).toSorted()).toEqual(['data', 'fast', 'later', 'second']);
  });
});

describe('a data directory that is a mount point', () => {
  test('R2 its content is swapped, crash by crash, and comes back', async () => {
    cluster(dataDir, 'old', {});
    mkdirSync(join(dataDir, 'lost+found'));
    const planned = await planPlaces({ destination: dataDir, id: 'm1', mode: 'in-place', tablespaces: [] });
    // The test cannot mount; the places are those that a mount point gets.
    const places: RestorePlaces = {
      ...planned,
      mounted: true,
      work: join(dataDir, '.resurgo-m1'),
      staging: join(dataDir, '.resurgo-m1-links'),
    };
    cluster(places.work, 'new', {});
    writeFileSync(join(places.work, 'only-new'), '');
    const before = tree(dataDir);
    const inode = statSync(dataDir).ino;
    let operations = 0;
    await swapIn(places, {
      afterEach: () => {
        operations++;
      },
    });
    expect(seen(dataDir)).toEqual({ version: '18', control: 'new' });
    expect(statSync(dataDir).ino).toBe(inode);
    expect(readdirSync(dataDir)).toContain('lost+found');
    expect(seen(join(dataDir, '.resurgo-m1-old'))).toEqual({ version: '18', control: 'old' });
    // swapBack finds the journal by the mount point, which this is not; it lies where a mount point has it.
    const { undo } = await import('../../providers/postgres/swap-operations.ts');
    const journal = JSON.parse(readFileSync(join(dataDir, '.resurgo-swap.json'), 'utf8')) as {
      operations: Parameters<typeof undo>[0][];
    };
    for (const operation of journal.operations.toReversed()) await undo(operation);
    rmSync(join(dataDir, '.resurgo-swap.json'));
    expect(tree(dataDir)).toEqual(before);
    for (let crashAt = 1; crashAt <= operations; crashAt++) {
      let count = 0;
      await expect(
        swapIn(places, {
          afterEach: () => {
            if (++count === crashAt) throw new Crash();
          },
        }),
      ).rejects.toThrow(Crash);
      await swapIn(places);
      expect(seen(dataDir)).toEqual({ version: '18', control: 'new' });
      for (const operation of journal.operations.toReversed()) await undo(operation);
      rmSync(join(dataDir, '.resurgo-swap.json'));
      expect(tree(dataDir)).toEqual(before);
    }
  });
});

describe('settle', () => {
  test('R2 a build becomes the destination, tablespaces first; crashes go on; done is done', async () => {
    const options = {
      destination: dataDir,
      id: 's1',
      mode: 'new' as const,
      tablespaces: [{ oid: '16400', path: join(root, 'fast'), stream: '16400.tar' }],
    };
    for (let crashAt = 0; crashAt <= 3; crashAt++) {
      const places = await planPlaces(options);
      cluster(places.work, 'new', { 16400: places.tablespaces[0]?.build ?? '' });
      let count = 0;
      const attempt = settleBuild(places, {
        afterEach: () => {
          if (++count === crashAt) throw new Crash();
        },
      });
      await (crashAt === 0 ? attempt : expect(attempt).rejects.toThrow(Crash));
      await settleBuild(places);
      expect(seen(dataDir)).toEqual({ version: '18', control: 'new', '16400/PG_18_202506291': 'new 16400' });
      expect(readdirSync(root).toSorted()).toEqual(['data', 'fast']);
      expect(readdirSync(join(root, 'fast'))).toEqual(['PG_18_202506291']);
      for (const name of ['data', 'fast']) rmSync(join(root, name), { recursive: true });
    }
  });

  test('R2 refuses destinations and tablespaces that are in use or make no sense, before anything is touched', async () => {
    const tablespaces = [
      { oid: '16400', path: join(root, 'fast'), stream: '16400.tar' },
      { oid: '16500', path: join(root, 'slow'), stream: '16500.tar' },
    ];
    const plan = (extra: object) => planPlaces({ destination: dataDir, id: 's1', mode: 'new', tablespaces, ...extra });
    mkdirSync(join(root, 'fast'));
    writeFileSync(join(root, 'fast/something'), '');
    await expect(plan({})).rejects.toMatchObject({
      code: 'destinationNotEmpty',
      hint: expect.stringContaining(`--tablespace ${join(root, 'fast')}=`),
    });
    await expect(plan({ tablespaceMap: { 16400: join(root, 'slow') } })).rejects.toMatchObject({
      code: 'inputInvalid',
    });
    await expect(plan({ tablespaceMap: { [join(root, 'fast')]: 'relative' } })).rejects.toMatchObject({
      code: 'inputInvalid',
    });
    await expect(plan({ tablespaceMap: { 16400: join(dataDir, 'pg_tblspc') } })).rejects.toMatchObject({
      code: 'inputInvalid',
    });
    await expect(plan({ tablespaceRoot: join(root, 'ts') })).resolves.toMatchObject({
      tablespaces: [{ location: join(root, 'ts/16400') }, { location: join(root, 'ts/16500') }],
    });
    await expect(plan({ destination: 'relative' })).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(plan({ destination: '/' })).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(plan({ id: '../x' })).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(plan({ destination: join(root, 'fast') })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    await expect(plan({ destination: join(root, 'fast/something') })).rejects.toMatchObject({
      code: 'destinationNotEmpty',
    });
    await expect(plan({ mode: 'in-place', destination: join(root, 'missing') })).rejects.toMatchObject({
      code: 'destinationNotEmpty',
    });
    // The real directory is renamed, not the link to it.
    mkdirSync(join(root, 'real'));
    symlinkSync(join(root, 'real'), join(root, 'link'));
    await expect(plan({ destination: join(root, 'link'), tablespaces: [] })).resolves.toMatchObject({
      destination: join(root, 'real'),
    });
    expect(readdirSync(root).toSorted()).toEqual(['fast', 'link', 'real']);
  });
});
