import type { PostgresServer } from './postgres.ts';

/** Tables that make stale visibility maps visible: vacuumed, all-visible pages whose rows are then deleted and updated. */
export async function createLoad(server: PostgresServer, database: string, tablespace?: string): Promise<void> {
  await server.sql(
    database,
    `
    create table wide (id int primary key, payload text) with (autovacuum_enabled = off);
    insert into wide select i, repeat(md5(i::text), 4) from generate_series(1, 20000) i;
    create table "Quoted "" Näme" (id bigint generated always as identity primary key, n int) with (autovacuum_enabled = off);
    insert into "Quoted "" Näme" (n) select i from generate_series(1, 20000) i;
    create table empty_table (id int primary key);
    create table shrinking (id int primary key, filler text) with (autovacuum_enabled = off);
    insert into shrinking select i, repeat('x', 200) from generate_series(1, 20000) i;
    ${tablespace === undefined ? '' : `create table elsewhere (id int primary key using index tablespace ${tablespace}, n int) with (autovacuum_enabled = off) tablespace ${tablespace}; insert into elsewhere select i, i from generate_series(1, 20000) i;`}`,
  );
  await server.sql(database, 'vacuum (freeze, analyze)');
}

/** Updates and deletes spread over all-visible pages; no vacuum. */
export async function disturb(
  server: PostgresServer,
  database: string,
  round: number,
  tablespace = false,
): Promise<void> {
  await server.sql(
    database,
    `
    delete from wide where id % 97 = ${round};
    update wide set payload = 'changed' where id % 89 = ${round};
    update "Quoted "" Näme" set n = -n where id % 83 = ${round};
    delete from "Quoted "" Näme" where id % 101 = ${round};
    delete from shrinking where id > ${20000 - round * 3000};
    ${tablespace ? `delete from elsewhere where id % 79 = ${round}; update elsewhere set n = 0 where id % 73 = ${round};` : ''}`,
  );
}

/** A digest of every table's rows, by sequential scans. */
export async function digests(
  server: { sql: PostgresServer['sql'] },
  database: string,
): Promise<Record<string, string>> {
  const tables = await server.sql<{ name: string }>(
    database,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'public' order by 1`,
  );
  const result: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await server.sql<{ digest: string }>(
      database,
      `
      set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off;
      select count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) as digest from only ${name} t`,
    );
    result[name] = row?.digest ?? '';
  }
  return result;
}
