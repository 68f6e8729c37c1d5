import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { buildMark } from '../../providers/postgres/create-database.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import {
  confirmInPlace,
  keptName,
  leftCopies,
  rollbackInPlace,
  swapBack,
  swapIn,
  workingName,
} from '../../providers/postgres/in-place-logical.ts';
import { dumpLogical } from '../../providers/postgres/logical-dump.ts';
import { restoreLogical } from '../../providers/postgres/logical-restore.ts';
import type { LogicalFacts } from '../../domain/backup.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { type PostgresServer, startPostgres, stopAll, tempDir, type TempDir } from '../support/index.ts';
import { sealedBackup } from '../support/sealed-backup.ts';

let server: PostgresServer;
let connection: PostgresConnection;
let work: TempDir;
let reader: BackupReader;
let n = 0;
const open: pg.Client[] = [];

const databases = async () =>
  (
    await server.sql<{ datname: string }>(
      'postgres',
      `select datname from pg_database where datname !~ '^(postgres|template.)$' order by 1`,
    )
  ).map((row) => row.datname);
const content = async (database: string) => (await server.sql<{ v: string }>(database, 'select v from t'))[0]?.v;
const comment = async (database: string) =>
  (
    await server.sql<{ c: string | null }>(
      'postgres',
      `select shobj_description(oid, 'pg_database') as c from pg_database where datname = $1`,
      [database],
    )
  )[0]?.c;
/** A database whose content is `live`, and a build of the backup (content `backup`) beside it. */
const scene = async (name = `shop${String(++n)}`) => {
  const id = `r${String(++n)}`;
  const quoted = pg.escapeIdentifier(name);
  await server.sql('postgres', `create database ${quoted}`);
  await server.sql('postgres', `comment on database ${quoted} is 'the shop''s'`);
  await server.sql(name, `create table t as select 'live' as v`);
  await build(name, id);
  return { connection, database: name, id };
};
const build = (name: string, id: string) =>
  restoreLogical({
    reader,
    connection,
    database: workingName(name, id),
    id,
    jobs: 1,
    staging: work.path,
    tools: findLogicalTools([server.pgBin]),
  });
const session = async (database: string) => {
  const client = new pg.Client(server.url(database));
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  return client;
};

beforeAll(async () => {
  server = await startPostgres();
  work = tempDir('in-place');
  connection = resolveConnection(server.url());
  await server.sql('postgres', 'create database origin');
  await server.sql('origin', `create table t as select 'backup' as v`);
  reader = (
    await sealedBackup<LogicalFacts>(
      async (writer) =>
        (
          await dumpLogical({
            connection,
            database: 'origin',
            writer,
            staging: work.path,
            jobs: 1,
            tools: findLogicalTools([server.pgBin]),
          })
        ).facts,
    )
  ).reader;
  await server.sql('postgres', 'drop database origin');
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.end().catch(() => undefined);
  for (const name of await databases())
    await server.sql('postgres', `drop database ${pg.escapeIdentifier(name)} with (force)`);
});
afterAll(stopAll);

