import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { startTool } from '../host/child.ts';
import type { RunningTool } from '../host/child.ts';
import { assertNotRunning, clusterProcesses } from './cluster-processes.ts';
import { resolveConnection } from './connection.ts';
import type { PostgresConnection } from './connection.ts';
import { readControlData } from './control-data.ts';
import { clusterOwner, isolate } from './isolation.ts';
import { withClient } from './postgres-client.ts';
import { findPgTool } from './tools.ts';

export interface LocalServerOptions {
  readonly dataDir: string;
  readonly toolDirs?: readonly string[];
  /** A role that exists in the cluster: the one that took the backup. Used to find the superuser's name. */
  readonly knownRole?: string;
  /** More settings, `name → value`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Recovery may take long. Milliseconds, default 30 minutes. */
  readonly startTimeoutMs?: number;
  /** A directory of this server's own for its socket and files, made anew; whoever names it finds it again. Default a fresh temporary one. */
  readonly home?: string;
  /** More lines of pg_hba.conf; the socket, in a private directory, is open to every role. */
  readonly hba?: readonly string[];
}

export interface LocalServer {
  /** As superuser, over a private socket. */
  readonly connection: PostgresConnection;
  readonly pid: number;
  /** Time of the newest commit that recovery replayed, ISO; undefined where it replayed none. */
  readonly lastCommit: string | undefined;
  /** Fast shutdown, so that the data directory is consistent at rest; then the socket directory goes. Safe to call twice. */
  stop(): Promise<void>;
}

export async function superuserName(
  connect: (role: string) => PostgresConnection,
  knownRole: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  let problem: unknown;
  for (const role of new Set([...(knownRole === undefined ? [] : [knownRole]), 'postgres'])) {
    try {
      return await withClient(
        connect(role),
        async (client) => {
          const { rows } = await client.query<{ name: string }>(
            'select rolname::text as name from pg_roles where oid = 10',
          );
          return rows[0]?.name ?? role;
        },
        { signal },
      );
    } catch (error) {
      problem ??= error;
    }
  }
  throw new ResurgoError('restoreFailed', 'No role of the restored cluster could log in.', { cause: problem });
}

/**
 * Starts PostgreSQL on a restored data directory for checks: isolated, reachable only through a socket in a private directory, as the
 * owner of the directory when we are root. The cluster recovers; `stop` leaves it cleanly shut down.
 * @throws restoreFailed with the end of the server's log, destinationBusy, toolMissing, toolVersion, cancelled
 */
export async function startLocalServer(options: LocalServerOptions): Promise<LocalServer> {
  const { dataDir, signal } = options;
  await assertNotRunning(dataDir);
  const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'), 10);
  const find = { dirs: options.toolDirs ?? [] };
  const postgres = await findPgTool('postgres', major, find);
  const control = await readControlData(dataDir, major, find);
  const owner = await clusterOwner(dataDir);
  // A socket's path has 107 bytes at most, so it cannot lie in the data directory.
  const home = options.home === undefined ? await mkdtemp(join(tmpdir(), 'resurgo-pg-')) : await freshDirectory(options.home);
  const settings: Record<string, string> = {
    ...(await isolate({ home, control, major, owner, ...(options.hba === undefined ? {} : { hba: options.hba }) })),
    port: '5432',
    ...options.settings,
  };
  const log: string[] = [];
  let lastCommit: string | undefined;
  const remove = (): Promise<void> => rm(home, { recursive: true, force: true });
  let server: RunningTool;
  try {
    server = startTool({
      command: postgres.path,
      // postgresql.auto.conf is read after every other file; only the command line is stronger.
      args: ['-D', dataDir, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      cwd: '/',
      graceMs: 60_000,
      ...owner,
      onStderrLine: (line) => {
        const time = /last completed transaction was at log time (\S+ \S+)/.exec(line)?.[1];
        if (time !== undefined) lastCommit = new Date(time.replace(' ', 'T').replace(/\+00$/, 'Z')).toISOString();
        log.push(line);
        if (log.length > 60) log.shift();
      },
    });
  } catch (error) {
    await remove();
    throw error;
  }
  server.stdout.resume();
  let ended: unknown;
  const end = server.done.then(
    () => (ended = 'ended'),
    (error: unknown) => (ended = error),
  );
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      signal?.removeEventListener('abort', onAbort);
      if (ended === undefined) signalPostmaster(server.pid, 'SIGINT');
      const timer = setTimeout(() => signalPostmaster(server.pid, 'SIGQUIT'), 60_000);
      await end;
      clearTimeout(timer);
      await backendsGone(dataDir);
      await remove();
    })());
  const onAbort = (): void => void stop();
  signal?.addEventListener('abort', onAbort, { once: true });
  const connect = (role: string): PostgresConnection =>
    resolveConnection(`postgres:///?host=${encodeURIComponent(home)}&port=${settings['port'] ?? '5432'}`, {
      user: role,
      database: 'template1',
      applicationName: 'resurgo-check',
    });
  try {
    await waitReady(dataDir, server.pid, () => ended !== undefined, signal, options.startTimeoutMs ?? 30 * 60_000);
    const name = await superuserName(connect, options.knownRole, signal);
    return { connection: connect(name), pid: server.pid, lastCommit, stop };
  } catch (error) {
    await stop();
    if (signal?.aborted)
      throw new ResurgoError('cancelled', `Cancelled while the restored cluster ${dataDir} was started.`, {
        cause: signal.reason,
      });
    const words =
      log
        .filter((line) => /FATAL|PANIC|ERROR|HINT|DETAIL/.test(line))
        .slice(-4)
        .join(' | ') || log.slice(-3).join(' | ');
    throw new ResurgoError(
      'restoreFailed',
      `PostgreSQL ${postgres.version} did not start on the restored ${dataDir}: ${words || (error as Error).message}`,
      { cause: error, details: { log } },
    );
  }
}

async function freshDirectory(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  return path;
}

function signalPostmaster(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

async function backendsGone(dataDir: string): Promise<void> {
  for (let tries = 0; tries < 200 && (await clusterProcesses(dataDir)).length > 0; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
}

/** The eighth line of postmaster.pid tells the state. */
async function waitReady(
  dataDir: string,
  pid: number,
  ended: () => boolean,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<void> {
  for (
    const until = Date.now() + timeoutMs;
    Date.now() < until;
    await new Promise((resolve) => setTimeout(resolve, 25))
  ) {
    signal?.throwIfAborted();
    if (ended()) throw new Error('the server ended');
    const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (lines[0] === String(pid) && lines[7]?.trim() === 'ready') return;
  }
  throw new Error(`the server was not ready within ${timeoutMs} ms`);
}
