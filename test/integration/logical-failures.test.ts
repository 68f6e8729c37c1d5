import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { LogicalFacts } from '../../domain/backup.ts';
import type { BackupReader, BackupWriter } from '../../domain/ports.ts';
import { processesWithEnvironment, stagingMarker } from '../../providers/host/processes.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { buildMark } from '../../providers/postgres/create-database.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { dumpLogical, type LogicalDumpOptions } from '../../providers/postgres/logical-dump.ts';
import { restoreLogical } from '../../providers/postgres/logical-restore.ts';
import { digestDatabase } from '../../providers/postgres/logical-verify.ts';
import { checkout, type PostgresServer, startPostgres, stopAll, tempDir, type TempDir } from '../support/index.ts';
import { sealedBackup } from '../support/sealed-backup.ts';
import { StallingProxy } from '../support/stalling-proxy.ts';

let server: PostgresServer;
let connection: PostgresConnection;
let work: TempDir;
let staging: string;
/** The same server through a proxy that stops in the middle of the large table. */
let proxy: StallingProxy;
let slow: PostgresConnection;

/** A writer that keeps nothing and calls `at` when a stream is opened, and `first` once, before the first bytes of dump.tar. */
const watcher = (at: { open?: (name: string) => Promise<void> | void; first?: () => Promise<void> }): BackupWriter => {
  let pending: Promise<void> | undefined;
  return {
    sourceBytes: 0,
    storedBytes: 0,
    openStream: (name) => {
      let opened: Promise<void> | undefined = Promise.resolve(at.open?.(name));
      return {
        write: async () => {
          await opened;
          opened = undefined;
          if (name === 'dump.tar') await (pending ??= at.first?.() ?? Promise.resolve());
        },
        end: () => Promise.resolve(),
      };
    },
  };
};
const dump = (writer: BackupWriter, more: Partial<LogicalDumpOptions> = {}) =>
  dumpLogical({
    connection,
    database: 'shop',
    writer,
    staging,
    jobs: 2,
    tools: findLogicalTools([server.pgBin]),
    pieceBytes: 1_000_000,
    ...more,
  });
const working = async (dir = staging) =>
  (await processesWithEnvironment(stagingMarker, dir)).map((process_) => process_.pid);
const clean = async () => {
  expect(await working()).toEqual([]);
  expect(readdirSync(staging)).toEqual([]);
};
/** Its leader may have taken it along already. */
const kill = (pid: number): number => {
  try {
    process.kill(pid, 'SIGKILL');
    return 1;
  } catch {
    return 0;
  }
};
const databases = async () =>
  (
    await server.sql<{ datname: string }>(
      'postgres',
      `select datname from pg_database where datname !~ '^(postgres|template.)$' order by 1`,
    )
  ).map((row) => row.datname);

beforeAll(async () => {
  server = await startPostgres();
  work = tempDir('logical-failures');
  staging = join(work.path, 'staging');
  connection = resolveConnection(server.url());
  proxy = new StallingProxy(server.port);
  slow = resolveConnection(`postgres://postgres@127.0.0.1:${String(await proxy.listen())}/postgres`);
  await server.sql('postgres', 'create database shop');
  await server.sql(
    'shop',
    `create table big as select g as id, repeat(md5(g::text), 30) as v from generate_series(1, 20000) g; create table small as select 1 as x; create table other as select 2 as x`,
  );
});
afterAll(stopAll);
afterEach(() => {
  proxy.release();
});

/** A dump that is certainly not at its end when its first piece is packed. */
const halfDump = (writer: BackupWriter, more: Partial<LogicalDumpOptions> = {}) => {
  proxy.limit = 6_000_000;
  return dump(writer, { connection: slow, ...more });
};

