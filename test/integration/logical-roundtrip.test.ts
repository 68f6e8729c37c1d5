import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { swapIn, workingName } from '../../providers/postgres/in-place-logical.ts';
import { dumpLogical, type LogicalDumpOptions } from '../../providers/postgres/logical-dump.ts';
import { restoreLogical, settleDatabase, discardDatabase } from '../../providers/postgres/logical-restore.ts';
import { digestDatabase, verifyLogical } from '../../providers/postgres/logical-verify.ts';
import type { LogicalFacts } from '../../domain/backup.ts';
import { type PostgresServer, startPostgres, stopAll, tempDir, type TempDir } from '../support/index.ts';
import { richStatements } from '../support/rich-database.ts';
import { sealedBackup } from '../support/sealed-backup.ts';

let server: PostgresServer;
let connection: PostgresConnection;
let work: TempDir;
const source = `it's "the" db=1`;
const tools = () => findLogicalTools([server.pgBin]);

const backup = async (options: Partial<LogicalDumpOptions> = {}, database = source) => {
  let result: Awaited<ReturnType<typeof dumpLogical>> | undefined;
  const staging = join(work.path, 'dump-staging');
  const sealed = await sealedBackup<LogicalFacts>(
    async (writer) => {
      result = await dumpLogical({ connection, database, writer, staging, jobs: 2, tools: tools(), ...options });
      return result.facts;
    },
    { partBytes: 256 * 1024 },
  );
  expect(readdirSync(options.staging ?? staging)).toEqual([]);
  return { ...sealed, result: result as NonNullable<typeof result> };
};
const restore = async (
  reader: Awaited<ReturnType<typeof backup>>['reader'],
  database: string,
  id: string,
  more: object = {},
) => {
  const staging = join(work.path, 'restore-staging');
  const result = await restoreLogical({ reader, connection, database, id, jobs: 2, staging, tools: tools(), ...more });
  expect(readdirSync(staging)).toEqual([]);
  return result;
};

beforeAll(async () => {
  server = await startPostgres();
  work = tempDir('logical');
  connection = resolveConnection(server.url());
  for (const sql of [
    'create role "Owner é" login',
    'create role reader',
    'create role "in db"',
    `create database "it's ""the"" db=1" template template0 owner "Owner é" connection limit 17`,
    `comment on database "it's ""the"" db=1" is 'the shop''s'`,
    `alter database "it's ""the"" db=1" set search_path = app, "Odd.Schema ", "$user"`,
    `alter database "it's ""the"" db=1" set datestyle = 'German, DMY'`,
    `alter database "it's ""the"" db=1" set app.flag = 'a b''c'`,
    `alter role reader in database "it's ""the"" db=1" set work_mem = '9MB'`,
    `revoke connect on database "it's ""the"" db=1" from public`,
    `grant connect, create on database "it's ""the"" db=1" to reader with grant option`,
  ])
    await server.sql('postgres', sql);
  await server.session(source, async (client) => {
    for (const sql of richStatements()) await client.query(sql);
    await client.query('grant select on app.orders to reader');
    await client.query('alter table app.t3 owner to "Owner é"');
  });
});
afterAll(stopAll);

