import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskStore } from '../../providers/repository/disk-store.ts';
import { keysOf } from '../../providers/repository/layout.ts';
import { closeCryptoPool } from '../../providers/vault/crypto-pool.ts';
import { hostPublic, parseHostKey } from '../../providers/vault/host-key.ts';
import { debianTool } from '../support/debian.ts';
import { backupHere, configHere, depsOf } from '../support/in-process.ts';
import { pgRunAs, startPostgres, stopAll, tempDir, toolsEnv, type PostgresServer, type TempDir } from '../support/index.ts';
import { restoreRoot } from '../support/physical-cluster.ts';
import { createLoad, digests, disturb } from '../support/physical-load.ts';
import { freePort } from '../support/ports.ts';
import { giveToServer } from '../support/postgres-cluster.ts';
import type { RunAs } from '../support/run-as.ts';
import { sealTestBackup, tarOf, testBytes, testRef } from '../unit/vault/sealed-backup.ts';
import type { SealedTestBackup } from '../unit/vault/sealed-backup.ts';

const page = readFileSync(new URL('../../docs/guides/recover-by-hand.md', import.meta.url), 'utf8');
const [whole = '', signature = '', keys = '', index = '', extract = '', verify = '', start = '', combine = '', startCombined = '', logical = '', ...more] =
  [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block]) => block ?? '');
const steps = [whole, signature, keys, index, extract];
const tools = new URL('../../docs/tools/', import.meta.url).pathname;

/** The tools the page names: those of this machine, or fetched. */
let path = '';
/** Where Python finds its package `cryptography`: with the system's Python, or beside moto. */
let python: { readonly command: string; readonly env: Record<string, string> } | undefined;
const node = `${process.execPath} ${tools}unseal.mjs`;
const scripts = (): [string, Record<string, string>][] => [[node, {}], ...(python === undefined ? [] : [[`${python.command} ${tools}unseal.py`, python.env] as [string, Record<string, string>]])];

beforeAll(async () => {
  const programs = await Promise.all((['age', 'zstd', 'jq', 'xxd', 'openssl'] as const).map(debianTool));
  path = [...new Set(programs.map((program) => dirname(program))), process.env['PATH']].join(delimiter);
  const { moto } = toolsEnv();
  const able = [{ command: 'python3', env: {} }, ...(moto === undefined ? [] : [{ command: moto.python, env: { PYTHONPATH: moto.path } }])];
  python = able.find(({ command, env }) => spawnSync(command, ['-c', 'import cryptography'], { stdio: 'ignore', env: { PATH: process.env['PATH'], ...env } }).status === 0);
});

test('the page has the commands that are tested here, and no others', () => {
  expect([logical === '', more]).toEqual([false, []]);
});

let scratch = '';
let identity = '';
let sealed: SealedTestBackup;
const content = new Map([
  ['PG_VERSION', Buffer.from('18\n')],
  ['base/1/1259', testBytes(70_000)],
  ['base/1/empty', Buffer.alloc(0)],
  ['tablespace_map', Buffer.from('16400 /mnt/space\n')],
]);
const tablespace = testBytes(9000, 'tablespace');
const backupManifest = testBytes(3000, 'manifest');

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-by-hand-'));
  identity = await generateX25519Identity();
  writeFileSync(join(scratch, 'identity.txt'), `# created for a test\n${identity}\n`, { mode: 0o600 });
  const store = new DiskStore({ name: 'disk', path: join(scratch, 'repository') });
  const streams = [
    {
      name: 'base.tar',
      kind: 'tar' as const,
      bytes: tarOf([
        { path: 'base', type: 'directory' },
        { path: 'pg_tblspc', type: 'directory' },
        ...[...content].map(([path, bytes]) => ({ path, content: bytes })),
        { path: 'a-link', type: 'symlink', linkTarget: 'PG_VERSION' },
      ]),
    },
    {
      name: '16400.tar',
      kind: 'tar' as const,
      bytes: tarOf([{ path: 'PG_18_202506291/5/16401', content: tablespace }]),
    },
    { name: 'backup_manifest', kind: 'blob' as const, bytes: backupManifest },
  ];
  sealed = await sealTestBackup(store, streams, {
    recipients: [await identityToRecipient(identity)],
    partBytes: 8192,
    ref: testRef('0k3v9x2m7qwe'),
  });
  await store.close();
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await closeCryptoPool();
});

const run = (script: string, out: string, unseal: string, extra: Record<string, string> = {}, as?: RunAs) =>
  spawnSync('bash', ['--norc', '-e', '-o', 'pipefail', '-c', script], {
    encoding: 'utf8',
    env: {
      PATH: path,
      REPOSITORY: join(scratch, 'repository'),
      BACKUP: join(scratch, 'repository', keysOf(sealed.ref).prefix),
      IDENTITY: join(scratch, 'identity.txt'),
      HOST_PUBLIC_KEY: sealed.hostKey.publicKey,
      OUT: out,
      UNSEAL: unseal,
      ...extra,
    },
    ...(as === undefined ? {} : { uid: as.uid, gid: as.gid }),
  });

