import { chmod, chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { ControlData } from './control-data.ts';

/**
 * What keeps a restored cluster from reaching out: it archives nothing, follows nobody, subscribes to nothing, runs no library's
 * background workers, and nobody but us reaches it.
 */
function isolation(control: ControlData): Record<string, string> {
  const atLeast = (value: number, minimum: number): string => String(Math.max(value, minimum));
  return {
    listen_addresses: '',
    archive_mode: 'off',
    archive_command: '',
    archive_library: '',
    restore_command: '',
    // Ready means recovered.
    hot_standby: 'off',
    primary_conninfo: '',
    primary_slot_name: '',
    synchronous_standby_names: '',
    max_logical_replication_workers: '0',
    shared_preload_libraries: '',
    session_preload_libraries: '',
    local_preload_libraries: '',
    autovacuum: 'off',
    ssl: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'log',
    cluster_name: 'resurgo-check',
    external_pid_file: '',
    log_timezone: 'UTC',
    // In the data directory, so that nothing of a killed server stays in /dev/shm.
    dynamic_shared_memory_type: 'mmap',
    shared_buffers: '128MB',
    huge_pages: 'off',
    // Recovery refuses less than the source had.
    max_connections: atLeast(control.maxConnections, 20),
    max_worker_processes: atLeast(control.maxWorkerProcesses, 8),
    max_wal_senders: String(control.maxWalSenders),
    max_prepared_transactions: String(control.maxPreparedTransactions),
    max_locks_per_transaction: atLeast(control.maxLocksPerTransaction, 64),
  };
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** As whom the server is to run where we are root; undefined: as ourselves. @throws restoreFailed for a cluster of root's */
export async function clusterOwner(dataDir: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await stat(dataDir);
  if (uid === 0)
    throw new ResurgoError('restoreFailed', `${dataDir} belongs to root, as which PostgreSQL does not run.`);
  return { uid, gid };
}

export interface IsolatedHome {
  /** A directory of the server's own that exists. */
  readonly home: string;
  readonly control: ControlData;
  readonly major: number;
  readonly owner: Owner | undefined;
  /** More lines of pg_hba.conf; the socket, in a private directory, is open to every role. */
  readonly hba?: readonly string[];
}

/** Writes the files of an isolated server, nobody else's to read. What to start it with besides its port. May be called again. */
export async function isolate({ home, control, major, owner, hba: more = [] }: IsolatedHome): Promise<Record<string, string>> {
  const [hba, ident, config] = [join(home, 'pg_hba.conf'), join(home, 'pg_ident.conf'), join(home, 'postgresql.conf')];
  await writeFile(hba, ['local all all trust', ...more, ''].join('\n'), { mode: 0o600 });
  await writeFile(ident, '', { mode: 0o600 });
  // The source's own file may not be in the data directory (Debian), and may include what is not here: only what it needs is said.
  await writeFile(config, '', { mode: 0o600 });
  await chmod(home, 0o700);
  if (owner !== undefined) for (const path of [hba, ident, config, home]) await chown(path, owner.uid, owner.gid);
  return {
    ...isolation(control),
    // A login trigger of the source would run in every session of ours.
    ...(major >= 17 ? { event_triggers: 'off' } : {}),
    // Of a source that has such tablespaces; without it the start panics.
    ...(major >= 15 ? { allow_in_place_tablespaces: 'on' } : {}),
    unix_socket_directories: home,
    unix_socket_permissions: '0700',
    config_file: config,
    hba_file: hba,
    ident_file: ident,
  };
}
