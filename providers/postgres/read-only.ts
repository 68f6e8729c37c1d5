import type { PgClient } from './postgres-client.ts';

/**
 * One query of the configuration in a transaction that can change nothing, with a time limit, and rolled back, in a session that was opened for it
 * (`theirs`): names in it mean what they mean to everybody else in that database. The extended protocol takes a single statement, so that
 * none can end the transaction and go on outside of it.
 */
export async function readOnly<Row extends Record<string, unknown>>(client: PgClient, sql: string, timeoutMs: number): Promise<Row[]> {
  await client.query(`begin transaction read only`);
  try {
    await client.query(`set local search_path to default; set local statement_timeout = ${String(Math.max(1, Math.round(timeoutMs)))}; set local lock_timeout = ${String(Math.max(1, Math.round(timeoutMs)))}; set local timezone = 'UTC'`);
    const extended = { text: withoutEnd(sql), queryMode: 'extended' };
    const { rows } = await client.query<Row>(extended);
    return rows;
  } finally {
    await client.query('rollback');
  }
}

/** The first value of the first row as text; null where there is none. */
export async function firstValue(client: PgClient, sql: string, timeoutMs: number): Promise<string | null> {
  const [row] = await readOnly(client, sql, timeoutMs);
  const value: unknown = row === undefined ? null : Object.values(row)[0];
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A query for one time, as ISO in UTC; null where it finds none. */
export async function timeOf(client: PgClient, sql: string, timeoutMs: number): Promise<string | null> {
  const value = await firstValue(client, `select extract(epoch from ((${withoutEnd(sql)}\n)::pg_catalog.timestamptz))::pg_catalog.float8`, timeoutMs);
  if (value === null) return null;
  const date = new Date(Math.floor(Number(value) * 1000));
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** A query for one number; null where it finds none. */
export async function numberOf(client: PgClient, sql: string, timeoutMs: number): Promise<number | null> {
  const value = await firstValue(client, `select ((${withoutEnd(sql)}\n))::pg_catalog.float8`, timeoutMs);
  return value === null || !Number.isFinite(Number(value)) ? null : Number(value);
}

const withoutEnd = (sql: string): string => sql.trim().replace(/(;\s*)+$/, '');
