import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';

import type { BackupWriter } from '../../domain/ports.ts';
import { checkManifestAgainstStreams, parseBackupManifest } from '../../providers/postgres/backup-manifest.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { PhysicalContentCheck } from '../../providers/postgres/physical-content-check.ts';
import { dumpPhysical } from '../../providers/postgres/physical-dump.ts';
import { serverFacts } from '../../providers/postgres/server-facts.ts';
import { verifyStored } from '../../providers/vault/verify.ts';
import { giveToServer, installedPostgres, startPostgres, stopAll, tempDir } from '../support/index.ts';
import type { PostgresServer } from '../support/index.ts';
import { takePhysical } from '../support/physical-backup.ts';

// Bounds against hanging only: a loaded machine may take long.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

/** Counts and drops; `onBytes` runs while data flows. */
function nullWriter(onBytes?: (total: number) => Promise<void> | void): BackupWriter & { streams: string[] } {
  const writer = {
    sourceBytes: 0,
    storedBytes: 0,
    streams: [] as string[],
    openStream(name: string) {
      writer.streams.push(name);
      return {
        write(chunk: Uint8Array) {
          writer.sourceBytes += chunk.length;
          const pending = onBytes?.(writer.sourceBytes);
          return pending instanceof Promise ? pending : undefined;
        },
        end: () => Promise.resolve(),
      };
    },
  };
  return writer;
}

const dump = (server: PostgresServer, extra: Partial<Parameters<typeof dumpPhysical>[0]> = {}) =>
  dumpPhysical({
    connection: resolveConnection(server.url()),
    writer: nullWriter(),
    checkpoint: 'fast',
    label: `it's "a" \\ test`,
    ...extra,
  });

const walsenders = (server: PostgresServer) =>
  server
    .sql<{ n: number }>('postgres', `select count(*)::int n from pg_stat_activity where backend_type = 'walsender'`)
    .then(([row]) => row?.n);
async function eventually(look: () => Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 120_000; !(await look()); await new Promise((resolve) => setTimeout(resolve, 50)))
    if (Date.now() > until) throw new Error('it did not happen within 20 s');
}