describe('a dump that dies', () => {
  test('B10 pg_dump is killed half-way: dumpFailed, nothing left', async () => {
    let killed = 0;
    await expect(
      halfDump(
        watcher({
          first: async () => {
            for (const pid of await working()) killed += kill(pid);
          },
        }),
      ),
    ).rejects.toMatchObject({ code: 'dumpFailed', message: expect.stringContaining('SIGKILL') });
    expect(killed).toBeGreaterThan(0);
    await clean();
  });

  test('B10 one worker of pg_dump is killed: dumpFailed', async () => {
    await expect(
      halfDump(
        watcher({
          first: async () => {
            for (const pid of (await working()).slice(-1)) kill(pid);
          },
        }),
      ),
    ).rejects.toMatchObject({ code: 'dumpFailed' });
    await clean();
  });

  test('B10 through a pipe too', async (context) => {
    const options = { stagingBound: 10 ** 15, pieceBytes: 10 ** 12 };
    const small = join(work.path, 'none');
    mkdirSync(small);
    if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small]).status !== 0)
      return context.skip('needs root and mount');
    try {
      const writer = watcher({});
      const open = writer.openStream;
      let killed = false;
      const killing: BackupWriter = {
        ...writer,
        openStream: (name, kind) => ({
          ...open(name, kind),
          write: async () => {
            if (name !== 'dump.pgdump' || killed) return;
            killed = true;
            for (const pid of await working(small)) kill(pid);
          },
        }),
      };
      await expect(halfDump(killing, { staging: small, ...options })).rejects.toMatchObject({
        code: 'dumpFailed',
        message: expect.stringContaining('SIGKILL'),
      });
      expect(killed).toBe(true);
    } finally {
      spawnSync('umount', [small]);
    }
  });

  test('B10 the staging disk fills up: repositoryFull, nothing left', async (context) => {
    const small = join(work.path, 'small');
    mkdirSync(small);
    if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=20m', 'tmpfs', small]).status !== 0)
      return context.skip('needs root and mount');
    try {
      // Enough room when it is looked at, gone when it is needed.
      const writer = watcher({
        open: (name) => {
          if (name === 'dump.tar') writeFileSync(join(small, 'ballast'), Buffer.alloc(19_500_000));
        },
      });
      await expect(
        dump(writer, { staging: small, stagingBound: 2_000_000, pieceBytes: 10 ** 9 }),
      ).rejects.toMatchObject({ code: 'repositoryFull', message: expect.stringContaining(small) });
      expect(readdirSync(small)).toEqual(['ballast']);
    } finally {
      spawnSync('umount', [small]);
    }
  });

  test('B10 the store refuses a part: its error comes out and pg_dump is ended', async () => {
    await expect(halfDump(watcher({ first: () => Promise.reject(new Error('no more')) }))).rejects.toThrow('no more');
    await clean();
  });

  test('B1 cancelled', async () => {
    const abort = new AbortController();
    await expect(
      halfDump(
        watcher({
          first: async () => {
            abort.abort();
          },
        }),
        { signal: abort.signal },
      ),
    ).rejects.toMatchObject({ code: 'cancelled' });
    await clean();
  });

  test('B1 the worker is killed: the next attempt ends what was left and goes on', async () => {
    const program = `
      import { dumpLogical } from ${JSON.stringify(join(checkout, 'providers/postgres/logical-dump.ts'))};
      import { resolveConnection } from ${JSON.stringify(join(checkout, 'providers/postgres/connection.ts'))};
      import { findLogicalTools } from ${JSON.stringify(join(checkout, 'providers/postgres/find-logical-tools.ts'))};
      const [url, bin, staging] = process.argv.slice(1);
      const never = new Promise(() => setInterval(() => {}, 1000));
      const writer = { sourceBytes: 0, storedBytes: 0, openStream: (name) => ({ write: () => { if (name === 'dump.tar') { console.log('writing'); return never; } }, end: async () => {} }) };
      await dumpLogical({ connection: resolveConnection(url), database: 'shop', writer, staging, jobs: 2, tools: findLogicalTools([bin]), pieceBytes: 1_000_000, stagingBound: 1_000_000 });`;
    const child = spawn(
      process.execPath,
      [
        '--input-type=module-typescript',
        '-e',
        program,
        slow.redacted.replace(/^/, 'postgres://'),
        server.pgBin,
        staging,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    proxy.limit = 6_000_000;
    await once(child.stdout, 'data');
    expect((await working()).length).toBeGreaterThan(0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    let seen: number[] = [];
    await dump(
      watcher({
        open: async (name) => {
          if (name === 'globals.sql') seen = await working();
        },
      }),
    );
    expect(seen).toEqual([]);
    await clean();
  });
});

describe('a database that changes during the dump', () => {
  test("B1 a TRUNCATE between the snapshot and pg_dump's lock is noticed, also through a pipe", async () => {
    for (const more of [{ jobs: 2 }, { jobs: 1 }, { stagingBound: 2 ** 52 }]) {
      const writer = watcher({
        open: async (name) => {
          if (name === 'globals.sql') await server.sql('shop', 'truncate small');
        },
      });
      await expect(dump(writer, more)).rejects.toMatchObject({
        code: 'dumpFailed',
        message: expect.stringContaining('public.small was truncated'),
      });
      await server.sql('shop', 'insert into small values (1)');
    }
    await clean();
  });

  test('B1 a TRUNCATE during the dump waits for its end with one worker, after which nothing is lost', async () => {
    const other = new pg.Client(server.url('shop'));
    await other.connect();
    try {
      let truncated: Promise<unknown> | undefined;
      const truncate = async () => {
        truncated = other.query('truncate small');
        truncated.catch(() => undefined);
        for (;;) {
          const [waits] = await server.sql<{ n: number }>(
            'shop',
            `select count(*)::int as n from pg_locks where not granted and mode = 'AccessExclusiveLock'`,
          );
          if ((waits?.n ?? 0) > 0) break;
        }
        proxy.release();
      };
      const { facts } = await halfDump(watcher({ first: truncate }), { jobs: 1 });
      expect(facts.tables.find((table) => table.name === 'small')?.rows).toBe(1);
      await truncated;
      expect(await server.sql('shop', 'select * from small')).toEqual([]);
    } finally {
      await server.sql('shop', 'insert into small values (1)');
      await other.end();
    }
  });

  test('B1 rows written after the snapshot are not in it; nor is a table made then', async () => {
    const { facts } = await sealedBackup<LogicalFacts>(async (writer) => {
      const open = writer.openStream.bind(writer);
      let changed: Promise<unknown> | undefined;
      const watching = Object.assign(Object.create(writer) as BackupWriter, {
        openStream: (name: string, kind: 'tar' | 'blob') => {
          changed ??= server.sql(
            'shop',
            'insert into other values (3); create table later as select 1 as x; drop table if exists never',
          );
          const sink = open(name, kind);
          return {
            write: async (chunk: Uint8Array) => {
              await changed;
              await sink.write(chunk);
            },
            end: () => sink.end(),
          };
        },
      });
      return (await dump(watching)).facts;
    });
    expect(facts.tables.map((table) => [table.name, table.rows])).toEqual([
      ['big', 20000],
      ['other', 1],
      ['small', 1],
    ]);
    await server.sql('shop', 'drop table later; delete from other where x = 3');
    await clean();
  });

  test('B1 a table that stays locked is named, in time', async () => {
    const other = new pg.Client(server.url('shop'));
    await other.connect();
    try {
      await other.query('begin; lock table small');
      await expect(dump(watcher({}), { lockTimeoutMs: 200 })).rejects.toMatchObject({
        code: 'dumpFailed',
        message: expect.stringContaining('stayed locked'),
      });
    } finally {
      await other.end();
    }
    await clean();
  });

  test('B1 tables come and go while it is dumped: whole, or dumpFailed', async () => {
    const churning = { stop: false };
    const churn = (async () => {
      for (let i = 0; !churning.stop; i++)
        await server.sql(
          'shop',
          `create table churn${String(i % 3)} as select 1 as x; drop table churn${String(i % 3)}`,
        );
    })();
    try {
      for (let i = 0; i < 3; i++) {
        const outcome = await dump(watcher({})).then(
          (result) => result.facts,
          (error: unknown) => error,
        );
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'dumpFailed' });
        else
          expect(
            (outcome as LogicalFacts).tables
              .filter((table) => !table.name.startsWith('churn'))
              .map((table) => table.rows),
          ).toEqual([20000, 1, 1]);
      }
    } finally {
      churning.stop = true;
      await churn;
    }
    await clean();
  });
});