describe('in place', () => {
  test("R2 swap, confirm: sessions are ended, the new database has all of the old one's properties", async () => {
    await server.sql('postgres', 'create role keeper; create role app');
    const at = await scene();
    for (const sql of [
      `alter database ${at.database} owner to keeper`,
      `alter database ${at.database} connection limit 33`,
      `alter database ${at.database} set search_path = "$user", public`,
      `alter role app in database ${at.database} set work_mem = '7MB'`,
      `revoke all on database ${at.database} from public`,
      `grant connect on database ${at.database} to app`,
    ])
      await server.sql('postgres', sql);
    const facts = () =>
      server.sql(
        'postgres',
        `select pg_get_userbyid(datdba) as owner, datconnlimit, datallowconn, datacl::text, shobj_description(oid, 'pg_database') as comment, (select jsonb_agg(jsonb_build_array(setrole::regrole, setconfig) order by setrole) from pg_db_role_setting where setdatabase = d.oid) as settings from pg_database d where datname = $1`,
        [at.database],
      );
    const before = await facts();
    const busy = await session(at.database);
    await busy.query('begin; create table uncommitted (x int)');
    expect(await swapIn(at)).toEqual({ kept: `${at.database}_old`, warnings: [] });
    await expect(busy.query('select 1')).rejects.toThrow();
    expect(await content(at.database)).toBe('backup');
    expect(await facts()).toEqual(before);
    expect(await databases()).toEqual([at.database, `${at.database}_old`]);
    await expect(session(`${at.database}_old`)).rejects.toMatchObject({ code: '55000' });
    expect(await leftCopies(connection)).toMatchObject([
      { name: `${at.database}_old`, mark: { kind: 'kept', restore: at.id, database: at.database } },
    ]);
    expect(await swapIn(at)).toEqual({ kept: `${at.database}_old`, warnings: [] });

    await expect(confirmInPlace({ ...at, id: 'another' })).rejects.toMatchObject({ code: 'inputInvalid' });
    expect(await confirmInPlace(at)).toContain('was dropped');
    expect(await confirmInPlace(at)).toContain('gone already');
    await expect(rollbackInPlace(at)).rejects.toMatchObject({ code: 'inputInvalid' });
    expect(await databases()).toEqual([at.database]);
  });

  test('R2 rollback brings the old back and keeps the bad copy', async () => {
    const at = await scene();
    await swapIn(at);
    await server.sql(at.database, `update t set v = 'bad'`);
    expect(await rollbackInPlace(at)).toEqual({ failed: `${at.database}_failed` });
    expect([await content(at.database), await content(`${at.database}_failed`), await comment(at.database)]).toEqual([
      'live',
      'bad',
      `the shop's`,
    ]);
    expect(await rollbackInPlace(at)).toEqual({ failed: `${at.database}_failed` });
    expect(await content(at.database)).toBe('live');
    // A second one finds the name taken.
    await build(at.database, 'second');
    await swapIn({ ...at, id: 'second' });
    expect(await rollbackInPlace({ ...at, id: 'second' })).toEqual({ failed: `${at.database}_failed2` });
  });

  test('R3 swapped back, everything is as it was found', async () => {
    const at = await scene();
    expect(await swapBack(at)).toBe('nothing had been swapped');
    await swapIn(at);
    expect(await swapBack(at)).toContain('again');
    expect([await content(at.database), await comment(at.database), await databases()]).toEqual([
      'live',
      `the shop's`,
      [at.database, workingName(at.database, at.id)],
    ]);
    expect(await swapBack(at)).toBe('nothing had been swapped');
    await swapIn(at);
    expect(await content(at.database)).toBe('backup');
  });

  test("R2 an unconfirmed copy, or somebody's database of that name, is not overwritten", async () => {
    const at = await scene();
    await swapIn(at);
    await build(at.database, 'later');
    await expect(swapIn({ ...at, id: 'later' })).rejects.toMatchObject({
      code: 'destinationNotEmpty',
      details: { hint: expect.stringContaining(`restore confirm ${at.id}`) },
    });
    expect(await content(at.database)).toBe('backup');
    const other = await scene();
    await server.sql('postgres', `create database ${keptName(other.database)}`);
    await expect(swapIn(other)).rejects.toMatchObject({
      code: 'destinationNotEmpty',
      message: expect.stringContaining('not ours'),
    });
    expect(await content(other.database)).toBe('live');
  });

  test('R2 the database in use is gone: the new one takes its place, and back', async () => {
    const at = await scene();
    await server.sql('postgres', `drop database ${at.database}`);
    expect(await swapIn(at)).toEqual({ warnings: [] });
    expect(await swapIn(at)).toEqual({ warnings: [] });
    expect(await content(at.database)).toBe('backup');
    expect(await swapBack(at)).toContain('did not exist before');
    expect(await databases()).toEqual([workingName(at.database, at.id)]);
  });

  test('R2 names at the limit of 63 bytes', async () => {
    const at = await scene('é'.repeat(31) + 'x');
    expect(Buffer.byteLength(at.database)).toBe(63);
    const { kept } = await swapIn(at);
    expect(kept).toBe(`${'é'.repeat(29)}_old`);
    expect(await content(at.database)).toBe('backup');
    expect((await rollbackInPlace(at)).failed).toBe(`${'é'.repeat(28)}_failed`);
    expect(await content(at.database)).toBe('live');
  });

  test('R3 dead between any two statements: called again, the swap is finished or undone', async () => {
    // A proxy for death: the n-th statement and all after it fail as if the connection was lost.
    const { Client } = pg;
    const original = Client.prototype.query as (...args: unknown[]) => unknown;
    const dieAt = async (statement: number, work_: () => Promise<unknown>) => {
      let count = 0;
      Client.prototype.query = function query(this: pg.Client, ...args: unknown[]) {
        if (++count >= statement)
          return Promise.reject(Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' }));
        return original.apply(this, args);
      } as never;
      try {
        await work_();
        return true;
      } catch {
        return false;
      } finally {
        Client.prototype.query = original as never;
      }
    };
    const at = await scene();
    const working = workingName(at.database, at.id);
    const names = [at.database, working];
    for (const [name, action] of [
      ['swapIn', swapIn],
      ['swapBack', swapBack],
      ['rollback', rollbackInPlace],
    ] as const) {
      for (let statement = 1; ; statement++) {
        if (name !== 'swapIn') await swapIn(at);
        const finished = await dieAt(statement, () => action(at));
        // Never without a database under the name.
        expect(await databases(), `${name} dead at ${String(statement)}`).toContain(at.database);
        await action(at);
        expect(await content(at.database), `${name} dead at ${String(statement)}`).toBe(
          name === 'swapIn' ? 'backup' : 'live',
        );
        expect(await comment(at.database)).toBe(`the shop's`);
        // Back to the beginning.
        if (name === 'swapIn') await swapBack(at);
        if (name === 'rollback') {
          await server.sql('postgres', `alter database ${at.database}_failed rename to ${working}`);
          await server.sql('postgres', `comment on database ${working} is '${buildMark(at.id, 'built')}'`);
        }
        expect([await databases(), await content(at.database), await content(working)]).toEqual([
          names,
          'live',
          'backup',
        ]);
        if (finished) break;
        expect(statement).toBeLessThan(60);
      }
    }
  });
});
