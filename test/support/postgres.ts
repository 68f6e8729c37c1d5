import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from './ports.ts';
import {
  type ClusterOptions,
  clusterMajor,
  clusterProcesses,
  createCluster,
  giveToServer,
  pgTool,
  removeSharedMemory,
  superuser,
} from './postgres-cluster.ts';
import { type Installation, postgresInstallation } from './postgres-install.ts';
import { type Resource, register, unregister } from './resources.ts';
import { type RunAs, pgRunAs } from './run-as.ts';
import { ServerProcess, killQuietly, sleep, tail } from './server-process.ts';
import { type TempDir, tempDir } from './temp.ts';

export interface PostgresOptions extends ClusterOptions {
  /** Another major version than the one of `.tools/env.json`; it has to be installed (see `installedPostgres`). */
  readonly major?: number;
  readonly port?: number;
}

export interface RoleOptions {
  readonly password: string;
  readonly replication?: boolean;
  readonly superuser?: boolean;
  /** Roles it becomes a member of, for example `pg_read_all_data`. */
  readonly memberOf?: readonly string[];
}

/** A PostgreSQL server on a free loopback port. */
export class PostgresServer implements Resource {
  readonly port: number;
  readonly dataDir: string;
  /** Directory of its programs. */
  readonly pgBin: string;
  readonly major: number;
  readonly runAs: RunAs | undefined;
  private readonly installation: Installation;
  private readonly work: TempDir;
  private readonly standbys: PostgresServer[] = [];
  private process: ServerProcess | undefined;
  private stopped = false;

  constructor(installation: Installation, work: TempDir, dataDir: string, port: number) {
    this.installation = installation;
    this.work = work;
    this.dataDir = dataDir;
    this.port = port;
    this.pgBin = installation.bin;
    this.major = clusterMajor(dataDir);
    this.runAs = pgRunAs();
    register(this);
  }

  get name(): string {
    return `PostgreSQL ${String(this.major)} on port ${String(this.port)} (${this.dataDir})`;
  }

  /** Directory of the unix socket. */
  get socketDir(): string {
    return this.work.path;
  }

  get logFile(): string {
    return join(this.work.path, 'server.log');
  }

  get isRunning(): boolean {
    return this.process?.isRunning ?? false;
  }

  /** Of the postmaster, -1 when it does not run. */
  get pid(): number {
    return this.isRunning && this.process ? this.process.pid : -1;
  }

  url(database = 'postgres', user = superuser, password?: string): string {
    const login =
      password === undefined ? encodeURIComponent(user) : `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
    return `postgres://${login}@127.0.0.1:${String(this.port)}/${encodeURIComponent(database)}`;
  }

  log(lines = 50): string {
    return tail(this.logFile, lines);
  }

