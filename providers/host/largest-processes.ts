import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessFacts {
  readonly pid: number;
  readonly name: string;
  readonly rssBytes: number;
  /** Of one core, over the last second; 0 where memory was asked for. */
  readonly cpuPercent: number;
}

interface Seen {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly rssBytes: number;
  /** Clock ticks in user and system mode. */
  readonly ticks: number;
  /** Tells a process from a later one of the same id. */
  readonly start: string;
}

const pageBytes = 4096;
const ticksPerSecond = 100;

/** One line of /proc/PID/stat; the name may hold spaces and brackets. Undefined when it has ended. */
async function see(pid: number): Promise<Seen | undefined> {
  try {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
    const open = stat.indexOf('(');
    const close = stat.lastIndexOf(')');
    const fields = stat.slice(close + 2).split(' ');
    return { pid, name: stat.slice(open + 1, close), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]), start: fields[19] ?? '', rssBytes: Number(fields[21]) * pageBytes };
  } catch {
    return undefined;
  }
}

async function all(): Promise<Seen[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return (await Promise.all(pids.map(see))).filter((one) => one !== undefined);
}

/** The largest processes of this host, largest first. Linux. */
export async function largestProcesses(by: 'memory' | 'cpu', count: number, signal: AbortSignal): Promise<ProcessFacts[]> {
  const before = await all();
  if (by === 'memory') return before.sort((a, b) => b.rssBytes - a.rssBytes).slice(0, count).map(({ pid, name, rssBytes }) => ({ pid, name, rssBytes, cpuPercent: 0 }));
  const begun = performance.now();
  await sleep(1000, undefined, { signal });
  const after = await all();
  const seconds = (performance.now() - begun) / 1000;
  const then = new Map(before.map((one) => [`${String(one.pid)} ${one.start}`, one.ticks]));
  return after
    .map(({ pid, name, rssBytes, ticks, start }) => ({ pid, name, rssBytes, cpuPercent: Math.max(0, ((ticks - (then.get(`${String(pid)} ${start}`) ?? ticks)) / ticksPerSecond / seconds) * 100) }))
    .sort((a, b) => b.cpuPercent - a.cpuPercent)
    .slice(0, count);
}

/** @returns how many processes were there and are not any more; never process 1, this one or those it descends from */
export async function endNamed(names: readonly string[], graceMs: number, signal: AbortSignal): Promise<number> {
  const processes = await all();
  const byPid = new Map(processes.map((one) => [one.pid, one]));
  const spared = new Set([1]);
  for (let one = byPid.get(process.pid); one !== undefined && !spared.has(one.pid); one = byPid.get(one.parent)) spared.add(one.pid);
  const wanted = processes.filter(({ pid, name }) => names.includes(name) && !spared.has(pid));
  const lives = async (one: Seen): Promise<boolean> => (await see(one.pid))?.start === one.start;
  const send = async (to: readonly Seen[], how: NodeJS.Signals): Promise<void> => {
    for (const one of to) {
      // Looked at again right before: the id may be another's by now.
      if (!(await lives(one))) continue;
      try {
        process.kill(one.pid, how);
      } catch {
        // Ended by itself, or not ours to end: what is left is counted below.
      }
    }
  };
  const left = async (): Promise<Seen[]> => {
    const still: Seen[] = [];
    for (const one of wanted) if (await lives(one)) still.push(one);
    return still;
  };
  await send(wanted, 'SIGTERM');
  for (const until = performance.now() + graceMs; performance.now() < until && (await left()).length > 0; ) await sleep(100, undefined, { signal });
  await send(await left(), 'SIGKILL');
  await sleep(200, undefined, { signal });
  return wanted.length - (await left()).length;
}
