/** A schema with one of everything pg_dump treats on its own way, and 100 tables. Statements are run one by one. */
export const richStatements = (): string[] => [
  'create extension hstore schema public',
  'create schema "Odd.Schema "', 'create schema app',
  `create type app.mood as enum ('sad', 'it''s ok', 'ハッピー')`, 'create domain app.positive as int check (value > 0)',
  ...Array.from({ length: 100 }, (_, i) => `create table app.t${String(i)} as select g as id, md5(g::text || '${String(i)}') as v from generate_series(1, ${String((i * 7) % 50)}) g`),
  'create table app.empty (id int primary key)', 'create table app.nothing ()', 'insert into app.nothing default values', 'insert into app.nothing default values',
  `create table "Odd.Schema "."na""me
with 'all' \\ of; it -- é日本" ("co""l" text, "select" int, "x.y" text[])`,
  `insert into "Odd.Schema "."na""me
with 'all' \\ of; it -- é日本" values (E'\\\\.', 1, '{a,"b\\"c",NULL}'), (E'\\\\.\\n\\\\.\\n', 2, null), (null, 3, '{}'), (E'tab\\tcr\\r\\nlf\\n', 4, '{x}'), ('', 5, '{""}'), ('\\N', 6, null)`,
  `create table app.types (id bigint generated always as identity, i app.positive, m app.mood, f4 real, f8 double precision, n numeric, b bytea, ts timestamptz, iv interval, j jsonb, h public.hstore,
     r int4range, x xml, u uuid, a inet, bits bit varying, arr int[][], twice bigint generated always as (f4::numeric::bigint * 2) stored)`,
  `insert into app.types (i, m, f4, f8, n, b, ts, iv, j, h, r, x, u, a, bits, arr)
     select g, 'it''s ok', g / 3.0, 'NaN', 'Infinity', decode(lpad(to_hex(g), 8, '0'), 'hex'), '2026-11-01 00:00:00.123456+02', '1 mon -2 days 03:04:05.6', '{"a":[1,null]}', 'k=>v', '[1,5)',
       '<a>&amp;</a>', gen_random_uuid(), '10.0.0.1/8', B'10101', '{{1,2},{3,null}}' from generate_series(1, 200) g`,
  'create table app.parted (id int, at date, v text, primary key (id, at)) partition by range (at)',
  `create table app.parted_1 partition of app.parted for values from ('2026-01-01') to ('2026-02-01')`, 'create table app.parted_rest partition of app.parted default',
  `insert into app.parted select g, date '2026-01-20' + g, 'v' from generate_series(1, 40) g`,
  'create table app.parent (id int)', 'create table app.child (extra text) inherits (app.parent)', `insert into app.parent values (1), (2)`, `insert into app.child values (3, 'x')`,
  'create table app.orders (id serial primary key, parent int references app.orders, note text)', `insert into app.orders (parent, note) select nullif(g / 2, 0), 'n' from generate_series(1, 50) g`,
  'create sequence app.counter start 5 increment 3 cycle maxvalue 500', `select setval('app.counter', 77)`,
  'create index on app.orders (lower(note)) where id > 3', 'create statistics app.stat on id, parent from app.orders',
  'create materialized view app.totals as select parent, count(*) from app.orders group by 1', 'create view app.seen with (security_barrier) as select * from app.orders',
  'create materialized view app.unfilled as select 1 as one with no data',
  `create function app.touch() returns trigger language plpgsql as $$begin new.note := new.note || '!'; return new; end$$`, 'create trigger touch before update on app.orders for each row execute function app.touch()',
  'alter table app.orders enable row level security', 'alter table app.orders force row level security', 'create policy mine on app.orders for select using (id < 10)',
  `comment on table app.orders is 'it''s "commented"'`, `comment on column app.orders.note is 'näive'`,
  'create unlogged table app.unlogged as select 1 as x', 'create rule keep as on delete to app.empty do instead nothing',
  `select lo_from_bytea(0, decode(repeat('00ff0a5c', 5000), 'hex')) from generate_series(1, 5)`, 'select lo_create(0)',
];
