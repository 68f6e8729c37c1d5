import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LogicalFacts } from '../../domain/backup.ts';
import type { DatasetFacts } from '../../domain/dataset.ts';
import { dumpSets } from '../../providers/dataset/dump-sets.ts';
import { replaceRows } from '../../providers/dataset/replace.ts';
import { buildStage } from '../../providers/dataset/stage.ts';
import { analyzeDatabase } from '../../providers/postgres/analyze.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { readDatabaseFacts } from '../../providers/postgres/logical-facts.ts';
import { assertSameStorage } from '../../providers/postgres/logical-snapshot.ts';
import { dropDatabase, withMaintenance } from '../../providers/postgres/maintenance.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { dumpLogical } from '../../providers/postgres/logical-dump.ts';
import { restoreLogical } from '../../providers/postgres/logical-restore.ts';
import { digestDatabase, verifyLogical } from '../../providers/postgres/logical-verify.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import { asTheirs, withClient } from '../../providers/postgres/postgres-client.ts';
import { firstValue, timeOf } from '../../providers/postgres/read-only.ts';
import { type PostgresServer, startPostgres, stopAll, tempDir, type TempDir } from '../support/index.ts';
import { sealedBackup } from '../support/sealed-backup.ts';

let server: PostgresServer;
let connection: PostgresConnection;
let work: TempDir;

const tools = () => findLogicalTools([server.pgBin]);
const backup = (database: string) =>
  sealedBackup<LogicalFacts>(
    async (writer) =>
      (await dumpLogical({ connection, database, writer, staging: join(work.path, 'dump'), jobs: 2, tools: tools() })).facts,
  );

/** Backs up, restores and checks a database: every query of ours is asked in it, or in its copy. */
const roundTrip = async (database: string): Promise<void> => {
  const { reader, facts } = await backup(database);
  const copy = `${database}_copy`;
  await restoreLogical({ reader, connection, database: copy, id: database.replaceAll('_', ''), jobs: 2, staging: join(work.path, 'restore'), tools: tools() });
  await verifyLogical({ connection, database: copy, facts, jobs: 2 });
  expect((await digestDatabase(connection, { database: copy })).digest).toBe((await digestDatabase(connection, { database })).digest);
  expect(await analyzeDatabase(connection, database, 2, undefined)).toEqual([]);
};

/** Operators and functions that fit our catalogue queries better than those of the server; each says who ran it. */
const traps = `
  create function public.trap() returns boolean language plpgsql as $$ begin raise exception 'trap: run as %', current_user; end $$;
  create function public.trap_oid(oid, regclass) returns boolean language sql as 'select public.trap()';
  create operator public.= (leftarg = oid, rightarg = regclass, function = public.trap_oid);
  create function public.trap_ns(oid, regnamespace) returns boolean language sql as 'select public.trap()';
  create operator public.<> (leftarg = oid, rightarg = regnamespace, function = public.trap_ns);
  create function public.trap_names(name, text) returns boolean language sql as 'select public.trap()';
  create operator public.= (leftarg = name, rightarg = text, function = public.trap_names);
  create operator public.!~ (leftarg = name, rightarg = text, function = public.trap_names);
  create function public.current_setting(text) returns text language sql as 'select public.trap()::text';
  create function public.pg_table_size(oid) returns bigint language sql as 'select public.trap()::int::bigint';
  create function public.count(int) returns bigint language sql as 'select 1::bigint';
  create function public.to_char(timestamp without time zone, text) returns text language sql as 'select public.trap()::text';
  create function public.verify_heapam(regclass) returns table (msg text) language sql as 'select public.trap()::text';
  create function public.bt_index_check(regclass, text) returns void language sql as 'select public.trap()';
`;

beforeAll(async () => {
  server = await startPostgres();
  work = tempDir('session');
  connection = resolveConnection(server.url());
  await server.sql('postgres', 'create role mallory login');
});
afterAll(stopAll);