/** Steps 1 to 4, each to its good end. @returns what they said */
function stepsTo(out: string, unseal: string, extra: Record<string, string> = {}): string {
  mkdirSync(out);
  return steps
    .map((block) => {
      const result = run(block, out, unseal, extra);
      expect(`${result.stderr}exit ${String(result.status)}`).toMatch(/^(\/\*stdin\*.*\n)*exit 0$/);
      return result.stdout;
    })
    .join('');
}

describe('B9 recovery by the words of docs/guides/recover-by-hand.md', () => {
  test('with either script every file comes back as it was', () => {
    // Both are tested wherever the suite could set itself up.
    if (toolsEnv().moto !== undefined) expect(scripts()).toHaveLength(2);
    for (const [i, [unseal, env]] of scripts().entries()) {
      const out = join(scratch, `out-${String(i)}`);
      const output = stepsTo(out, unseal, env);
      expect(output).toContain('SHA256SUMS: OK');
      expect(output).toContain('Signature Verified Successfully');
      expect(output).toContain('backup_manifest 3000 bytes');
      for (const [name, bytes] of content) expect(readFileSync(join(out, 'data', name)).equals(bytes)).toBe(true);
      expect(readFileSync(join(out, 'data/backup_manifest')).equals(backupManifest)).toBe(true);
      expect(readFileSync(join(out, 'tablespace-16400/PG_18_202506291/5/16401')).equals(tablespace)).toBe(true);
      expect(readlinkSync(join(out, 'data/a-link'))).toBe('PG_VERSION');
      expect(lstatSync(join(out, 'data/base/1/1259')).mode & 0o777).toBe(0o600);
      expect(lstatSync(join(out, 'data')).mode & 0o777).toBe(0o700);
    }
  });

  test('damage stops it: the checks of the page, and both scripts', () => {
    const damaged = join(scratch, 'damaged');
    execFileSync('cp', ['-a', join(scratch, 'repository'), damaged]);
    const backup = join(damaged, keysOf(sealed.ref).prefix);
    const part = join(backup, 'parts', readdirSync(join(backup, 'parts')).sort()[1] ?? '');
    const bytes = readFileSync(part);
    bytes[9] = (bytes[9] ?? 0) ^ 1;
    writeFileSync(part, bytes);
    const out = join(scratch, 'out-damaged');
    mkdirSync(out);
    expect(run(keys + index, out, node).status).toBe(0);
    expect(run(whole, out, '', { BACKUP: backup }).status).not.toBe(0);
    for (const [unseal, env] of scripts()) {
      rmSync(join(out, 'data'), { recursive: true, force: true });
      const result = run(extract, out, unseal, { BACKUP: backup, ...env });
      expect(result.status).not.toBe(0);
      expect(result.stderr).toContain('part 2 is damaged');
    }
  });

  test('a manifest altered or signed by another host does not verify', () => {
    const out = join(scratch, 'out-signature');
    mkdirSync(out);
    const backup = join(scratch, 'altered');
    mkdirSync(backup);
    writeFileSync(join(backup, 'manifest.json'), sealed.manifestBytes.toString().replace('"shop"', '"shoq"'));
    expect(run(signature, out, '', { BACKUP: backup }).status).not.toBe(0);
    expect(run(signature, out, '', { HOST_PUBLIC_KEY: Buffer.alloc(32, 7).toString('base64') }).status).not.toBe(0);
  });
});