describe('a database with one of everything', () => {
  test('B1 R5 comes back the same: rows, digests, properties', async () => {
    const { reader, facts, result } = await backup();
    expect(result.warnings).toEqual([]);
    expect(facts.tables.length).toBe(100 + 10);
    const named = (name: string) => facts.tables.find((table) => table.name === name);
    expect(named('empty')?.rows).toBe(0);
    expect(named('nothing')?.rows).toBe(2);
    expect(named(`na"me\nwith 'all' \\ of; it -- é日本`)).toMatchObject({ schema: 'Odd.Schema ', rows: 6 });
    expect([named('parted'), named('parted_1')?.rows, named('parted_rest')?.rows]).toEqual([undefined, 11, 29]);
    expect([named('parent')?.rows, named('child')?.rows]).toEqual([2, 1]);
    expect(facts.largeObjects).toBe(6);
    expect((await reader.read('globals.sql')).toString()).toContain('CREATE ROLE "Owner é"');

    const made = await restore(reader, 'beside', 'r1');
    expect(made.warnings).toEqual([]);
    expect(made.rows).toBe(facts.tables.reduce((sum, table) => sum + table.rows, 0));
    const seen = await verifyLogical({ connection, database: 'beside', facts, jobs: 2 });
    expect(seen).toMatchObject({ tables: facts.tables.length, rows: made.rows, warnings: [] });
    const [before, after] = [
      await digestDatabase(connection, { database: source }),
      await digestDatabase(connection, { database: 'beside' }),
    ];
    expect(after.tables).toEqual(before.tables);
    expect(after).toEqual(before);
    expect(before.largeObjects.count).toBe(6);

    await settleDatabase({ connection, built: 'beside', database: 'settled', id: 'r1' });
    await settleDatabase({ connection, built: 'beside', database: 'settled', id: 'r1' });
    const properties = (name: string) =>
      server.sql(
        'postgres',
        `select pg_get_userbyid(datdba) as owner, datconnlimit, shobj_description(oid, 'pg_database') as comment, pg_encoding_to_char(encoding) as enc, datcollate,
      (select array_agg(x::text order by x::text) from unnest(datacl) x) as acl, (select jsonb_agg(jsonb_build_array(setrole::regrole, setconfig) order by setrole) from pg_db_role_setting where setdatabase = d.oid) as settings from pg_database d where datname = $1`,
        [name],
      );
    expect(await properties('settled')).toEqual(await properties(source));

    // A changed value and a swapped pair of rows both show.
    await server.sql('settled', `update app.t10 set v = 'changed' where id = 3`);
    await server.sql('settled', `delete from app.t11 where id = 1; insert into app.t11 values (2, md5('1' || '11'))`);
    const changed = await digestDatabase(connection, { database: 'settled' });
    expect(
      changed.tables.filter((table, i) => table.digest !== before.tables[i]?.digest).map((table) => table.name),
    ).toEqual(['t10', 't11']);
    await server.sql('settled', `delete from app.t12 where id = 1`);
    await expect(verifyLogical({ connection, database: 'settled', facts, jobs: 2 })).rejects.toMatchObject({
      code: 'restoreMismatch',
      message: expect.stringContaining('"app"."t12" has 33 rows instead of 34'),
    });
  });

  test('B1 staging is bounded and given back while pg_dump writes', async () => {
    await server.sql('postgres', 'create database large');
    await server.sql(
      'large',
      `create table big as select g as id, repeat(md5(g::text), 8) as v from generate_series(1, 100000) g; create table small as select 1 as x`,
    );
    const { reader, facts } = await backup({ pieceBytes: 2_000_000, stagingBound: 3_000_000 }, 'large');
    expect(facts.tables.find((table) => table.name === 'big')?.rows).toBe(100_000);
    await restore(reader, 'large2', 'r2');
    expect((await digestDatabase(connection, { database: 'large2' })).digest).toBe(
      (await digestDatabase(connection, { database: 'large' })).digest,
    );
    expect(await discardDatabase(connection, 'large2', 'other')).toBe(false);
    expect(await discardDatabase(connection, 'large2', 'r2')).toBe(true);
    expect(await discardDatabase(connection, 'large2', 'r2')).toBe(false);
  });

  test('B1 chosen schemas and tables are dumped, can be restored by themselves, and nothing else is said to be there', async () => {
    const only = { schemas: ['Odd.Schema '], tables: ['app.parted', 'app."types"', 'app.orders'] };
    const { facts, reader } = await backup({ only });
    expect(facts.tables.map((table) => table.name).sort()).toEqual([
      `na"me\nwith 'all' \\ of; it -- é日本`,
      'orders',
      'parted_1',
      'parted_rest',
      'types',
    ]);
    expect(facts).toMatchObject({ only, largeObjects: 0 });
    await restore(reader, 'part', 'r3');
    expect(await verifyLogical({ connection, database: 'part', facts, jobs: 2 })).toMatchObject({ tables: 5 });
    const some = {
      tables: [
        'app.orders',
        'app.orders_id_seq',
        'app.types',
        'app.types_id_seq',
        'app.parted_1',
        'app.parted_rest',
        `"Odd.Schema "."na""me\nwith 'all' \\ of; it -- é日本"`,
      ],
    };
    expect((await digestDatabase(connection, { database: 'part', ...some })).tables).toEqual(
      (await digestDatabase(connection, { database: source, ...some })).tables,
    );
    expect(
      await server.sql('part', `select relname from pg_class where relname in ('t5', 'counter', 'totals')`),
    ).toEqual([]);
    await expect(restore(reader, 'part2', 'r3', { only: { tables: ['app.t5'] } })).rejects.toMatchObject({
      code: 'inputInvalid',
      message: expect.stringContaining('without the data of app.t5'),
    });
    await expect(backup({ only: { schemas: ['nope'], tables: ['app.nope'] } })).rejects.toMatchObject({
      code: 'inputInvalid',
      message: expect.stringMatching(/schema "nope".*table "app"."nope"/),
    });
  });

  test('R1 a part of a whole backup: tables with what they need, nothing else', async () => {
    const { facts, reader } = await backup();
    const only = { tables: ['app.types', 'app.parted', 'app.orders'] };
    await restore(reader, 'partial', 'r4', { only });
    const rows = await server.sql<{ name: string }>(
      'partial',
      `select relname as name from pg_class where relnamespace = 'app'::regnamespace and relkind in ('r', 'p') order by 1`,
    );
    expect(rows.map((row) => row.name)).toEqual(['orders', 'parted', 'parted_1', 'parted_rest', 'types']);
    expect(await verifyLogical({ connection, database: 'partial', facts, only, jobs: 1 })).toMatchObject({
      tables: 2,
      rows: 250,
    });
    const [policy] = await server.sql<{ policies: number; triggers: number; partitioned: number }>(
      'partial',
      `select (select count(*)::int from pg_policy) as policies, (select count(*)::int from pg_trigger where not tgisinternal) as triggers, (select count(*)::int from app.parted) as partitioned`,
    );
    expect(policy).toEqual({ policies: 1, triggers: 1, partitioned: 40 });
    await restore(reader, workingName('shop', 'r7'), 'r7', { only });
    await expect(swapIn({ connection, database: 'shop', id: 'r7' })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('only a part'),
    });
    await expect(restore(reader, 'partial2', 'r4', { only: { tables: ['app.absent'] } })).rejects.toMatchObject({
      code: 'inputInvalid',
    });
    expect(await server.sql('postgres', `select 1 from pg_database where datname = 'partial2'`)).toEqual([]);
  });
});

describe('staging without room', () => {
  test('B1 the dump goes through a pipe, with exact rows, and says why', async (context) => {
    const small = join(work.path, 'small');
    mkdirSync(small);
    if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]).status !== 0)
      return context.skip('needs root and mount');
    try {
      const { reader, facts, result } = await backup({ staging: small });
      expect(result.warnings).toEqual([expect.stringMatching(/through a pipe.*MiB free/)]);
      expect(existsSync(join(small, 'dump'))).toBe(false);
      expect(reader.index.streams.map((stream) => stream.name)).toEqual(['globals.sql', 'dump.pgdump']);
      const whole = await backup();
      expect(facts.tables).toEqual(whole.facts.tables);
      expect(facts.largeObjects).toBe(6);
      await restore(reader, 'piped', 'r5');
      expect(await digestDatabase(connection, { database: 'piped' })).toEqual(
        await digestDatabase(connection, { database: source }),
      );
      await restore(reader, 'piped2', 'r6', { only: { tables: ['app.orders'] } });
      expect((await server.sql('piped2', 'select count(*)::int as n from app.orders'))[0]).toEqual({ n: 50 });
    } finally {
      spawnSync('umount', [small]);
    }
  });
});