describe('a database whose owner is no friend', () => {
  beforeAll(async () => {
    await server.sql('postgres', 'create database evil owner mallory');
    await server.sql('evil', 'create extension amcheck schema public');
    await server.session('evil', async (client) => {
      await client.query('set session authorization mallory');
      await client.query('create table public.t (id int primary key, v text); insert into public.t select i, i::text from generate_series(1, 50) i');
      await client.query(traps);
    });
    await server.sql('evil', 'alter database evil set search_path = public, pg_catalog');
  });

  test('S1 none of its operators and functions is run by our own queries', async () => {
    await expect(server.sql('evil', `select 1 where 1::oid = 'pg_class'::regclass`)).rejects.toThrow(/trap: run as postgres/);
    await roundTrip('evil');
  });

  test('S1 nor by the checks of a restored cluster, though amcheck lies in its schema', async () => {
    const found = await checkCluster({ connection, depth: 'full' });
    expect(found.checks).toEqual(expect.arrayContaining(['verify_heapam', 'bt_index_check (heapallindexed)']));
    expect(found.warnings).toEqual([]);
  });

  test('nor where a query of the configuration runs beside ours', async () => {
    await server.sql('postgres', 'create database sets owner mallory');
    await server.session('sets', async (client) => {
      await client.query('set session authorization mallory');
      await client.query(`${traps}; create schema app; create table app.t (id int primary key); insert into app.t values (1), (2)`);
    });
    await server.sql('sets', 'alter database sets set search_path = app, public');
    const { facts } = await sealedBackup((writer) => dumpSets({
      connection: resolveConnection(server.url('sets')), writer,
      sets: [{ name: 's', tables: ['app.t'], queries: [{ name: 'q', sql: 'select id from t' }], schemaVersion: { query: 'select max(id)::text from t' } }],
    }) as never);
    expect(facts).toMatchObject({ sets: [{ schemaVersion: '2', members: [{ rows: 2 }, { rows: 2 }] }] });
  });
});

test('B1 settings of the database do not fail our statements, nor change what they mean', async () => {
  await server.sql('postgres', 'create database odd');
  await server.sql('odd', `create table public.t (id int primary key, at timestamptz, b bytea, f float8, i interval); insert into public.t select i, now(), '\\x01'::bytea, i / 3.0, '1 day 2 hours' from generate_series(1, 50) i`);
  const settings = {
    statement_timeout: '1', lock_timeout: '1', idle_in_transaction_session_timeout: '1', idle_session_timeout: '1', transaction_timeout: '1',
    default_transaction_read_only: 'on', default_transaction_isolation: 'serializable', row_security: 'off', DateStyle: 'German, DMY', IntervalStyle: 'iso_8601',
    bytea_output: 'escape', extra_float_digits: '-15', client_min_messages: 'error', standard_conforming_strings: 'off',
  };
  for (const [name, value] of Object.entries(settings)) await server.sql('postgres', `alter database odd set ${name} = '${value}'`);
  await roundTrip('odd');
  expect(existsSync(join(work.path, 'restore', 'restore'))).toBe(false);
});

test('triggers of restored tables fire, with the path of their database, whatever role its sessions have', async () => {
  await server.sql('postgres', 'create database fired');
  await server.sql('fired', `create schema app; create table app.audit (what text); create table app.t (id int primary key); insert into app.t values (1), (2);
    create function app.note() returns trigger language plpgsql as $$ begin insert into audit values (tg_op); return null; end $$;
    create trigger note after insert or delete on app.t for each row execute function app.note()`);
  await server.sql('postgres', `alter database fired set search_path = app`);
  await server.sql('postgres', `alter database fired set session_replication_role = replica`);
  const place = { connection, database: 'fired', id: 'f1' };
  const { reader, facts } = await sealedBackup((writer) => dumpSets({ connection: resolveConnection(server.url('fired')), writer, sets: [{ name: 's', tables: ['app.t'], queries: [], schemaVersion: '1' }] }) as never);
  await buildStage(place, { reader, sets: (facts as unknown as DatasetFacts).sets, kept: false });
  await replaceRows(place);
  expect(await server.sql('fired', 'select what, count(*)::int as n from app.audit group by 1 order by 1')).toEqual([{ what: 'DELETE', n: 2 }, { what: 'INSERT', n: 2 }]);
});

