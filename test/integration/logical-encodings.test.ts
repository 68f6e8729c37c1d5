import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { dumpLogical } from '../../providers/postgres/logical-dump.ts';
import { restoreLogical } from '../../providers/postgres/logical-restore.ts';
import { digestDatabase, verifyLogical } from '../../providers/postgres/logical-verify.ts';
import type { LogicalFacts, LogicalOnly } from '../../domain/backup.ts';
import {
  installedPostgres,
  type PostgresServer,
  startPostgres,
  stopAll,
  tempDir,
  type TempDir,
} from '../support/index.ts';
import { sealedBackup } from '../support/sealed-backup.ts';

let work: TempDir;
beforeAll(() => {
  work = tempDir('encodings');
});
afterAll(stopAll);

const roundTrip = async (
  server: PostgresServer,
  connection: PostgresConnection,
  database: string,
  only?: LogicalOnly,
) => {
  const tools = findLogicalTools([server.pgBin]);
  const { reader, facts } = await sealedBackup<LogicalFacts>(
    async (writer) =>
      (await dumpLogical({ connection, database, writer, staging: work.path, jobs: 2, tools, only })).facts,
  );
  const made = await restoreLogical({
    reader,
    connection,
    database: `${database}_again`,
    id: 'r',
    jobs: 2,
    staging: work.path,
    tools,
  });
  await verifyLogical({ connection, database: `${database}_again`, facts, jobs: 2 });
  const [described] = await server.sql(
    'postgres',
    `select a.encoding = b.encoding and a.datcollate = b.datcollate and a.datctype = b.datctype and to_jsonb(a)->'datlocprovider' is not distinct from to_jsonb(b)->'datlocprovider'
    and coalesce(to_jsonb(a)->'datlocale', to_jsonb(a)->'daticulocale') is not distinct from coalesce(to_jsonb(b)->'datlocale', to_jsonb(b)->'daticulocale') as same from pg_database a, pg_database b where a.datname = $1 and b.datname = $2`,
    [database, `${database}_again`],
  );
  expect(described).toEqual({ same: true });
  const tables = only?.tables === undefined ? {} : { tables: only.tables };
  expect((await digestDatabase(connection, { database: `${database}_again`, ...tables })).digest).toBe(
    (await digestDatabase(connection, { database, ...tables })).digest,
  );
  return { facts, made };
};

describe.each([18, 15].filter((major) => major === 18 || installedPostgres(major) !== undefined))(
  'PostgreSQL %i',
  (major) => {
    let server: PostgresServer;
    let connection: PostgresConnection;
    beforeAll(async () => {
      server = await startPostgres(major === 18 ? {} : { major });
      connection = resolveConnection(server.url());
    });

    test('B1 encodings other than UTF8, names and values', async () => {
      for (const [name, encoding, word] of [
        ['latin', 'LATIN1', 'Größe'],
        ['euc', 'EUC_JP', '日本語表'],
      ] as const) {
        await server.sql(
          'postgres',
          `create database ${name} template template0 encoding '${encoding}' lc_collate 'C' lc_ctype 'C'`,
        );
        await server.sql(
          name,
          `create table "${word}" ("${word}" text, n int); insert into "${word}" select '${word}' || g || E'\\n\\\\', g from generate_series(1, 100) g; create table other as select 1 as x`,
        );
        const { facts } = await roundTrip(server, connection, name);
        expect(facts).toMatchObject({
          encoding,
          tables: expect.arrayContaining([
            expect.objectContaining({ name: 'other', rows: 1 }),
            expect.objectContaining({ name: word, rows: 100 }),
          ]),
        });
      }
      await server.sql('postgres', `create database latin2 template latin`);
      const { facts } = await roundTrip(server, connection, 'latin2', { tables: ['Größe'] });
      expect(facts.tables).toMatchObject([{ name: 'Größe', rows: 100 }]);
    });

    test('B1 SQL_ASCII with bytes that are no UTF-8', async () => {
      await server.sql(
        'postgres',
        `create database raw template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`,
      );
      await server.sql(
        'raw',
        `create table t (n int, v text);
      insert into t select g, convert_from(decode('fffe0a80c3', 'hex'), 'SQL_ASCII') from generate_series(1, 20) g`,
      );
      const { facts } = await roundTrip(server, connection, 'raw');
      expect(facts.tables).toMatchObject([{ rows: 20 }]);
      expect(
        await server.sql('raw_again', `select distinct encode(convert_to(v, 'SQL_ASCII'), 'hex') as hex from t`),
      ).toEqual([{ hex: 'fffe0a80c3' }]);
    });

    test('B1 collations and locale providers', async () => {
      const locales =
        major >= 17
          ? [
              ['icu', `locale_provider icu icu_locale 'sv-x-icu' lc_collate 'C' lc_ctype 'C'`],
              ['builtin', `locale_provider builtin builtin_locale 'C.UTF-8' lc_collate 'C' lc_ctype 'C'`],
            ]
          : [['icu', `locale_provider icu icu_locale 'sv-x-icu' lc_collate 'C' lc_ctype 'C'`]];
      for (const [name, options] of [...locales, ['posix', `lc_collate 'C' lc_ctype 'C.UTF-8'`]] as const) {
        await server.sql(
          'postgres',
          `create database ${String(name)} template template0 encoding 'UTF8' ${String(options)}`,
        );
        await server.sql(
          String(name),
          `create table t (v text primary key); insert into t values ('z'), ('å'), ('ä'), ('Z'); create index on t (v collate "C")`,
        );
        await roundTrip(server, connection, String(name));
      }
    });

    test('B1 R5 a role that may read but is no superuser: no passwords, with a warning', async () => {
      const url = await server.addRole('reader', { password: 'pässword=@:' }, 'postgres');
      await server.sql('postgres', 'create database plain');
      await server.sql(
        'plain',
        'create table a as select 1 as x; create table b (id serial, t text); grant select on all tables in schema public to reader; grant select on all sequences in schema public to reader',
      );
      const reader = resolveConnection(url.replace(/pässword=@:/, encodeURIComponent('pässword=@:')));
      let warnings: readonly string[] = [];
      const { reader: backup } = await sealedBackup<LogicalFacts>(async (writer) => {
        const result = await dumpLogical({
          connection: reader,
          database: 'plain',
          writer,
          staging: work.path,
          jobs: 2,
          tools: findLogicalTools([server.pgBin]),
        });
        warnings = result.warnings;
        return result.facts;
      });
      expect(warnings).toEqual([expect.stringContaining('without their passwords')]);
      expect((await backup.read('globals.sql')).toString()).not.toMatch(/SCRAM/);
      await restoreLogical({
        reader: backup,
        connection,
        database: 'plain2',
        id: 'r',
        jobs: 1,
        staging: work.path,
        tools: findLogicalTools([server.pgBin]),
      });
      expect((await digestDatabase(connection, { database: 'plain2' })).digest).toBe(
        (await digestDatabase(connection, { database: 'plain' })).digest,
      );
    });
  },
);

