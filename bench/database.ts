import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { PostgresServer } from '../test/support/index.ts';
import { runTool } from './tool.ts';

export const databaseName = 'bench';

const pgbenchBytesPerScale = 15.6e6;
/** Heap and index of one event row. */
const eventBytes = 690;

/**
 * Fills the database `bench`: a bit more than half is pgbench (numbers and blanks, compresses very well), the rest events with
 * words, uuids, JSON and random bytes, so that about a third of the whole cannot be compressed. Vacuumed, checkpointed.
 */
export async function fillDatabase(server: PostgresServer, sizeMb: number): Promise<void> {
  await server.sql('postgres', `create database ${databaseName}`);
  const scale = Math.max(1, Math.round((0.55 * sizeMb * 1e6) / pgbenchBytesPerScale));
  const port = ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres'];
  await runTool(join(server.pgBin, 'pgbench'), ['-i', '-q', '-s', String(scale), ...port, databaseName]);
  await server.sql(
    databaseName,
    `create table events (
       id bigint primary key, at timestamptz not null, visitor uuid not null, kind text not null,
       payload jsonb not null, note text, body bytea not null);
     create index events_at on events (at)`,
  );
  const rows = Math.max(1000, Math.round((0.45 * sizeMb * 1e6) / eventBytes));
  const sessions = Math.min(4, availableParallelism());
  const share = Math.ceil(rows / sessions);
  await Promise.all(
    Array.from({ length: sessions }, (_, i) =>
      server.sql(databaseName, insertEvents, [i * share + 1, Math.min(rows, (i + 1) * share)]),
    ),
  );
  await server.sql(databaseName, 'vacuum (analyze, freeze)');
  await server.sql(databaseName, 'checkpoint');
}

const insertEvents = `
  insert into events
  select i, timestamptz '2026-01-01' + i * interval '7 seconds', gen_random_uuid(),
    (array['view', 'click', 'order', 'payment', 'refund', 'login'])[1 + i % 6],
    jsonb_build_object('session', gen_random_uuid(), 'amount', (random() * 100000)::int, 'path', '/item/' || (random() * 100000)::int,
      'agent', (array['Mozilla/5.0 (X11; Linux x86_64)', 'Mozilla/5.0 (Macintosh)', 'curl/8.5'])[1 + i % 3]),
    'order ' || i || ' was ' || (array['packed', 'sent', 'returned', 'paid'])[1 + i % 4] || ' at step ' || (random() * 100)::int,
    sha512((i || 'a' || random())::bytea) || sha512((i || 'b' || random())::bytea) || sha512((i || 'c' || random())::bytea) ||
    sha512((i || 'd' || random())::bytea) || sha512((i || 'e' || random())::bytea) || sha512((i || 'f' || random())::bytea)
  from generate_series($1::bigint, $2::bigint) i`;

/** Changes 1 % of the rows of both large tables, each in one run of neighbouring rows; another one each time. */
export async function changeOnePercent(server: PostgresServer, time: number): Promise<void> {
  const at = (((time * 7) % 90) + 1) / 100;
  await server.sql(
    databaseName,
    `update pgbench_accounts set abalance = abalance + 1 where aid between (select max(aid) * ${String(at)} from pgbench_accounts)::int
       and (select max(aid) * ${String(at + 0.01)} from pgbench_accounts)::int;
     update events set note = note || '.' where id between (select max(id) * ${String(at)} from events)::bigint
       and (select max(id) * ${String(at + 0.01)} from events)::bigint`,
  );
  await server.sql(databaseName, 'checkpoint');
}

export async function databaseBytes(server: PostgresServer): Promise<number> {
  const [row] = await server.sql<{ bytes: string }>(
    'postgres',
    'select sum(pg_database_size(oid)) as bytes from pg_database',
  );
  return Number(row?.bytes ?? 0);
}

/** A server of our own for measuring: durable as in production, with nothing running in the background but what it must. */
export const serverSettings = {
  fsync: true,
  config: {
    shared_buffers: '256MB',
    max_wal_size: '4GB',
    checkpoint_timeout: '1h',
    autovacuum: 'off',
    max_connections: '60',
  },
} as const;