describe('queries of the configuration', () => {
  const theirs = { database: 'theirs', theirs: true } as const;

  beforeAll(async () => {
    await server.sql('postgres', 'create database theirs');
    await server.sql('theirs', `create schema app; create table app.t (at timestamptz); insert into app.t values ('2026-05-04 03:02:01+00')`);
    await server.sql('postgres', `alter database theirs set search_path = app`);
    await server.sql('postgres', `alter database theirs set DateStyle = 'SQL, DMY'`);
  });

  test('have the search path and the order of dates of their database; ours before and after them do not', async () => {
    await withClient(connection, async (client) => {
      const path = async (): Promise<unknown> => (await client.query<{ path: string }>(`select current_setting('search_path') as path`)).rows[0]?.path;
      expect(await path()).toBe('pg_catalog, pg_temp');
      expect(await timeOf(client, 'select at from t', 1000)).toBe('2026-05-04T03:02:01.000Z');
      expect(await firstValue(client, `select extract(month from '04/05/2026'::date)::text`, 1000)).toBe('5');
      expect(await path()).toBe('pg_catalog, pg_temp');
      expect((await asTheirs(client, () => client.query('select from t'))).rowCount).toBe(1);
      expect(await path()).toBe('pg_catalog, pg_temp');
      await expect(asTheirs(client, () => client.query('select from nowhere'))).rejects.toThrow(/nowhere/);
      expect(await path()).toBe('pg_catalog, pg_temp');
      await client.query('begin');
      await expect(asTheirs(client, () => client.query('select from nowhere'))).rejects.toThrow(/nowhere/);
      await client.query('rollback');
      expect(await path()).toBe('pg_catalog, pg_temp');
    }, theirs);
  });
});

describe('B1 R2 what runs in a database, or holds it', () => {
  test('event triggers: one that writes at each login, one that refuses commands', { timeout: 120_000 }, async ({ skip }) => {
    if (server.major < 17) return skip('they can be turned off from 17 on');
    await server.sql('postgres', 'create database triggers_on');
    await server.sql('triggers_on', `create table public.logins (at timestamptz); create table public.data as select generate_series(1, 10) i; create materialized view public.sums as select sum(i) from public.data;
      create function public.note() returns event_trigger language plpgsql as $$ begin insert into public.logins values (now()); end $$;
      create function public.refuse() returns event_trigger language plpgsql as $$ begin raise exception 'no commands here'; end $$;
      create event trigger at_login on login execute function public.note(); alter event trigger at_login enable always;
      create event trigger at_command on ddl_command_start execute function public.refuse();`);
    await roundTrip('triggers_on');
  });

  test('a database with a subscription is restored, and dropped again', { timeout: 120_000 }, async () => {
    await server.sql('postgres', 'create database subscribed');
    await server.sql('subscribed', `create table public.t (i int primary key); create subscription s1 connection 'host=127.0.0.1 port=1 dbname=nowhere' publication p with (connect = false, slot_name = 's1')`);
    await roundTrip('subscribed');
    await withMaintenance(connection, ['subscribed_copy'], (client) => dropDatabase(connection, client, 'subscribed_copy'));
    expect(await server.sql('postgres', `select datname from pg_database where datname = 'subscribed_copy'`)).toEqual([]);
  });

  test('B10 a table that is replaced between the snapshot and the lock of pg_dump fails the dump', { timeout: 60_000 }, async () => {
    await server.sql('postgres', 'create database replaced');
    await server.sql('replaced', 'create table public.z as select generate_series(1, 1000) i; create table public.calm (i int)');
    const facts = await withClient(connection, readDatabaseFacts, { database: 'replaced' });
    await expect(assertSameStorage(connection, 'replaced', facts.tables, undefined)).resolves.toBeUndefined();
    await server.sql('replaced', 'begin; create table public.z_new as select generate_series(1, 1000) i; drop table public.z; alter table public.z_new rename to z; commit');
    await expect(assertSameStorage(connection, 'replaced', facts.tables, undefined)).rejects.toMatchObject({ code: 'dumpFailed', message: expect.stringContaining('public.z') as string });
  });
});
