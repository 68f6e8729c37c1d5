import { readFileSync } from 'node:fs';
import { processTree } from '../providers/host/processes.ts';

/** `resurgo up`'s worker process: its child that runs `worker`. */
export async function workerPid(up: number): Promise<number> {
  for (const pid of await processTree(up)) {
    if (
      pid !== up &&
      read(`/proc/${String(pid)}/cmdline`)
        .split('\0')
        .includes('worker')
    )
      return pid;
  }
  throw new Error('resurgo up has no worker');
}

/** Memory of a process and its descendants with shared pages divided among their users, bytes. */
export async function proportionalBytes(root: number): Promise<number> {
  let kib = 0;
  for (const pid of await processTree(root)) {
    kib += Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${String(pid)}/smaps_rollup`))?.[1] ?? 0);
  }
  return kib * 1024;
}

/** User and system time of a process and its living descendants, seconds. */
export async function cpuSeconds(root: number): Promise<number> {
  let ticks = 0;
  for (const pid of await processTree(root)) {
    const stat = read(`/proc/${String(pid)}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime, stime, and those of children that ended
    for (const i of [11, 12, 13, 14]) ticks += Number(fields[i] ?? 0);
  }
  return ticks / 100;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