describe('a server with a tablespace and odd files', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
    await server.sql('postgres', `create tablespace fast location '${server.tablespaceDir('fast')}'`);
    await server.sql('postgres', `create tablespace "Empty One" location '${server.tablespaceDir('empty')}'`);
    await server.sql('postgres', 'create database shop');
    await server.sql(
      'shop',
      `create table orders (id int primary key, note text); insert into orders select i, repeat(md5(i::text), 8) from generate_series(1, 50000) i; create table cold (id int) tablespace fast; insert into cold select generate_series(1, 1000)`,
    );
    writeFileSync(Buffer.concat([Buffer.from(join(server.dataDir, 'odd-')), Buffer.from([0xff, 0xfe])]), 'not UTF-8');
    writeFileSync(join(server.dataDir, 'empty-file'), '');
  });
  afterAll(stopAll);

  test('B2 a full backup holds every file of the manifest, and says what it is', async () => {
    const taken = await takePhysical(resolveConnection(server.url()));
    const { reader, dump: result } = taken;
    const facts = await serverFacts(resolveConnection(server.url()));
    expect(result.manifest.systemId).toBe(facts.systemId);
    expect(result.facts).toMatchObject({
      timeline: 1,
      dataChecksums: true,
      blockSize: 8192,
      walSegmentBytes: 16 * 1024 * 1024,
      fromStandby: false,
    });
    expect(result.facts.tablespaces.map(({ stream }) => stream).toSorted()).toEqual(
      facts.tablespaces.map(({ oid }) => `${oid}.tar`).toSorted(),
    );
    expect(result.facts.tablespaces.map(({ path }) => path).toSorted()).toEqual(
      facts.tablespaces.map(({ path }) => path).toSorted(),
    );
    expect(reader.index.streams.map(({ name }) => name)).toContain('backup_manifest');
    expect(checkManifestAgainstStreams(result.manifest, reader.index.streams)).toBe(result.files);
    expect(result.checks).toEqual(['backup_manifest', 'page-checksums']);
    expect(result.facts.databases.find(({ name }) => name === 'shop')?.bytes).toBeGreaterThan(10_000_000);
    await expect(
      verifyStored({
        store: taken.store,
        ref: taken.ref,
        manifestBytes: taken.manifestBytes,
        keys: taken.keys,
        depth: 'content',
        engineCheck: ({ index }) => new PhysicalContentCheck(index),
      }),
    ).resolves.toMatchObject({ depth: 'content' });
    expect(await server.sql('postgres', 'select slot_name from pg_replication_slots')).toEqual([]);
    await eventually(async () => (await walsenders(server)) === 0);
  });

  test('B10 a manifest is refused when a byte of it, a file or a stream is missing or changed', async () => {
    const { dump: result, reader } = await takePhysical(resolveConnection(server.url()));
    const bytes = result.backupManifest;
    const flipped = Buffer.from(bytes);
    const at = flipped.indexOf('"Size": ') + 8;
    flipped[at] = (flipped[at] as number) ^ 1;
    expect(() => parseBackupManifest(flipped)).toThrow(expect.objectContaining({ code: 'contentMismatch' }));
    for (const end of [0, 10, bytes.length - 1, bytes.length - 40])
      expect(() => parseBackupManifest(bytes.subarray(0, end === bytes.length - 1 ? end - 1 : end))).toThrow(
        expect.objectContaining({ code: 'contentMismatch' }),
      );
    const { streams } = reader.index;
    const base = streams.find(({ name }) => name === 'base.tar');
    if (!base?.files) throw new Error('no base.tar');
    const others = streams.filter((stream) => stream !== base);
    const victim = base.files.find(({ path }) => path === 'global/pg_control');
    const without = { ...base, files: base.files.filter((file) => file !== victim) };
    const longer = {
      ...base,
      files: base.files.map((file) => (file === victim ? { ...file, size: file.size + 1 } : file)),
    };
    const more = {
      ...base,
      files: [
        ...base.files,
        { ...base.files[0], path: 'base/evil', type: 'file' as const, offset: 0, size: 1, mode: 0o600, mtime: 0 },
      ],
    };
    const noWal = { ...base, files: base.files.filter(({ path }) => !/^pg_wal\/[0-9A-F]{24}$/.test(path)) };
    for (const [stream, words] of [
      [without, 'is missing'],
      [longer, 'bytes, the manifest says'],
      [more, 'not in the manifest'],
      [noWal, 'no WAL'],
    ] as const) {
      expect(() => checkManifestAgainstStreams(result.manifest, [...others, stream])).toThrow(
        expect.objectContaining({ code: 'contentMismatch', message: expect.stringContaining(words) }),
      );
    }
    expect(() => checkManifestAgainstStreams(result.manifest, [])).toThrow(
      expect.objectContaining({ code: 'dumpEmpty' }),
    );
  });

  test('B2 works over a Unix socket, with odd passwords, as a role that may only replicate', async () => {
    const socket = resolveConnection(
      `postgres:///postgres?host=${encodeURIComponent(server.socketDir)}&port=${server.port}`,
      { user: 'postgres' },
    );
    await expect(
      dumpPhysical({ connection: socket, writer: nullWriter(), checkpoint: 'fast', label: 'x' }),
    ).resolves.toMatchObject({ serverVersion: expect.stringMatching(/^18/) });
    const password = `p@ss:/?#[]%'"\\ äß`;
    await server.addRole('replica only', { password, replication: true });
    const role = resolveConnection(`postgres://127.0.0.1:${server.port}/postgres`, { user: 'replica only', password });
    const result = await dumpPhysical({ connection: role, writer: nullWriter(), checkpoint: 'fast', label: 'x' });
    expect(result.files).toBeGreaterThan(900);
    const viaUrl = resolveConnection(
      `postgres://replica%20only:${encodeURIComponent(password)}@127.0.0.1:${server.port}/postgres`,
    );
    await expect(serverFacts(viaUrl)).resolves.toMatchObject({
      role: 'replica only',
      canReplicate: true,
      isSuperuser: false,
      dataDirectory: undefined,
    });
  });

  test('B2 who may not replicate, a wrong password and a dead port are told apart', async () => {
    await server.addRole('reader', { password: 'secret-1' });
    const connect = (user: string, password: string, port = server.port) =>
      resolveConnection(`postgres://127.0.0.1:${port}/postgres`, { user, password });
    const attempt = (connection: ReturnType<typeof connect>) =>
      dumpPhysical({ connection, writer: nullWriter(), checkpoint: 'fast', label: 'x' });
    await expect(attempt(connect('reader', 'secret-1'))).rejects.toMatchObject({
      code: 'sourceDenied',
      message: expect.stringContaining('may not replicate'),
    });
    const wrong = await attempt(connect('reader', 'secret-2')).catch((error: unknown) => error);
    expect(wrong).toMatchObject({
      code: 'sourceDenied',
      message: expect.stringContaining(`reader@127.0.0.1:${server.port}/postgres`),
    });
    expect(JSON.stringify(wrong) + String((wrong as Error).message)).not.toContain('secret-2');
    await expect(attempt(connect('reader', 'x', 1))).rejects.toMatchObject({ code: 'sourceUnreachable' });
    await expect(serverFacts(resolveConnection(server.url('no such database')))).rejects.toMatchObject({
      code: 'sourceDenied',
      message: expect.stringContaining('no such database'),
    });
  });

  test('B2 a cancel ends the dump and the server process at once, also while it waits for the checkpoint', async () => {
    const whileCopying = new AbortController();
    const copying = dump(server, {
      signal: whileCopying.signal,
      writer: nullWriter((total) => {
        if (total > 4_000_000) whileCopying.abort();
      }),
    });
    await expect(copying).rejects.toMatchObject({ code: 'cancelled' });
    await eventually(async () => (await walsenders(server)) === 0);

    await server.sql('shop', 'update orders set note = note');
    const waiting = new AbortController();
    const spread = dump(server, { signal: waiting.signal, checkpoint: 'spread' });
    spread.catch(() => undefined);
    await eventually(async () => (await walsenders(server)) === 1);
    waiting.abort();
    await expect(spread).rejects.toMatchObject({ code: 'cancelled' });
    await eventually(async () => (await walsenders(server)) === 0);
    expect(await server.sql('postgres', 'select slot_name from pg_replication_slots')).toEqual([]);
  });

  test('B2 a writer that fails or is slow: its own error comes out, memory stays bounded by waiting', async () => {
    await expect(
      dump(server, {
        writer: nullWriter((total) => {
          if (total > 4_000_000) throw new Error('the repository is full');
        }),
      }),
    ).rejects.toThrow('the repository is full');
    let inFlight = 0;
    let most = 0;
    const slow = nullWriter(async () => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
    });
    await dump(server, { writer: slow });
    expect(most).toBe(1);
  });

  test('B2 a walsender that is ended half-way is an error, never a backup', async () => {
    let ended = false;
    const result = dump(server, {
      writer: nullWriter(async (total) => {
        if (total < 4_000_000 || ended) return;
        ended = true;
        await server.sql(
          'postgres',
          `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'`,
        );
      }),
    });
    await expect(result).rejects.toMatchObject({ code: 'sourceUnreachable' });
  });
});