describe('a restore that dies', () => {
  let reader: BackupReader;
  const restore = (more: object = {}) =>
    restoreLogical({
      reader,
      connection,
      database: 'back',
      id: 'r1',
      jobs: 2,
      staging,
      tools: findLogicalTools([server.pgBin]),
      ...more,
    });
  beforeAll(async () => {
    reader = (await sealedBackup<LogicalFacts>(async (writer) => (await dump(writer)).facts)).reader;
  });

  /** Goes on until `act`, called when pg_restore is in the middle of the large table. */
  const halfRestore = async (act: () => Promise<void> | void, more: object = {}) => {
    proxy.limit = 6_000_000;
    const running = restore({ connection: slow, ...more });
    running.catch(() => undefined);
    while (proxy.stalled === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await act();
    return running;
  };

  test('B1 what no later attempt can dump is said so, and how to help: a database that takes no connection, a name that is no text', async () => {
    const none = watcher({});
    await server.sql('postgres', 'create database shut');
    await server.sql('postgres', 'alter database shut with allow_connections false');
    await expect(dump(none, { database: 'shut' })).rejects.toMatchObject({ definition: { retryable: false }, code: 'sourceDenied', message: expect.stringContaining('not currently accepting connections'), hint: expect.stringContaining('ALLOW_CONNECTIONS true') });
    await server.sql('postgres', `create database odd template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`);
    await server.sql('odd', `do $$ begin execute 'create table "gr' || convert_from(decode('fc', 'hex'), 'SQL_ASCII') || 'n"(a int)'; end $$`);
    await expect(dump(none, { database: 'odd' })).rejects.toMatchObject({ definition: { retryable: false }, code: 'sourceUnsupported', message: expect.stringContaining('invalid byte sequence for encoding'), hint: expect.stringContaining('physically') });
    for (const name of ['shut', 'odd']) await server.sql('postgres', `drop database ${name}`);
    await clean();
  });

  test('R3 pg_restore is killed: restoreFailed, the half-built database is gone', async () => {
    await expect(
      halfRestore(async () => {
        for (const pid of await working(join(staging, 'restore'))) kill(pid);
      }),
    ).rejects.toMatchObject({ code: 'restoreFailed' });
    expect(await databases()).toEqual(['shop']);
    await clean();
  });

  test('R3 cancelled: the half-built database is gone', async () => {
    const abort = new AbortController();
    await expect(
      halfRestore(
        () => {
          abort.abort();
        },
        { signal: abort.signal },
      ),
    ).rejects.toMatchObject({ code: 'cancelled' });
    expect(await databases()).toEqual(['shop']);
    await clean();
  });

  test("R2 R3 what a dead attempt left is dropped by the next; somebody else's data is not", async () => {
    await server.sql('postgres', 'create database back');
    await server.sql('back', 'create table half (x int)');
    await expect(restore()).rejects.toMatchObject({ code: 'destinationNotEmpty' });
    await server.sql('postgres', `comment on database back is '${buildMark('another', 'unfinished')}'`);
    const busy = new pg.Client(server.url('back'));
    busy.on('error', () => undefined);
    await busy.connect();
    await expect(restore()).rejects.toMatchObject({
      code: 'destinationBusy',
      message: expect.stringContaining('another'),
    });
    await server.sql('postgres', `comment on database back is '${buildMark('r1', 'unfinished')}'`);
    await restore();
    await busy.end().catch(() => undefined);
    expect((await digestDatabase(connection, { database: 'back' })).digest).toBe(
      (await digestDatabase(connection, { database: 'shop' })).digest,
    );
    await server.sql('postgres', 'drop database back');
    await server.sql('postgres', 'create database back');
    expect((await restore()).rows).toBe(20002);
    await server.sql('postgres', 'drop database back');
  });

  test('R3 neither a template nor the database of a cut name makes way', async () => {
    const long = 'x'.repeat(63);
    await server.sql('postgres', `create database ${long}`);
    await server.sql('postgres', 'create database pattern is_template true');
    try {
      await expect(restore({ database: `${long}y` })).rejects.toMatchObject({ code: 'inputInvalid' });
      await expect(restore({ database: 'pattern' })).rejects.toMatchObject({ code: 'destinationNotEmpty' });
      expect(await server.sql('postgres', `select 1 from pg_database where datname in ('pattern', '${long}')`)).toHaveLength(2);
    } finally {
      await server.sql('postgres', 'alter database pattern is_template false');
      await server.sql('postgres', 'drop database if exists pattern');
      await server.sql('postgres', `drop database if exists ${long}`);
    }
  });

  test('R5 an extension or role the server lacks is said before anything is made', async () => {
    const engine = reader.index.engine as LogicalFacts;
    const lacking = (more: Partial<LogicalFacts>) =>
      Object.assign(Object.create(reader) as BackupReader, {
        index: { ...reader.index, engine: { ...engine, ...more } },
        read: reader.read.bind(reader),
        extract: reader.extract.bind(reader),
      });
    await expect(
      restore({ reader: lacking({ extensions: [{ name: 'postgis_x', version: '3' }] }) }),
    ).rejects.toMatchObject({ code: 'extensionMissing', message: expect.stringContaining('postgis_x') });
    await expect(restore({ reader: lacking({ collate: 'xx_XX.utf8' }) })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('xx_XX.utf8'),
    });
    expect(await databases()).toEqual(['shop']);
    await clean();
  });
});

test('B10 the server is killed during a dump: the run fails in words of the server, and works again after it is back', async () => {
  await expect(halfDump(watcher({ first: () => server.kill() }))).rejects.toMatchObject({
    code: expect.stringMatching(/^(dumpFailed|sourceUnreachable)$/),
  });
  await clean();
  await expect(dump(watcher({}))).rejects.toMatchObject({ code: 'sourceUnreachable' });
  await server.start();
  expect((await dump(watcher({}))).facts.tables.map((table) => table.rows)).toEqual([20000, 1, 1]);
  expect(existsSync(join(staging, 'dump'))).toBe(false);
});
