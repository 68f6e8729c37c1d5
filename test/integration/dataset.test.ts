/** Data sets (B6): one snapshot, one transaction, exact counts; what lies outside the sets is never changed. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DatasetFacts } from '../../domain/dataset.ts';
import { dumpSets, type SetDefinition } from '../../providers/dataset/dump-sets.ts';
import { replaceRows, restoreOldRows, settleBeside } from '../../providers/dataset/replace.ts';
import { buildStage, dropStage, verifyStage } from '../../providers/dataset/stage.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { type PostgresServer, startPostgres, stopAll } from '../support/index.ts';
import { sealedBackup } from '../support/sealed-backup.ts';

let server: PostgresServer;
let db: pg.Client;
let connection: PostgresConnection;

const schema = `
  drop schema if exists hr cascade; drop schema public cascade; create schema public; create schema hr;
  create type public.mood as enum ('sad', 'it''s ok');
  create table public.participants (id bigint generated always as identity primary key, name text not null, mood public.mood, twice bigint generated always as (id * 2) stored);
  create table public.attendance (id serial primary key, participant bigint not null references public.participants, at timestamptz not null, note text, boss int references public.attendance);
  create table hr."Odd ""name" (k text primary key, v jsonb);
  create table public.outside (id int primary key, participant bigint references public.participants on delete cascade);
  insert into public.participants (name, mood) select 'p' || g, 'it''s ok' from generate_series(1, 50) g;
  insert into public.attendance (participant, at, note, boss) select 1 + g % 50, timestamptz '2026-11-01 00:00:00.123456+02' + g * interval '1 hour', E'tab\\there\\\\nor \\n there \\\\.', nullif(g - 1, 0) from generate_series(1, 500) g;
  insert into hr."Odd ""name" values ('a', '{"x":[1,null]}'), ('b', null);
  insert into public.outside select g, g from generate_series(1, 10) g;`;

const sets: SetDefinition[] = [
  { name: 'people', tables: ['participants'], queries: [], schemaVersion: '3' },
  { name: 'attendance_records', tables: ['attendance', 'hr."Odd ""name"'], queries: [], schemaVersion: { query: `select '3.1'` } },
  { name: 'active', tables: [], queries: [{ name: 'active', sql: 'select id, name, now() as seen from participants where id <= 5 -- five' }], schemaVersion: '3' },
];

const backup = async (chosen: SetDefinition[] = sets) => {
  const { reader, facts } = await sealedBackup((writer) => dumpSets({ connection, sets: chosen, writer }) as never, { partBytes: 64 * 1024 });
  return { reader, facts: facts as unknown as DatasetFacts };
};
const digest = async (client: pg.Client, table: string): Promise<string> => (await client.query<{ d: string }>(`select md5(string_agg(t::text, '|' order by t::text)) as d from ${table} t`)).rows[0]?.d ?? '';
const tables = ['public.participants', 'public.attendance', 'hr."Odd ""name"', 'public.outside'];
const digests = async (client = db): Promise<string[]> => {
  const all: string[] = [];
  for (const table of tables) all.push(await digest(client, table));
  return all;
};

beforeAll(async () => {
  server = await startPostgres();
  connection = resolveConnection(server.url());
  db = new pg.Client({ connectionString: server.url() });
  await db.connect();
});
beforeEach(async () => { await db.query(schema); });
afterAll(async () => {
  await db.end();
  await stopAll();
});

const inPlace = (id: string) => ({ connection, database: 'postgres', id });

describe('data sets', () => {
  test('several sets come from one snapshot, whatever is written meanwhile', async () => {
    const writerStops = new AbortController();
    const other = new pg.Client({ connectionString: server.url() });
    await other.connect();
    // Every transaction adds to both tables: in one snapshot the counts agree.
    await db.query('create table public.left_ (id int); create table public.right_ (id int)');
    const load = (async () => {
      for (let i = 0; !writerStops.signal.aborted; i++) await other.query(`with a as (insert into left_ values (${String(i)})) insert into right_ values (${String(i)})`);
    })();
    try {
      for (let i = 0; i < 5; i++) {
        const { facts } = await backup([{ name: 'l', tables: ['left_'], queries: [], schemaVersion: '1' }, { name: 'r', tables: ['right_'], queries: [{ name: 'n', sql: 'select count(*) from left_' }], schemaVersion: '1' }]);
        const [l, r] = facts.sets;
        expect(l?.members[0]?.rows).toBe(r?.members[0]?.rows);
      }
    } finally {
      writerStops.abort();
      await load;
      await other.end();
    }
  });

  test('in place: rows are replaced in one transaction, what is outside stays, and the old rows come back on rollback', async () => {
    const { reader, facts } = await backup();
    expect(facts.sets.map((set) => [set.name, set.schemaVersion, set.members.map((member) => member.rows)])).toEqual([['people', '3', [50]], ['attendance_records', '3.1', [500, 2]], ['active', '3', [5]]]);
    const before = await digests();
    await db.query(`delete from attendance where id > 100; update attendance set note = 'changed'; insert into participants (name) values ('later'); update participants set name = 'x' where id = 7; delete from hr."Odd ""name"`);
    const changed = await digests();
    const chosen = facts.sets.slice(0, 2);
    const place = inPlace('a1');
    const built = await buildStage(place, { reader, sets: chosen, kept: false });
    expect(built.rows).toBe(552);
    expect(await digests()).toEqual(changed);
    expect(await verifyStage(place)).toEqual({ tables: 3, rows: 552 });
    expect(await replaceRows(place)).toEqual({ rows: 552 });
    expect(await digests()).toEqual(before);
    // A second call, as after a crash, finds it done.
    expect(await replaceRows(place)).toEqual({ rows: 552 });
    expect((await db.query<{ id: string }>(`insert into attendance (participant, at) values (1, now()) returning id`)).rows[0]?.id).toBeGreaterThan(500);
    await db.query('delete from attendance where id > 500');
    expect(await restoreOldRows(place)).toBe(true);
    expect(await digests()).toEqual(changed);
    expect((await db.query(`select 1 from pg_namespace where nspname like 'resurgo%'`)).rowCount).toBe(0);
  });

  test('a row outside the sets that refers to what would go refuses the restore, and nothing is changed', async () => {
    const { reader, facts } = await backup();
    await db.query(`insert into participants (name) values ('later'); insert into outside values (99, 51)`);
    const changed = await digests();
    const place = inPlace('a2');
    await buildStage(place, { reader, sets: facts.sets.slice(0, 1), kept: false });
    await expect(replaceRows(place)).rejects.toMatchObject({ code: 'outsideReferences', message: expect.stringContaining('public.outside') as string });
    expect(await digests()).toEqual(changed);
    await dropStage(place);
  });

  test('a trigger that drops rows is found by the count, and nothing is changed', async () => {
    const { reader, facts } = await backup();
    await db.query(`create function public.swallow() returns trigger language plpgsql as $$ begin if new.id = 3 then return null; end if; return new; end $$;
      create trigger swallow before insert on public.attendance for each row execute function public.swallow(); alter table attendance drop constraint attendance_boss_fkey`);
    const changed = await digests();
    const place = inPlace('a3');
    await buildStage(place, { reader, sets: facts.sets.slice(1, 2), kept: false });
    await expect(replaceRows(place)).rejects.toMatchObject({ code: 'restoreMismatch' });
    expect(await digests()).toEqual(changed);
    await dropStage(place);
  });

  test('beside: tables are made where there are none, a query becomes a table named for its set; tables with rows are refused', async () => {
    const { reader, facts } = await backup();
    const before = await digests();
    await db.query('create database beside');
    try {
      const place = { connection, database: 'beside', id: 'b1' };
      const other = new pg.Client({ connectionString: server.url('beside') });
      await other.connect();
      try {
        await expect(buildStage(place, { reader, sets: facts.sets, kept: true })).rejects.toMatchObject({ code: 'extensionMissing', message: expect.stringContaining('public.mood') as string });
        await other.query(`create type public.mood as enum ('sad', 'it''s ok')`);
        await buildStage(place, { reader, sets: facts.sets, kept: true });
        // Again, as after a crash.
        await buildStage(place, { reader, sets: facts.sets, kept: true });
        expect(await settleBeside(place)).toEqual({ tables: 4 });
        expect(await settleBeside(place)).toEqual({ tables: 0 });
        expect(await digest(other, 'public.attendance')).toBe(before[1]);
        expect(await digest(other, 'hr."Odd ""name"')).toBe(before[2]);
        expect((await other.query('select id, name from public.active order by id')).rows).toHaveLength(5);
        await buildStage({ ...place, id: 'b2' }, { reader, sets: facts.sets, kept: true });
        await expect(settleBeside({ ...place, id: 'b2' })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
      } finally {
        await other.end();
      }
    } finally {
      await db.query('drop database beside');
    }
  });

  test('a set that names no table, a query that is none and a version that is not one value are refused by name', async () => {
    const one = (more: Partial<SetDefinition>): SetDefinition[] => [{ name: 'bad', tables: [], queries: [], schemaVersion: '1', ...more }];
    await expect(backup(one({ tables: ['nowhere'] }))).rejects.toMatchObject({ code: 'configInvalid', message: expect.stringContaining('public.nowhere') as string });
    await expect(backup(one({ queries: [{ name: 'q', sql: 'select 1 as a, 2 as a' }] }))).rejects.toMatchObject({ code: 'configInvalid' });
    await expect(backup(one({ schemaVersion: { query: 'select id from participants' } }))).rejects.toMatchObject({ code: 'configInvalid' });
  });
});