test("B1 R5 from PostgreSQL 15 into 18, with 18's own tools; not back", async (context) => {
  if (installedPostgres(15) === undefined) return context.skip('PostgreSQL 15 is not installed');
  const [old, now] = [await startPostgres({ major: 15 }), await startPostgres()];
  const [from, to] = [resolveConnection(old.url()), resolveConnection(now.url())];
  await old.sql('postgres', 'create role "app owner"');
  await old.sql('postgres', 'create database shop owner "app owner"');
  await old.sql(
    'shop',
    `create table t as select g as id, 1.5::float8 / g as f from generate_series(1, 500) g; alter table t owner to "app owner"`,
  );
  const both = findLogicalTools([now.pgBin, old.pgBin]);
  const dump = (connection: PostgresConnection) =>
    sealedBackup<LogicalFacts>(
      async (writer) =>
        (await dumpLogical({ connection, database: 'shop', writer, staging: work.path, jobs: 2, tools: both })).facts,
    );
  const taken = await dump(from);
  const made = await restoreLogical({
    reader: taken.reader,
    connection: to,
    database: 'shop',
    id: 'r',
    jobs: 2,
    staging: work.path,
    tools: both,
  });
  expect(made.warnings).toEqual([expect.stringContaining('Created without login: role app owner')]);
  expect((await digestDatabase(to, { database: 'shop' })).digest).toBe(
    (await digestDatabase(from, { database: 'shop' })).digest,
  );
  expect(await now.sql('postgres', `select rolcanlogin from pg_roles where rolname = 'app owner'`)).toEqual([
    { rolcanlogin: false },
  ]);

  const back = await dump(to);
  const restore = (more: object) =>
    restoreLogical({
      reader: back.reader,
      connection: from,
      database: 'shop2',
      id: 'r',
      jobs: 2,
      staging: work.path,
      tools: both,
      ...more,
    });
  await expect(restore({})).rejects.toMatchObject({ code: 'sourceVersion' });
  // Tools older than the server are refused by name, on both ways.
  const [old15] = [await findLogicalTools([old.pgBin])(15)];
  await expect(
    dumpLogical({
      connection: to,
      database: 'shop',
      writer: undefined as never,
      staging: work.path,
      jobs: 1,
      tools: old15,
    }),
  ).rejects.toMatchObject({ code: 'toolVersion' });
  await now.sql('postgres', 'drop database shop');
  await now.sql('postgres', 'drop role "app owner"');
  await expect(
    restoreLogical({
      reader: taken.reader,
      connection: to,
      database: 'shop',
      id: 'r',
      jobs: 2,
      staging: work.path,
      tools: both,
      globals: 'skip',
    }),
  ).rejects.toMatchObject({ code: 'roleMissing', message: expect.stringContaining('app owner') });
  expect(await now.sql('postgres', `select 1 from pg_database where datname = 'shop'`)).toEqual([]);
});