describe('B9 R2 a real PostgreSQL comes back by the words of the page alone', () => {
  let server: PostgresServer;
  let work: TempDir;
  let env: Record<string, string>;
  let atFull: Record<string, string>;
  let atEnd: Record<string, string>;
  const taken: string[] = [];
  const wholeOf = async (from: { sql: PostgresServer['sql'] }): Promise<Record<string, string>> => ({ ...(await digests(from, 'shop')), ...(await digests(from, 'books')) });
  /** The directory of a backup, as a person sees it in the repository. */
  const backupAt = (id: string): string => {
    const all = readdirSync(join(work.path, 'repo'), { recursive: true, encoding: 'utf8' });
    return join(work.path, 'repo', all.find((name) => name.endsWith(`-${id}`) && name.includes('/backups/')) ?? '');
  };

  beforeAll(async () => {
    // What the restored server takes from its own files: where it listens. Its port comes from the person who starts it.
    server = await startPostgres({ config: { unix_socket_directories: '', listen_addresses: '127.0.0.1', autovacuum: 'off' } });
    await server.sql('postgres', `create tablespace fast location '${server.tablespaceDir('fast')}'`);
    for (const database of ['shop', 'books']) await server.sql('postgres', `create database ${database}`);
    await createLoad(server, 'shop', 'fast');
    await server.sql('books', `create role clerk; create table ledger as select g as id, repeat(md5(g::text), 8) as v from generate_series(1, 2000) g; alter table ledger owner to clerk`);
    work = tempDir('by-hand');
    const common = { type: 'postgres', toolsDir: server.pgBin };
    const config = await configHere(work.path, { whole: { ...common, engine: 'physical', connection: server.url() }, books: { ...common, engine: 'logical', connection: server.url('books') } });
    const deps = depsOf(config);
    try {
      taken.push((await backupHere(deps, { target: 'whole' })).prepared.backup);
      atFull = await wholeOf(server);
      for (const round of [1, 2]) {
        await disturb(server, 'shop', round, true);
        taken.push((await backupHere(deps, { target: 'whole', kind: 'incremental' })).prepared.backup);
      }
      taken.push((await backupHere(deps, { target: 'books' })).prepared.backup);
      atEnd = await wholeOf(server);
    } finally {
      await deps.stores.close();
    }
    const host = hostPublic(await parseHostKey(readFileSync(join(work.path, 'resurgo-host.key'), 'utf8'), 'host key'));
    env = { REPOSITORY: join(work.path, 'repo'), IDENTITY: join(work.path, 'resurgo.key'), HOST_PUBLIC_KEY: host.publicKey, PATH: `${server.pgBin}${delimiter}${path}`, PGHOST: '127.0.0.1', PGUSER: 'postgres', LC_ALL: 'C' };
  });
  afterAll(stopAll);

  /** Runs a block that starts a server, looks into it, and ends it again. */
  async function started<T>(block: string, out: string, dataDir: string, work: (restored: { sql: PostgresServer['sql'] }) => Promise<T>): Promise<T> {
    const port = await freePort();
    giveToServer(out);
    try {
      const result = run(block, out, '', { ...env, PGPORT: String(port) }, pgRunAs());
      expect(`${result.stderr}exit ${String(result.status)}`).toMatch(/exit 0$/);
      return await work(openConnection(port));
    } finally {
      run(`pg_ctl -D ${dataDir} -m immediate -w stop`, out, '', env, pgRunAs());
    }
  }

  test('physical, full', async () => {
    const out = join(restoreRoot(), 'out');
    stepsTo(out, node, { ...env, BACKUP: backupAt(taken[0] ?? '') });
    // Not every build of PostgreSQL has it; the one that the suite fetches has not.
    if (existsSync(join(server.pgBin, 'pg_verifybackup'))) expect(run(verify, out, '', env).stderr).toBe('');
    await started(start, out, join(out, 'data'), async (restored) => {
      expect(await wholeOf(restored)).toEqual(atFull);
    });
  });

  test('physical, a chain of three with a tablespace: combined, and its visibility maps are right', async () => {
    const out = join(restoreRoot(), 'out');
    mkdirSync(out);
    for (const [i, name] of ['full', 'incremental-1', 'incremental-2'].entries()) stepsTo(join(out, name), node, { ...env, BACKUP: backupAt(taken[i] ?? '') });
    giveToServer(out);
    const combined = run(combine, out, '', env, pgRunAs());
    expect(`${combined.stderr}exit ${String(combined.status)}`).toMatch(/exit 0$/);
    await started(startCombined, out, join(out, 'combined'), async (restored) => {
      expect(await wholeOf(restored)).toEqual(atEnd);
      const [row] = await restored.sql<{ scanned: string; indexed: string }>('shop', `set enable_seqscan = on; set enable_indexonlyscan = off; set enable_indexscan = off; set enable_bitmapscan = off;
        create temp table counted as select count(*) as n from wide; reset all; set enable_seqscan = off; set enable_bitmapscan = off;
        select (select n from counted)::text as scanned, (select count(id) from wide)::text as indexed`);
      expect(row?.indexed).toBe(row?.scanned);
    });
  });

  test('logical, into another server: roles, owners and rows', async () => {
    const other = await startPostgres();
    const out = join(restoreRoot(), 'out');
    const more = { ...env, BACKUP: backupAt(taken[3] ?? ''), PGPORT: String(other.port) };
    mkdirSync(out);
    for (const block of [whole, signature, keys, index, logical]) {
      const result = run(block, out, node, more);
      expect(`${result.stderr}exit ${String(result.status)}`).toMatch(/exit 0$/);
    }
    expect(await digests(other, 'books')).toEqual({ 'public.ledger': atEnd['public.ledger'] });
    expect(await other.sql('books', `select tableowner from pg_tables where tablename = 'ledger'`)).toEqual([{ tableowner: 'clerk' }]);
    await other.stop();
  });
});

/** Queries of a server that only its port is known of. */
function openConnection(port: number): { sql: PostgresServer['sql'] } {
  return {
    async sql<Row extends pg.QueryResultRow>(database: string, text: string): Promise<Row[]> {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database });
      client.on('error', () => undefined);
      await client.connect();
      try {
        const result: unknown = await client.query(text);
        return ((Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<Row>).rows;
      } finally {
        await client.end();
      }
    },
  };
}
