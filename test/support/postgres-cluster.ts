import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  lstatSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pgRunAs } from './run-as.ts';

export const superuser = 'postgres';

/** Runs a PostgreSQL program as the server's user, to its end. @throws with its last words */
export function pgTool(bin: string, name: string, args: readonly string[]): string {
  const runAs = pgRunAs();
  const result = spawnSync(join(bin, name), args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    maxBuffer: 64 << 20,
    ...(runAs ? { uid: runAs.uid, gid: runAs.gid } : {}),
  });
  if (result.status !== 0) {
    throw new Error(
      `${name} ${args.join(' ')} ended with ${String(result.status ?? result.signal ?? result.error?.message)}:\n${result.stderr}`,
    );
  }
  return result.stdout;
}

export interface ClusterOptions {
  readonly dataChecksums?: boolean;
  readonly encoding?: string;
  /** Default `C`. */
  readonly locale?: string;
  /** More lines for postgresql.conf. */
  readonly config?: Readonly<Record<string, string>>;
  /** Default false: tests do not survive power loss, and need not. */
  readonly fsync?: boolean;
}

/** Settings every cluster of the tests has; 17 and later also summarize their WAL for incremental backups. */
function settings(major: number, options: ClusterOptions): Record<string, string> {
  const fsync = options.fsync ?? false;
  return {
    wal_level: 'replica',
    max_wal_senders: '10',
    max_replication_slots: '10',
    max_connections: '60',
    shared_buffers: '64MB',
    // Files in the data directory instead of /dev/shm: a SIGKILL leaves none behind elsewhere.
    dynamic_shared_memory_type: 'mmap',
    log_min_messages: 'warning',
    logging_collector: 'off',
    timezone: 'UTC',
    ...(major >= 17 ? { summarize_wal: 'on' } : {}),
    ...(fsync ? {} : { fsync: 'off' }),
    ...options.config,
  };
}

const quote = (value: string): string => `'${value.replaceAll("'", "''")}'`;

const hba = `# superuser without a password, everybody else with one, all of it on this machine only
local all ${superuser} trust
local replication ${superuser} trust
host all ${superuser} 127.0.0.1/32 trust
host replication ${superuser} 127.0.0.1/32 trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
`;

export const clusterMajor = (dataDir: string): number =>
  Number(readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim());

export function createCluster(bin: string, dataDir: string, options: ClusterOptions): void {
  const major = Number(/\d+/.exec(pgTool(bin, 'postgres', ['--version']))?.[0]);
  const wantsChecksums = options.dataChecksums ?? true;
  const checksums = wantsChecksums ? ['--data-checksums'] : major >= 18 ? ['--no-data-checksums'] : [];
  pgTool(bin, 'initdb', [
    ...['-D', dataDir, '-U', superuser, '-A', 'trust', '--no-sync', '--no-instructions'],
    ...['-E', options.encoding ?? 'UTF8', `--locale=${options.locale ?? 'C'}`, ...checksums],
  ]);
  const lines = Object.entries(settings(major, options)).map(([name, value]) => `${name} = ${quote(value)}\n`);
  appendFileSync(join(dataDir, 'postgresql.conf'), `\n# test settings\n${lines.join('')}`);
  writeFileSync(join(dataDir, 'pg_hba.conf'), hba);
}

/** Gives a directory tree (a restored cluster, say) and its tablespaces to the user PostgreSQL runs as. */
export function giveToServer(path: string): void {
  const runAs = pgRunAs();
  if (!runAs) return;
  const give = (file: string): void => {
    const info = lstatSync(file);
    if (info.isSymbolicLink()) return;
    chownSync(file, runAs.uid, runAs.gid);
    if (info.isDirectory()) for (const name of readdirSync(file)) give(join(file, name));
  };
  give(path);
  const tablespaces = join(path, 'pg_tblspc');
  try {
    for (const name of readdirSync(tablespaces))
      if (lstatSync(join(tablespaces, name)).isSymbolicLink()) give(readlinkSync(join(tablespaces, name)));
  } catch {
    // No cluster, no tablespaces.
  }
}

/** Processes whose working directory is this data directory: the postmaster and every backend, orphaned or not. */
export function clusterProcesses(dataDir: string): number[] {
  let real: string;
  try {
    real = realpathSync(dataDir);
  } catch {
    return [];
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === real;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** A killed postmaster leaves its System V segment; postmaster.pid names it. */
export function removeSharedMemory(dataDir: string): void {
  try {
    const id = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[6]?.trim().split(/\s+/)[1];
    if (id) spawnSync('ipcrm', ['-m', id], { stdio: 'ignore' });
  } catch {
    // Ended cleanly.
  }
}

/** To every process of a server; one that ended meanwhile is none any more. */
export function signalAll(dataDir: string, signal: NodeJS.Signals): void {
  for (const pid of clusterProcesses(dataDir)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