  /** Starts (again) and waits until it takes connections. Extra `-c name=value` settings are for this start only. */
  async start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.isRunning) return;
    const all = {
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.socketDir.length < 90 ? this.socketDir : '',
      ...settings,
    };
    const process_ = new ServerProcess({
      name: this.name,
      file: join(this.pgBin, 'postgres'),
      args: ['-D', this.dataDir, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
      runAs: this.runAs,
      cwd: '/',
      logFile: this.logFile,
    });
    this.process = process_;
    await process_.ready(() => this.saysReady(process_.pid));
  }

  /** postmaster.pid has the state in its 8th line. */
  private saysReady(pid: number): boolean {
    try {
      const lines = readFileSync(join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n');
      return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
    } catch {
      return false;
    }
  }

  /** Ends the server and keeps its data; `start` brings it back. */
  async shutdown(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.process?.end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT', 240_000);
    await this.backendsGone();
  }

  /** Kills the postmaster and waits until every backend on the data directory is gone too, so that `start` works at once. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.process?.end(signal);
    await this.backendsGone();
  }

  private async backendsGone(timeoutMs = 120_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (clusterProcesses(this.dataDir).length > 0) {
      if (Date.now() > deadline)
        throw new Error(`${this.name}: processes ${clusterProcesses(this.dataDir).join(', ')} do not end`);
      await sleep(20);
    }
  }

  /** Runs one statement (or several, without parameters) on a connection of its own and returns the rows of the last. */
  async sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    database: string,
    text: string,
    params?: readonly unknown[],
  ): Promise<Row[]> {
    return this.session(database, async (client) => {
      const result: unknown = params ? await client.query(text, [...params]) : await client.query(text);
      const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<Row> | undefined;
      return last?.rows ?? [];
    });
  }

  async session<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ host: '127.0.0.1', port: this.port, user: superuser, database });
    // A server that is killed while the session is open says so here too; the query's own error is what counts.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Adds a role that logs in with a SCRAM password; returns its URL for `database`. */
  async addRole(role: string, options: RoleOptions, database = 'postgres'): Promise<string> {
    const flags = [options.replication ? 'REPLICATION' : '', options.superuser ? 'SUPERUSER' : '']
      .filter(Boolean)
      .join(' ');
    const name = pg.escapeIdentifier(role);
    await this.sql('postgres', `CREATE ROLE ${name} LOGIN ${flags} PASSWORD ${pg.escapeLiteral(options.password)}`);
    for (const group of options.memberOf ?? [])
      await this.sql('postgres', `GRANT ${pg.escapeIdentifier(group)} TO ${name}`);
    return this.url(database, role, options.password);
  }

  /** An empty directory the server may use as a tablespace; it goes with the server. */
  tablespaceDir(name: string): string {
    const path = join(this.work.path, name);
    mkdirSync(path, { mode: 0o700 });
    if (this.runAs) chownSync(path, this.runAs.uid, this.runAs.gid);
    return path;
  }

  /** A streaming hot standby made with `pg_basebackup`; stopped together with this server at the latest. */
  async createStandby(slot = `standby_${String(this.standbys.length + 1)}`): Promise<PostgresServer> {
    const installation = postgresInstallation(this.major);
    const work = tempDir('standby', this.runAs);
    const dataDir = join(work.path, 'data');
    pgTool(this.pgBin, 'pg_basebackup', [
      ...['-D', dataDir, '-R', '-C', '-S', slot, '-X', 'stream', '-c', 'fast', '--no-sync', '--no-password'],
      ...['-d', `host=127.0.0.1 port=${String(this.port)} user=${superuser} application_name=${slot}`],
    ]);
    const standby = new PostgresServer(installation, work, dataDir, await freePort());
    this.standbys.push(standby);
    await standby.start();
    return standby;
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    for (const standby of this.standbys.splice(0)) await standby.stop();
    // Data that goes with the server needs no shutdown checkpoint, and nobody to have received the last WAL.
    await this.process?.end(this.dataDir.startsWith(this.work.path) ? 'SIGQUIT' : 'SIGINT', 15_000);
    for (const pid of clusterProcesses(this.dataDir)) killQuietly(pid);
    await this.backendsGone();
    removeSharedMemory(this.dataDir);
    await this.work.stop();
    await this.installation.release();
    unregister(this);
  }

  abandon(): void {
    this.process?.signal('SIGKILL');
    for (const pid of clusterProcesses(this.dataDir)) killQuietly(pid);
    removeSharedMemory(this.dataDir);
  }
}

/** A fresh cluster, running. Default: the newest major there is, UTF8, locale C, page checksums, no fsync. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const installation = postgresInstallation(options.major);
  const work = tempDir('postgres', pgRunAs());
  const dataDir = join(work.path, 'data');
  createCluster(installation.bin, dataDir, options);
  const server = new PostgresServer(installation, work, dataDir, options.port ?? (await freePort()));
  await server.start();
  return server;
}

/**
 * A server on a data directory that exists already, a restored one for example. Gives the directory to the server's user first;
 * `stop` ends the server and leaves the directory in place.
 */
export async function openPostgres(
  dataDir: string,
  options: {
    readonly port?: number;
    readonly settings?: Readonly<Record<string, string>>;
    readonly start?: boolean;
  } = {},
): Promise<PostgresServer> {
  giveToServer(dataDir);
  const installation = postgresInstallation(clusterMajor(dataDir));
  const server = new PostgresServer(
    installation,
    tempDir('socket', pgRunAs()),
    dataDir,
    options.port ?? (await freePort()),
  );
  if (options.start ?? true) await server.start(options.settings);
  return server;
}