describe('TLS', () => {
  afterEach(stopAll);

  test('B2 O4 the whole dump over TLS: required, verified against its authority, and refused by the wrong one', async ({
    skip,
  }) => {
    const work = tempDir('tls').path;
    const make = (name: string): void => {
      const made = spawnSync('openssl', [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
        '-keyout',
        join(work, `${name}.key`),
        '-out',
        join(work, `${name}.crt`),
      ]);
      if (made.status !== 0) skip('openssl is not installed here');
    };
    make('server');
    make('other');
    const server = await startPostgres();
    await server.shutdown();
    for (const end of ['crt', 'key']) {
      copyFileSync(join(work, `server.${end}`), join(server.dataDir, `server.${end}`));
      chmodSync(join(server.dataDir, `server.${end}`), 0o600);
    }
    writeFileSync(
      join(server.dataDir, 'pg_hba.conf'),
      'hostssl all postgres all trust\nhostssl replication postgres all trust\n',
    );
    giveToServer(server.dataDir);
    await server.start({
      ssl: 'on',
      ssl_cert_file: 'server.crt',
      ssl_key_file: 'server.key',
      listen_addresses: 'localhost',
    });
    const url = (mode: string, ca = 'server') =>
      `postgres://postgres@localhost:${String(server.port)}/postgres?sslmode=${mode}&sslrootcert=${join(work, `${ca}.crt`)}`;
    const attempt = (target: string) =>
      dumpPhysical({ connection: resolveConnection(target), writer: nullWriter(), checkpoint: 'fast', label: 'x' });
    for (const mode of ['verify-full', 'require', 'prefer', 'allow'])
      expect((await attempt(url(mode))).files).toBeGreaterThan(900);
    await expect(attempt(url('verify-full', 'other'))).rejects.toMatchObject({ code: 'sourceDenied' });
    await expect(attempt(url('disable'))).rejects.toMatchObject({
      code: 'sourceDenied',
      message: expect.stringContaining('no encryption'),
    });
  });
});

