/** Starting and stopping the server of a data directory on this machine, where no service of the configuration does it. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { clusterProcesses } from './cluster-processes.ts';
import { findPgTool } from './tools.ts';

export interface ServerOptions {
  readonly dataDir: string;
  readonly toolDirs: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export const majorOf = async (dataDir: string): Promise<number> => Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'), 10);

/** The user PostgreSQL's programs run as: the owner of the directory, when we are root. */
export async function asOwner(dataDir: string): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = await stat(dataDir);
  return { uid, gid };
}

/** Fast shutdown; returns when no process works on the directory. Stopped already is success. @throws toolFailed */
export async function stopServer(options: ServerOptions): Promise<void> {
  const { dataDir, signal } = options;
  const running = await clusterProcesses(dataDir);
  if (running.length === 0) return;
  const tool = await findPgTool('pg_ctl', await majorOf(dataDir), { dirs: options.toolDirs });
  await runTool({ command: tool.path, args: ['-D', dataDir, '-m', 'fast', '-w', '-t', String(Math.ceil(options.timeoutMs / 1000)), 'stop'], timeoutMs: options.timeoutMs + 5000, signal, cwd: '/', ...(await asOwner(dataDir)) }).catch((error: unknown) => {
    if (!isResurgoError(error, 'toolFailed') || !/no server running|does not exist|No such process/i.test(error.message)) throw error;
  });
  for (const until = performance.now() + 30_000; (await clusterProcesses(dataDir)).length > 0; ) {
    if (performance.now() > until) throw new ResurgoError('toolFailed', `processes still work on ${dataDir} after it was stopped`);
    await sleep(50);
  }
}

/** Starts it in the background; its messages go to `resurgo-start.log` in the directory until its own logging takes over. Running already is success. @throws replicationFailed with the end of the log */
export async function startServer(options: ServerOptions): Promise<void> {
  const { dataDir } = options;
  if ((await clusterProcesses(dataDir)).length > 0) return;
  const log = join(dataDir, 'resurgo-start.log');
  const tool = await findPgTool('pg_ctl', await majorOf(dataDir), { dirs: options.toolDirs });
  try {
    await runTool({ command: tool.path, args: ['-D', dataDir, '-l', log, '-w', '-t', String(Math.ceil(options.timeoutMs / 1000)), 'start'], timeoutMs: options.timeoutMs + 5000, signal: options.signal, cwd: '/', ...(await asOwner(dataDir)) });
  } catch (error) {
    if (!isResurgoError(error, 'toolFailed')) throw error;
    const words = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-6).join(' | ');
    throw new ResurgoError('replicationFailed', `PostgreSQL did not start on ${dataDir}: ${words || error.message}`, { cause: error });
  }
}
