/**
 * A run of a plan holds `plan/<plan>/<target>` in Temporal; what a zombie of an older run still tries is stopped here: each host remembers the
 * newest fencing token it has seen for that plan and target, and refuses older ones.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';

interface Fenced {
  readonly plan: string;
  readonly target?: string;
  readonly fence: string;
}

const queue = new Map<string, Promise<void>>();

/** @throws fenced */
export async function assertFence(stateDir: string, run: Fenced): Promise<void> {
  const dir = path.join(stateDir, 'fences');
  const file = path.join(dir, createHash('sha256').update(`${run.plan}\0${run.target ?? ''}`).digest('hex').slice(0, 32));
  // One process at a time looks and writes; a second worker on the same state directory would write the same or a newer token.
  const turn = (queue.get(file) ?? Promise.resolve()).then(() => check(dir, file, run));
  queue.set(file, turn.catch(() => undefined));
  await turn;
}

async function check(dir: string, file: string, run: Fenced): Promise<void> {
  const seen = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (seen > run.fence) throw new ResurgoError('fenced', `a newer run of plan ${run.plan}${run.target === undefined ? '' : ` on ${run.target}`} has begun on this host (${seen})`);
  if (seen === run.fence) return;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temporary = `${file}.${String(process.pid)}.tmp`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(run.fence);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

/** Sorts by time of the run's start. */
export const fenceOf = (startedAtMs: number, runId: string): string => `${String(startedAtMs).padStart(15, '0')}-${runId}`;