describe('a server that breaks', () => {
  afterEach(stopAll);

  test('B2 SIGKILL of the server half-way', async () => {
    const server = await startPostgres();
    await server.sql(
      'postgres',
      'create table t as select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i',
    );
    let killed = false;
    const result = dump(server, {
      writer: nullWriter(async (total) => {
        if (total < 4_000_000 || killed) return;
        killed = true;
        await server.kill();
      }),
    });
    await expect(result).rejects.toMatchObject({ code: expect.stringMatching(/^(sourceUnreachable|dumpFailed)$/) });
  });

  test('B10 a damaged page in the source: pageChecksum, with the file named', async () => {
    const server = await startPostgres();
    await server.sql('postgres', 'create table t as select i, md5(i::text) from generate_series(1, 20000) i');
    const [row] = await server.sql<{ path: string }>('postgres', `select pg_relation_filepath('t') as path`);
    await server.shutdown();
    const fd = openSync(join(server.dataDir, row?.path ?? ''), 'r+');
    writeSync(fd, randomBytes(100), 0, 100, 3 * 8192 + 4000);
    closeSync(fd);
    await server.start();
    await expect(dump(server)).rejects.toMatchObject({
      code: 'pageChecksum',
      message: expect.stringContaining(row?.path ?? ''),
    });
  });

  test('B2 no free replication slot: taken all the same, with a warning', async () => {
    const server = await startPostgres({ config: { max_replication_slots: '1' } });
    await server.sql('postgres', `select pg_create_physical_replication_slot('theirs')`);
    const result = await dump(server);
    expect(result.warnings).toEqual([expect.stringContaining('slot')]);
  });
});

