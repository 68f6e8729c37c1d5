import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { PhysicalFacts } from '../../domain/backup.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { confirmSwap, swapBack, swapIn } from '../../providers/postgres/in-place-physical.ts';
import { buildPhysical, discardBuild, restorePhysical } from '../../providers/postgres/physical-restore.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import { planPlaces } from '../../providers/postgres/restore-places.ts';
import { keysOf } from '../../providers/repository/layout.ts';
import { crc32c } from '../../providers/vault/crc32c.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { pgRunAs, startPostgres, stopAll } from '../support/index.ts';
import type { PostgresServer } from '../support/index.ts';
import { takePhysical } from '../support/physical-backup.ts';
import type { TakenBackup } from '../support/physical-backup.ts';
import { onCluster, restoreRoot } from '../support/physical-cluster.ts';
import { digests } from '../support/physical-load.ts';
import { toolDirs } from '../support/physical-tools.ts';

// Bounds against hanging only: a loaded machine may take long.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

describe('restores of a cluster with a tablespace', () => {
  let server: PostgresServer;
  let full: TakenBackup;
  let incremental: TakenBackup;
  let oid: string;
  let expected: Record<string, string>;
  const facts = () => full.reader.index.engine as PhysicalFacts;

  beforeAll(async () => {
    server = await startPostgres();
    await server.sql('postgres', `create tablespace fast location '${server.tablespaceDir('fast')}'`);
    await server.sql(
      'postgres',
      'create table here as select i, md5(i::text) from generate_series(1, 20000) i; create table there tablespace fast as select generate_series(1, 5000) n',
    );
    full = await takePhysical(resolveConnection(server.url()));
    await server.sql('postgres', 'update here set i = -i where i % 10 = 0; update there set n = 0 where n < 100');
    incremental = await takePhysical(resolveConnection(server.url()), { parent: full });
    expected = await digests(server, 'postgres');
    oid = facts().tablespaces[0]?.oid ?? '';
  });
  afterAll(stopAll);
  const both = (): BackupReader[] => [full.reader, incremental.reader];

  test('R2 beside: files, owner, modes and tablespace links are right, and nothing else is left', async () => {
    const root = restoreRoot();
    const destination = join(root, 'deep', 'data');
    const phases = new Set<string>();
    const result = await restorePhysical({
      chain: [full.reader],
      destination,
      id: 'r1',
      tablespaceMap: { [oid]: join(root, 'moved') },
      toolDirs: toolDirs(),
      onProgress: ({ phase }) => phases.add(phase),
    });
    expect(result).toMatchObject({ dataDir: destination, files: expect.any(Number), warnings: [] });
    expect(phases).toContain('fetch');
    expect(readlinkSync(join(destination, 'pg_tblspc', oid))).toBe(join(root, 'moved'));
    expect(readdirSync(join(root, 'moved'))).toEqual([expect.stringMatching(/^PG_18_/)]);
    expect(readdirSync(root).toSorted()).toEqual(['deep', 'moved']);
    expect(readdirSync(join(root, 'deep'))).toEqual(['data']);
    expect(existsSync(join(destination, 'tablespace_map'))).toBe(false);
    expect(existsSync(join(destination, 'backup_label'))).toBe(true);
    const owner = pgRunAs();
    const wrong: string[] = [];
    const visit = (path: string): void => {
      const info = lstatSync(path);
      if (owner && (info.uid !== owner.uid || info.gid !== owner.gid)) wrong.push(path);
      if (!info.isSymbolicLink() && (info.mode & 0o077) !== 0) wrong.push(`${path} ${info.mode.toString(8)}`);
      if (info.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    };
    visit(destination);
    visit(join(root, 'moved'));
    expect(wrong).toEqual([]);
    await onCluster(destination, async (restored) => {
      expect(Object.keys(await digests(restored, 'postgres'))).toEqual(['public.here', 'public.there']);
      const result2 = await checkCluster({ connection: restored.connection, depth: 'full' });
      expect(result2.rows).toBeGreaterThan(25_000);
    });
  });

  test('R2 the original place of a tablespace is taken when it is free, and refused with the remedy when it is not', async () => {
    const root = restoreRoot();
    await expect(
      restorePhysical({ chain: [full.reader], destination: join(root, 'data'), id: 'r1', toolDirs: toolDirs() }),
    ).rejects.toMatchObject({ code: 'destinationNotEmpty', hint: expect.stringContaining('rescue restore --tablespace ') });
    expect(readdirSync(root)).toEqual([]);
    expect(await digests(server, 'postgres')).toEqual(expected);
  });

  test('R2 what a dead attempt left is swept by the next one, chain and all; a cancel leaves what discard removes', async () => {
    const root = restoreRoot();
    const places = await planPlaces({
      destination: join(root, 'data'),
      id: 'r1',
      mode: 'new',
      tablespaces: facts().tablespaces,
      tablespaceRoot: join(root, 'ts'),
    });
    for (const path of [
      places.work,
      join(places.staging, '0'),
      places.tablespaces[0]?.build ?? '',
      places.tablespaces[0]?.staging ?? '',
    ]) {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'garbage'), 'x');
    }
    const stop = new AbortController();
    let seen = 0;
    await expect(
      buildPhysical({
        chain: both(),
        places,
        toolDirs: toolDirs(),
        signal: stop.signal,
        onProgress: () => {
          if (++seen === 2) stop.abort();
        },
      }),
    ).rejects.toMatchObject({ code: 'cancelled' });
    await buildPhysical({ chain: both(), places, toolDirs: toolDirs() });
    expect(existsSync(join(places.work, 'garbage'))).toBe(false);
    expect(existsSync(places.staging)).toBe(false);
    await onCluster(places.work, async (restored) => {
      expect(await digests(restored, 'postgres')).toEqual(expected);
    });
    await discardBuild(places);
    expect(readdirSync(root).filter((name) => name !== 'ts')).toEqual([]);
    expect(readdirSync(join(root, 'ts', oid))).toEqual([]);
  });

  test('B10 a damaged part, a missing parent, the wrong order and a missing program end in their own error and leave nothing', async () => {
    const root = restoreRoot();
    const restore = (chain: BackupReader[], extra: object = {}) =>
      restorePhysical({
        chain,
        destination: join(root, 'data'),
        id: 'r1',
        tablespaceRoot: join(root, 'ts'),
        toolDirs: toolDirs(),
        ...extra,
      });
    await expect(restore([incremental.reader])).rejects.toMatchObject({ code: 'parentMissing' });
    await expect(restore([incremental.reader, full.reader])).rejects.toMatchObject({ code: 'parentMissing' });
    await expect(restore([full.reader, full.reader])).rejects.toMatchObject({ code: 'parentMissing' });
    const other = { ...full.reader.manifest, versions: { ...full.reader.manifest.versions, server: '17.2' } };
    const as17 = (reader: BackupReader, manifest = other): BackupReader =>
      new Proxy(reader, {
        get: (target, key) => (key === 'manifest' ? manifest : (Reflect.get(target, key, target) as unknown)),
      });
    await expect(
      restore([
        as17(full.reader),
        as17(incremental.reader, { ...incremental.reader.manifest, versions: other.versions }),
      ]),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/^tool(Missing|Version)$/),
      hint: expect.stringContaining('postgresql-17'),
    });
    expect(readdirSync(root)).toEqual([]);

    const key = keysOf(full.ref).part('a1', 2);
    const good = await full.store.get(key);
    const bad = Buffer.from(good);
    bad[100] = (bad[100] as number) ^ 1;
    await full.store.put(key, bad);
    const reopened = await openBackup({ stores: [full.store], ref: full.ref, credentials: { keys: full.keys } });
    await expect(restore([reopened])).rejects.toMatchObject({ code: 'partCorrupt' });
    await full.store.put(key, good);
    expect(existsSync(join(root, 'data'))).toBe(false);
    expect(readdirSync(root).filter((name) => name.includes('resurgo'))).toEqual([]);
  });

  test('B10 R5 content that is not what the engine sent is found before anything is combined', async () => {
    const root = restoreRoot();
    const lying = (reader: BackupReader): BackupReader => new Proxy(reader, {
      get: (target, property) => {
        if (property !== 'extract') {
          const value = Reflect.get(target, property, target) as unknown;
          return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
        }
        return async (options: Parameters<BackupReader['extract']>[0]) => {
          const result = await target.extract(options);
          const version = join(options.destination, 'PG_VERSION');
          if (options.stream !== 'base.tar') return result;
          const written = '81\n';
          writeFileSync(version, written);
          return { ...result, crc32c: new Map(result.crc32c).set('PG_VERSION', crc32c(Buffer.from(written))) };
        };
      },
    });
    for (const chain of [[lying(full.reader)], [full.reader, lying(incremental.reader)]]) {
      await expect(
        restorePhysical({
          chain,
          destination: join(root, 'data'),
          id: 'r1',
          tablespaceRoot: join(root, 'ts'),
          toolDirs: toolDirs(),
        }),
      ).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringContaining('PG_VERSION') });
      expect(existsSync(join(root, 'data'))).toBe(false);
    }
  });

  test('R2 a backup from a standby restores as a primary of its own', async () => {
    const primary = await startPostgres();
    await primary.sql('postgres', 'create table rows as select i, md5(i::text) from generate_series(1, 5000) i');
    const rows = await digests(primary, 'postgres');
    const [position] = await primary.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text lsn');
    const standby = await primary.createStandby('for_backup');
    for (let behind = true; behind;)
      behind =
        (await standby.sql<{ b: boolean }>('postgres', `select pg_last_wal_replay_lsn() < '${position?.lsn}' as b`))[0]
          ?.b ?? true;
    const taken = await takePhysical(resolveConnection(standby.url()));
    await primary.stop();
    const root = restoreRoot();
    const { dataDir, warnings } = await restorePhysical({
      chain: [taken.reader],
      destination: join(root, 'data'),
      id: 'r1',
      toolDirs: toolDirs(),
    });
    expect(warnings).toEqual([expect.stringContaining('standby.signal')]);
    await onCluster(dataDir, async (restored) => {
      expect(await restored.sql('postgres', 'select pg_is_in_recovery() r')).toEqual([{ r: false }]);
      expect(await digests(restored, 'postgres')).toEqual(rows);
    });
  });

  test('R2 R3 in place on a real server: refused while it runs; swapped; rolled back; swapped again and confirmed', async () => {
    const inode = statSync(server.dataDir).ino;
    const before = await digests(server, 'postgres');
    await server.sql(
      'postgres',
      'drop table here; create table after_the_backup as select 1 as one; update there set n = n + 1',
    );
    const damaged = await digests(server, 'postgres');
    const make = async (id: string) => {
      const places = await planPlaces({
        destination: server.dataDir,
        id,
        mode: 'in-place',
        tablespaces: (incremental.reader.index.engine as PhysicalFacts).tablespaces,
      });
      await buildPhysical({ chain: both(), places, toolDirs: toolDirs() });
      return places;
    };
    const first = await make('i1');
    // Built beside a running server, which did not notice.
    expect(await digests(server, 'postgres')).toEqual(damaged);
    await expect(swapIn(first)).rejects.toMatchObject({
      code: 'destinationBusy',
      message: expect.stringContaining(String(server.pid)),
    });
    await server.shutdown();
    const { kept } = await swapIn(first);
    expect(statSync(kept).ino).toBe(inode);
    await server.start();
    expect(await digests(server, 'postgres')).toEqual(before);
    await expect(swapBack(server.dataDir)).rejects.toMatchObject({ code: 'destinationBusy' });
    await server.shutdown();
    const { failed } = await swapBack(server.dataDir, { keepFailed: true });
    expect(statSync(server.dataDir).ino).toBe(inode);
    await server.start();
    expect(await digests(server, 'postgres')).toEqual(damaged);
    if (failed === undefined) throw new Error('the failed copy was not kept');
    await onCluster(failed, async (copy) => {
      expect(await digests(copy, 'postgres')).toEqual(before);
    });
    rmSync(failed, { recursive: true });
    const second = await make('i2');
    await server.shutdown();
    await swapIn(second);
    await confirmSwap(server.dataDir);
    await server.start();
    expect(await digests(server, 'postgres')).toEqual(before);
    expect(existsSync(kept)).toBe(false);
    await checkCluster({ connection: resolveConnection(server.url()), depth: 'full' });
  });
});
