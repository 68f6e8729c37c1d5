import { chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { PhysicalFacts } from '../../domain/backup.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { extractLink } from '../../providers/postgres/extract-link.ts';
import { restorePhysical } from '../../providers/postgres/physical-restore.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import { restoreOwner } from '../../providers/postgres/restore-owner.ts';
import { runTool } from '../../providers/host/child.ts';
import { findPgTool } from '../../providers/postgres/tools.ts';
import { pgRunAs, startPostgres, stopAll, tempDir } from '../support/index.ts';
import type { PostgresServer } from '../support/index.ts';
import { pgCombine } from '../support/pg-combinebackup.ts';
import { takePhysical } from '../support/physical-backup.ts';
import type { TakenBackup } from '../support/physical-backup.ts';
import { onCluster, restoreRoot } from '../support/physical-cluster.ts';
import { createLoad, digests, disturb } from '../support/physical-load.ts';
import { toolDirs } from '../support/physical-tools.ts';

// Bounds against hanging only: a loaded machine may take long.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const visibility = [
  'pg_check_visible and pg_check_frozen',
  'index-only and sequential counts agree',
  'bt_index_check (heapallindexed)',
  'verify_heapam',
];

/** A full and three incrementals under updates and deletes without a vacuum; then much WAL. */
describe('full + 3 incrementals', () => {
  let server: PostgresServer;
  let archive: string;
  const chain: TakenBackup[] = [];
  let atBackup: Record<string, string>;
  let afterwards: Record<string, string>;
  let newDatabases: Record<string, Record<string, string>>;

  beforeAll(async () => {
    const owner = pgRunAs();
    archive = join(tempDir('archive', owner).path, 'wal');
    mkdirSync(archive);
    if (owner) chownSync(archive, owner.uid, owner.gid);
    server = await startPostgres({
      config: { autovacuum: 'off', archive_mode: 'on', archive_command: `cp %p ${archive}/%f`, wal_log_hints: 'off' },
    });
    await server.sql('postgres', `create tablespace fast location '${server.tablespaceDir('fast')}'`);
    await server.sql('postgres', `create tablespace dropped location '${server.tablespaceDir('dropped')}'`);
    await server.sql('postgres', 'create database shop');
    await createLoad(server, 'shop', 'fast');
    await server.sql(
      'shop',
      'create table short_lived (n int) tablespace dropped; insert into short_lived select generate_series(1, 1000)',
    );
    const connection = resolveConnection(server.url());
    chain.push(await takePhysical(connection));
    for (const round of [1, 2, 3]) {
      await disturb(server, 'shop', round, true);
      if (round === 2) {
        await server.sql('shop', 'drop table short_lived');
        await server.sql('postgres', 'drop tablespace dropped');
        await server.sql('postgres', `create tablespace late location '${server.tablespaceDir('late')}'`);
        await server.sql('shop', 'create table late_table tablespace late as select generate_series(1, 500) n');
      }
      const parent = chain.at(-1);
      if (parent) chain.push(await takePhysical(connection, { parent }));
    }
    atBackup = await digests(server, 'shop');
    await longWal(server);
    afterwards = await digests(server, 'shop');
    newDatabases = { by_log: await digests(server, 'by_log'), by_copy: await digests(server, 'by_copy') };
    await server.sql('postgres', 'select pg_switch_wal()');
    for (
      const until = Date.now() + 300_000;
      Date.now() < until;
      await new Promise((resolve) => setTimeout(resolve, 100))
    ) {
      const [row] = await server.sql<{ done: boolean }>(
        'postgres',
        `select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) as done from pg_stat_archiver`,
      );
      if (row?.done) return;
    }
    throw new Error('the WAL was not archived');
  });
  afterAll(stopAll);

  /** Everything that sets, clears, truncates or creates visibility maps, and more updates in between. */
  async function longWal(source: PostgresServer): Promise<void> {
    await source.sql('shop', 'vacuum wide');
    await disturb(source, 'shop', 4, true);
    await source.sql('shop', 'vacuum (freeze) shrinking');
    await source.sql('shop', 'vacuum (freeze) elsewhere');
    await source.sql('shop', 'checkpoint');
    await disturb(source, 'shop', 5, true);
    await source.sql(
      'shop',
      'truncate empty_table; create table fresh (id int primary key, t text); insert into fresh select i, md5(i::text) from generate_series(1, 5000) i',
    );
    await source.sql('shop', 'vacuum (freeze)');
    await source.sql(
      'shop',
      'delete from fresh where id % 3 = 0; update wide set payload = payload || payload where id % 50 = 7',
    );
    await source.sql('postgres', 'create database by_log template shop strategy wal_log');
    await source.sql('postgres', 'create database by_copy template shop strategy file_copy');
    await source.sql('by_copy', 'delete from wide where id % 7 = 0');
    await source.sql('by_log', 'update wide set payload = null where id % 11 = 0');
    await source.sql(
      'shop',
      'begin; truncate shrinking; insert into shrinking select i, null from generate_series(1, 100) i; commit',
    );
    await disturb(source, 'shop', 6, true);
  }

  const restore = async (name: string, links = chain): Promise<string> => {
    const root = restoreRoot();
    const { dataDir, checks } = await restorePhysical({
      chain: links.map(({ reader }) => reader),
      destination: join(root, name),
      id: 'r1',
      tablespaceRoot: join(root, 'ts'),
      toolDirs: toolDirs(),
    });
    expect(checks).toContain('backup_manifest');
    expect(readdirSync(root).toSorted()).toEqual([name, 'ts']);
    return dataDir;
  };

  test('right: index-only and sequential counts agree and no visibility bit is wrong; digests are those of the source', async () => {
    const dataDir = await restore('chain');
    await onCluster(dataDir, async (restored) => {
      expect(await digests(restored, 'shop')).toEqual(atBackup);
      const result = await checkCluster({ connection: restored.connection, depth: 'full' });
      expect(result.checks).toEqual(expect.arrayContaining(visibility));
      expect(result.warnings).toEqual([]);
      // Looking left no trace.
      expect(await restored.sql('shop', 'select extname from pg_extension order by 1')).toEqual([
        { extname: 'plpgsql' },
      ]);
      // Until it is vacuumed nothing is all-visible; then it is, and still right.
      expect(
        await restored.sql('shop', `select sum(relallvisible)::int >= 0 as ok from pg_class where relkind = 'r'`),
      ).toEqual([{ ok: true }]);
      for (const database of ['shop', 'postgres']) await restored.sql(database, 'vacuum (freeze)');
      await checkCluster({ connection: restored.connection, depth: 'full' });
    });
    const checksums = await findPgTool('pg_checksums', server.major, { dirs: toolDirs() });
    await runTool({ command: checksums.path, args: ['--check', '-D', dataDir] });
  });

  test('right: also after long WAL replay with VACUUM, truncate, CREATE DATABASE and new tables', async () => {
    const dataDir = await restore('replayed');
    writeFileSync(join(dataDir, 'recovery.signal'), '');
    const owner = await restoreOwner(dataDir);
    if (owner) chownSync(join(dataDir, 'recovery.signal'), owner.uid, owner.gid);
    await onCluster(
      dataDir,
      async (restored) => {
        expect(
          await restored.sql(
            'postgres',
            'select pg_is_in_recovery() as recovering, timeline_id as timeline from pg_control_checkpoint()',
          ),
        ).toEqual([{ recovering: false, timeline: 2 }]);
        expect(await digests(restored, 'shop')).toEqual(afterwards);
        expect({ by_log: await digests(restored, 'by_log'), by_copy: await digests(restored, 'by_copy') }).toEqual(
          newDatabases,
        );
        const result = await checkCluster({ connection: restored.connection, depth: 'full' });
        expect(result.checks).toEqual(expect.arrayContaining(visibility));
        expect(result.databases).toBe(5);
      },
      { settings: { restore_command: `cp ${archive}/%f %p`, recovery_target_timeline: 'latest' } },
    );
    const checksums = await findPgTool('pg_checksums', server.major, { dirs: toolDirs() });
    await runTool({ command: checksums.path, args: ['--check', '-D', dataDir] });
  });

  test('right: every shorter chain of it restores too', async () => {
    for (const links of [chain.slice(0, 1), chain.slice(0, 2)]) {
      const dataDir = await restore(`links-${links.length}`, links);
      await onCluster(dataDir, async (restored) => {
        await checkCluster({ connection: restored.connection, depth: 'full' });
        expect(Object.keys(await digests(restored, 'shop'))).toContain('public.short_lived');
      });
    }
  });

  test('right: negative control: as pg_combinebackup alone leaves it, the checks find it wrong', async ({ skip }) => {
    const [version] = await server.sql<{ n: number }>(
      'postgres',
      `select current_setting('server_version_num')::int n`,
    );
    if ((version?.n ?? 0) > 180004) return skip('this server tells WAL about the map');
    const root = restoreRoot();
    const dirs: string[] = [];
    const mapping = new Map<string, string>();
    for (const [i, { reader }] of chain.entries()) {
      const dir = join(root, 'links', String(i));
      dirs.push(dir);
      const tablespaces = (reader.index.engine as PhysicalFacts).tablespaces.map(({ oid, stream }) => ({
        oid,
        stream,
        dir: join(root, 'links', `${i}.${oid}`),
        linked: true,
      }));
      if (i === chain.length - 1)
        for (const { oid, dir: from } of tablespaces) mapping.set(from, join(root, `ts-${oid}`));
      await extractLink(reader, { dir, tablespaces }, {});
      writeFileSync(join(dir, 'backup_manifest'), await reader.read('backup_manifest'));
    }
    const output = join(root, 'combined');
    await pgCombine(server.major, dirs, output, mapping);
    const owner = pgRunAs();
    if (owner) await runTool({ command: 'chown', args: ['-R', `${owner.uid}:${owner.gid}`, root] });
    await onCluster(output, async (restored) => {
      const wrong = await checkCluster({ connection: restored.connection, depth: 'full' }).catch(
        (error: unknown) => error,
      );
      expect(wrong).toMatchObject({ code: 'restoreMismatch' });
      const problems = (wrong as { details: { problems: string[] } }).details.problems.join('\n');
      expect(problems).toMatch(/index-only scan counts/);
      expect(problems).toMatch(/wide.*visibility map is wrong/);
      expect(problems).toMatch(/elsewhere.*visibility map is wrong/);
    });
  });
});
