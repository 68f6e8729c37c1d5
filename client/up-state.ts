/** `.resurgo/up.json`: how commands find the `resurgo up` of their configuration. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface UpState {
  readonly pid: number;
  /** Start time of that process in clock ticks since boot: a reused pid is not taken for it. */
  readonly pidStart: string;
  readonly address: string;
  readonly namespace: string;
  readonly ui: string;
  /** Base URL of webhooks, metrics and board. */
  readonly gateway?: string;
  readonly ready: boolean;
  readonly startedAt: string;
}

const pathOf = (stateDir: string): string => join(stateDir, 'up.json');

/** Field 22 of /proc/<pid>/stat, or undefined when there is no such process. */
export function processStart(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The state of a living `up`; a file left by a dead one counts as absent. */
export async function readUpState(stateDir: string): Promise<UpState | undefined> {
  const state = await lastUpState(stateDir);
  return state !== undefined && processStart(state.pid) === state.pidStart ? state : undefined;
}

/** What the last `up` wrote, dead or alive: its ports are taken again where they are free. */
export async function lastUpState(stateDir: string): Promise<UpState | undefined> {
  try {
    return JSON.parse(await readFile(pathOf(stateDir), 'utf8')) as UpState;
  } catch {
    return undefined;
  }
}

export async function writeUpState(stateDir: string, state: UpState): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const temporary = `${pathOf(stateDir)}.${String(process.pid)}.tmp`;
  await writeFile(temporary, JSON.stringify(state, null, 2), { mode: 0o600 });
  await rename(temporary, pathOf(stateDir));
}

export async function removeUpState(stateDir: string): Promise<void> {
  const state = await lastUpState(stateDir);
  if (state?.pid === process.pid) await rm(pathOf(stateDir), { force: true });
}
