/** A PostgreSQL cluster as the configuration has it: a primary and streaming standbys, each member on a port of its own. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { freePort } from './ports.ts';
import { tempDir } from './temp.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';
import { sleep } from './server-process.ts';

export interface TestCluster {
  readonly members: Readonly<Record<string, PostgresServer>>;
  member(name: string): PostgresServer;
  /** `members:` of the target. */
  config(extra?: Readonly<Record<string, object>>): unknown[];
  target(extra?: object, members?: Readonly<Record<string, object>>): Record<string, unknown>;
}

export interface ClusterOptions {
  /** How many standbys, named b, c …; default 1. */
  readonly standbys?: number;
  readonly config?: Readonly<Record<string, string>>;
  /** Each member's port stands in its own files, so that `pg_ctl` can start it. */
  readonly ports?: boolean;
}

/** Members a (primary), b, c … of one cluster; `shop` is a database with a table `t (id bigserial, at timestamptz, note text)`. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const port = await freePort();
  const own = { port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: '' };
  const primary = await startPostgres({ port, config: { wal_log_hints: 'on', hot_standby: 'on', wal_keep_size: '128MB', ...(options.ports === true ? own : {}), ...options.config } });
  await primary.sql('postgres', 'create database shop');
  await primary.sql('shop', 'create table t (id bigserial primary key, at timestamptz default clock_timestamp(), note text)');
  const members: Record<string, PostgresServer> = { a: primary };
  for (let i = 0; i < (options.standbys ?? 1); i++) members[String.fromCharCode(98 + i)] = await primary.createStandby();
  if (options.ports === true) for (const standby of Object.values(members).slice(1)) await standby.sql('postgres', `alter system set port = ${String(standby.port)}`);
  await caughtUp(primary, Object.values(members).slice(1));
  const member = (name: string): PostgresServer => {
    const found = members[name];
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  };
  const config = (extra: Readonly<Record<string, object>> = {}): unknown[] =>
    Object.entries(members).map(([name, server]) => ({ name, connection: server.url('postgres'), dataDir: server.dataDir, host: 'test-host', ...extra[name] }));
  return { members, member, config, target: (extra = {}, each = {}) => ({ type: 'postgres', engine: 'physical', toolsDir: primary.pgBin, members: config(each), ...extra }) };
}

export async function caughtUp(primary: PostgresServer, standbys: readonly PostgresServer[], timeoutMs = 240_000): Promise<void> {
  const until = Date.now() + timeoutMs;
  const [row] = await primary.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text as lsn');
  for (const standby of standbys) {
    while (!(await standby.sql<{ ok: boolean }>('postgres', `select coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false) as ok`, [row?.lsn]))[0]?.ok) {
      if (Date.now() > until) throw new Error(`${standby.name} does not catch up with ${primary.name}`);
      await sleep(30);
    }
  }
}

/** Whether a server takes a write now. */
export async function takesWrites(server: Pick<PostgresServer, 'sql'>): Promise<boolean> {
  return server.sql('shop', `insert into t (note) values ('probe')`).then(() => true, () => false);
}

/** A configuration with keys and a disk repository in a directory of its own, without Temporal. @returns its path */
export async function writeConfig(sections: { readonly targets: Record<string, unknown>; readonly [section: string]: unknown }): Promise<string> {
  const { path: dir } = tempDir('config');
  const identity = await generateIdentity();
  await writeFile(join(dir, 'resurgo.key'), `${identity}\n`, { mode: 0o600 });
  await writeFile(join(dir, 'resurgo-host.key'), formatHostKey(await generateHostKey()), { mode: 0o600 });
  await mkdir(join(dir, 'repo'), { mode: 0o700 });
  const path = join(dir, 'resurgo.yaml');
  await writeFile(path, JSON.stringify({ version: 1, encryption: { recipients: [await identityToRecipient(identity)], identity: { file: './resurgo.key' } }, repositories: { local: { type: 'disk', path: './repo' } }, ...sections }), { mode: 0o600 });
  return path;
}

export async function walReceiver(server: PostgresServer): Promise<number> {
  const rows = await server.sql<{ pid: number }>('postgres', `select pid from pg_stat_activity where backend_type = 'walreceiver'`);
  return rows[0]?.pid ?? -1;
}
