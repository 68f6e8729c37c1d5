import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';

export interface ClusterProcess {
  readonly pid: number;
  readonly command: string;
}

const commandOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim();

/** By device and inode: a server in a container has the directory under another name. Empty when the process is gone; undefined when it may not be looked at. */
async function workingDirectory(pid: number): Promise<string | undefined> {
  try {
    return identityOf(await stat(`/proc/${pid}/cwd`, { bigint: true }));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? undefined : '';
  }
}

const identityOf = ({ dev, ino }: { dev: bigint; ino: bigint }): string => `${dev}:${ino}`;

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/**
 * Processes that work on a data directory: PostgreSQL's postmaster and every backend have it as their working directory, also after the
 * postmaster was killed. `postmaster.pid` counts too where /proc may not be looked at.
 */
export async function clusterProcesses(dataDir: string): Promise<ClusterProcess[]> {
  const real = await realpath(dataDir).catch(() => undefined);
  if (real === undefined) return [];
  const here = identityOf(await stat(real, { bigint: true }));
  const found = new Map<number, ClusterProcess>();
  for (const name of await readdir('/proc').catch((): string[] => [])) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const cwd = await workingDirectory(pid);
    // A shell that stands in the directory is in the way of nothing.
    if (cwd !== here) continue;
    const command = await commandOf(pid);
    if (/postgres|postmaster/.test(command)) found.set(pid, { pid, command });
  }
  const first = Number((await readFile(join(real, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0]);
  if (first > 0 && !found.has(first) && isAlive(first)) {
    const command = await commandOf(first);
    const cwd = await workingDirectory(first);
    // The number may have gone to somebody else; where nothing can be read it must be believed.
    const believed = cwd === undefined && (command === '' || /postgres|postmaster/.test(command));
    if (believed || cwd === here) found.set(first, { pid: first, command });
  }
  return [...found.values()];
}

/** @throws destinationBusy naming the processes */
export async function assertNotRunning(dataDir: string): Promise<void> {
  const running = await clusterProcesses(dataDir);
  if (running.length === 0) return;
  const shown = running
    .slice(0, 3)
    .map(({ pid, command }) => `${pid} (${command.slice(0, 80) || 'unknown'})`)
    .join(', ');
  throw new ResurgoError(
    'destinationBusy',
    `PostgreSQL runs on ${dataDir}: process ${shown}${running.length > 3 ? ` and ${running.length - 3} more` : ''}.`,
    {
      details: { hint: 'Stop the server first (pg_ctl -m fast stop, systemctl stop …), or set service.stop of the target.' },
    },
  );
}