describe('incremental preconditions', () => {
  afterEach(stopAll);

  test('B2 refusals of an incremental say why: summaries off, gone, other system', async () => {
    const server = await startPostgres();
    const other = await startPostgres();
    const full = await dump(server);
    const incremental = { parentManifest: full.backupManifest };
    const good = await dump(server, { incremental });
    expect(good.files).toBeGreaterThan(900);
    await expect(dump(other, { incremental })).rejects.toMatchObject({ code: 'sourceChanged' });
    await expect(dump(server, { incremental: { ...incremental, parentChecksums: false } })).rejects.toMatchObject({
      code: 'sourceChanged',
      message: expect.stringContaining('checksums'),
    });
    const damaged = Buffer.from(full.backupManifest);
    damaged[500] = (damaged[500] as number) ^ 1;
    await expect(dump(server, { incremental: { parentManifest: damaged } })).rejects.toMatchObject({
      code: 'contentMismatch',
    });

    await server.sql('postgres', 'create table t as select generate_series(1, 1000) i');
    const summaries = join(server.dataDir, 'pg_wal', 'summaries');
    await server.sql('postgres', 'checkpoint');
    await server.shutdown();
    for (const name of readdirSync(summaries)) rmSync(join(summaries, name));
    await server.start({ summarize_wal: 'off' });
    await expect(dump(server, { incremental })).rejects.toMatchObject({
      code: 'walSummaryMissing',
      message: expect.stringContaining('summarize_wal is off'),
    });
    // With the summarizer off, the checkpoints let the WAL go that it would need.
    for (let i = 0; i < 3; i++) {
      for (const sql of ['insert into t select generate_series(1, 1000)', 'select pg_switch_wal()', 'checkpoint'])
        await server.sql('postgres', sql);
    }
    await server.shutdown();
    await server.start();
    await expect(dump(server, { incremental })).rejects.toMatchObject({
      code: 'walSummaryMissing',
      message: expect.stringMatching(/summar/),
    });
  });

  test('B2 PostgreSQL 15 takes full backups and refuses incremental ones before anything is touched', async ({
    skip,
  }) => {
    if (installedPostgres(15) === undefined) return skip('PostgreSQL 15 is not installed here');
    const server = await startPostgres({ major: 15 });
    const { reader, dump: full } = await takePhysical(resolveConnection(server.url()));
    expect(checkManifestAgainstStreams(full.manifest, reader.index.streams)).toBe(full.files);
    const writer = nullWriter();
    await expect(dump(server, { writer, incremental: { parentManifest: full.backupManifest } })).rejects.toMatchObject({
      code: 'sourceVersion',
    });
    expect(writer.streams).toEqual([]);
  });

  test('B2 from a standby: full and incremental; without a restartpoint since the parent it says what to do', async () => {
    const primary = await startPostgres();
    await primary.sql('postgres', 'create table t as select generate_series(1, 1000) i');
    const standby = await primary.createStandby();
    const caughtUp = async (): Promise<void> => {
      const [row] = await primary.sql<{ lsn: string }>(
        'postgres',
        'checkpoint; select pg_current_wal_flush_lsn()::text lsn',
      );
      await eventually(
        async () =>
          (
            await standby.sql<{ done: boolean }>('postgres', `select pg_last_wal_replay_lsn() >= '${row?.lsn}' as done`)
          )[0]?.done === true,
      );
    };
    await caughtUp();
    const full = await takePhysical(resolveConnection(standby.url()));
    expect(full.dump.facts.fromStandby).toBe(true);
    await expect(dump(standby, { incremental: { parentManifest: full.dump.backupManifest } })).rejects.toMatchObject({
      code: 'noParent',
      hint: expect.stringContaining('restartpoint'),
    });
    await primary.sql('postgres', 'insert into t select generate_series(1, 1000)');
    await caughtUp();
    const incremental = await takePhysical(resolveConnection(standby.url()), { parent: full });
    expect(checkManifestAgainstStreams(incremental.dump.manifest, incremental.reader.index.streams)).toBe(
      incremental.dump.files,
    );
    // It crossed to another timeline that the promoted standby knows: still fine there, and impossible on the old primary.
    await standby.sql('postgres', 'select pg_promote()');
    await eventually(
      async () => (await standby.sql<{ r: boolean }>('postgres', 'select pg_is_in_recovery() r'))[0]?.r === false,
    );
    await standby.sql('postgres', 'insert into t values (1); checkpoint');
    const promoted = await takePhysical(resolveConnection(standby.url()), { parent: incremental });
    expect(promoted.dump.facts.timeline).toBe(2);
    await expect(
      dump(primary, { incremental: { parentManifest: promoted.dump.backupManifest } }),
    ).rejects.toMatchObject({ code: 'sourceChanged' });
    expect(readFileSync(join(primary.dataDir, 'PG_VERSION'), 'utf8').trim()).toBe('18');
  });
});
