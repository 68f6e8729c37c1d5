import { readdir, readFile, readlink } from 'node:fs/promises';

/** What identifies a process beyond its pid, which the kernel hands out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot, as `/proc/<pid>/stat` says. */
  readonly startTime: string;
}

/** Fields of /proc/<pid>/stat after the command name, which may itself hold blanks and parentheses. Field 3 (state) is index 0. */
const statFields = async (pid: number): Promise<readonly string[] | undefined> => {
  try {
    const text = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
    return text
      .slice(text.lastIndexOf(')') + 2)
      .trim()
      .split(' ');
  } catch {
    return undefined;
  }
};

/** `Z` for a zombie; undefined when there is no such process. */
export const processState = async (pid: number): Promise<string | undefined> => (await statFields(pid))?.[0];

/** Start time of a pid; undefined when it is gone, or where there is no /proc. */
export const processStartTime = async (pid: number): Promise<string | undefined> => (await statFields(pid))?.[19];

/** Identity of a running process, to be written down and compared later. */
export const identify = async (pid: number): Promise<ProcessIdentity | undefined> => {
  const startTime = await processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
};

/** True only for the very same process (not a later one with its pid), and not for a zombie. */
export const isAlive = async ({ pid, startTime }: ProcessIdentity): Promise<boolean> => {
  const fields = await statFields(pid);
  return fields !== undefined && fields[19] === startTime && fields[0] !== 'Z';
};

const pids = async (): Promise<number[]> =>
  (await readdir('/proc').catch((): string[] => [])).filter((name) => /^\d+$/.test(name)).map(Number);

/** The process and everything below it. One pass over /proc. */
export const processTree = async (root: number): Promise<number[]> => {
  const children = new Map<number, number[]>();
  for (const pid of await pids()) {
    const parent = Number((await statFields(pid))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) tree.push(...(children.get(tree[i] as number) ?? []));
  return tree;
};

/** Direct children as the kernel lists them; undefined where it does not. */
export const childProcesses = async (pid: number): Promise<number[] | undefined> => {
  try {
    return (await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8'))
      .split(' ')
      .filter(Boolean)
      .map(Number);
  } catch {
    return undefined;
  }
};

/** Targets of all open descriptors of a process; undefined when it is gone or may not be looked at. */
export const openFiles = async (pid: number): Promise<string[] | undefined> => {
  const directory = `/proc/${String(pid)}/fd`;
  try {
    const names = await readdir(directory);
    return (await Promise.all(names.map((name) => readlink(`${directory}/${name}`).catch(() => '')))).filter(
      (target) => target !== '',
    );
  } catch {
    return undefined;
  }
};

/**
 * Processes whose environment holds `NAME=value` (exactly), oldest pid first, this process excepted. Children of this product
 * are started with such a marker, so that those which a killed worker left behind are found.
 */
export const processesWithEnvironment = async (name: string, value: string): Promise<ProcessIdentity[]> => {
  const wanted = `${name}=${value}`;
  const found: ProcessIdentity[] = [];
  for (const pid of await pids()) {
    if (pid === process.pid) continue;
    const environment = await readFile(`/proc/${String(pid)}/environ`, 'utf8').catch(() => '');
    if (!environment.split('\0').includes(wanted)) continue;
    const identity = await identify(pid);
    if (identity !== undefined) found.push(identity);
  }
  return found;
};

/** Ends processes that a dead worker left, by identity, never a later process with the same pid. Returns how many were ended. */
export const sweepProcesses = async (leftovers: readonly ProcessIdentity[], graceMs = 2000): Promise<number> => {
  const signal = async (identity: ProcessIdentity, name: NodeJS.Signals): Promise<boolean> => {
    if (!(await isAlive(identity))) return false;
    try {
      return process.kill(identity.pid, name);
    } catch {
      return false;
    }
  };
  let swept = 0;
  for (const identity of leftovers) {
    if (await signal(identity, 'SIGTERM')) swept++;
    await signal(identity, 'SIGCONT'); // One that was stopped for back-pressure could not act on SIGTERM.
  }
  for (
    const until = Date.now() + graceMs;
    Date.now() < until;
    await new Promise((resolve) => setTimeout(resolve, 20))
  ) {
    if (!(await Promise.all(leftovers.map(isAlive))).includes(true)) return swept;
  }
  for (const identity of leftovers) await signal(identity, 'SIGKILL');
  return swept;
};

/** Environment variable that all programs working for one staging directory carry. */
export const stagingMarker = 'RESURGO_STAGING';

/** Ends what a dead worker's programs left working for this staging directory: pg_dump's own workers, for one, outlive it. */
export const sweepStaging = async (staging: string): Promise<number> =>
  sweepProcesses(await processesWithEnvironment(stagingMarker, staging));
