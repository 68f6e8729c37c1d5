import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../../domain/errors.ts';
import { processState } from '../host/processes.ts';
import { clusterProcesses, type ClusterProcess } from './cluster-processes.ts';
import { readControlFile } from './control-file.ts';
import { blockStart, isBlocked, readFenceMark } from './fence-block.ts';

export interface LocalFenceOptions {
  readonly dataDir: string;
  /** Of the cluster, as a member told it; the directory must belong to it. */
  readonly systemId?: string;
  /** Port of the member's connection; the directory's server must be that one. */
  readonly port?: number;
  readonly run: string;
  readonly epoch: number;
  readonly why: string;
  /** A server that still works may hand over its last WAL for so long (fast shutdown). Milliseconds. */
  readonly graceMs: number;
  /** Everything has ended by then, or the fence is not proved. Milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before anything is ended, again and again: throws when a newer operation has taken over. */
  readonly stillOurs: () => Promise<void>;
}

export interface FenceProof {
  readonly method: string;
  /** What was seen, in words. */
  readonly proof: string;
  readonly ended: number;
  readonly tookMs: number;
}

const unproved = (message: string, hint?: string): ResurgoError => new ResurgoError('fenceUnproved', message, hint === undefined ? {} : { details: { hint } });

const kill = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') throw unproved(`process ${pid} may not be ended by this worker`, 'Run the worker on that host as root, or as the user PostgreSQL runs as.');
  }
};

/**
 * Makes certain that the server of a data directory on this machine takes no writes any more, and proves it: a start is blocked first, so that no
 * supervisor wins the race; then every process with that working directory is ended (after a postmaster's death its backends can still commit;
 * one that was stopped would go on when it is continued), until none is seen.
 * Idempotent. The directory of a standby, which takes no writes, is fenced as well: it could be promoted.
 * @throws fenceUnproved with the reason; what was blocked by then stays blocked
 */
export async function fenceLocally(options: LocalFenceOptions): Promise<FenceProof> {
  const { dataDir, signal } = options;
  const startedAt = performance.now();
  await assertOurs(options);
  await options.stillOurs();
  await blockStart(dataDir, { run: options.run, epoch: options.epoch, at: new Date().toISOString(), why: options.why });
  const seen = new Set<number>();
  await handOver(options, seen);
  const until = performance.now() + options.timeoutMs;
  // Twice nothing, apart: a start that had passed its check before the block shows up in between.
  for (let quiet = 0; quiet < 2; ) {
    signal?.throwIfAborted();
    const running = await clusterProcesses(dataDir);
    quiet = running.length === 0 ? quiet + 1 : 0;
    if (running.length > 0) {
      if (performance.now() > until) throw unproved(`${running.length} processes on ${dataDir} do not end: ${describe(running)}`, 'They may hang in the kernel (a dead disk): reset the machine.');
      await options.stillOurs();
      // The postmaster first: it would start new ones.
      for (const { pid } of running.toSorted((a, b) => Number(isChild(a)) - Number(isChild(b)))) {
        seen.add(pid);
        kill(pid, 'SIGKILL');
      }
    }
    await sleep(running.length > 0 ? 10 : 40, undefined, signal === undefined ? {} : { signal });
  }
  if (!(await isBlocked(dataDir))) throw unproved(`the block on ${dataDir} was taken away by something else`, 'Look for what resets modes or removes standby.signal there.');
  return {
    method: 'local',
    proof: `no process works on ${dataDir}${seen.size > 0 ? ` (${seen.size} ended)` : ''}; a start is refused`,
    ended: seen.size,
    tookMs: Math.round(performance.now() - startedAt),
  };
}

const isChild = ({ command }: ClusterProcess): boolean => /^postgres: /.test(command);
const describe = (running: readonly ClusterProcess[]): string => running.slice(0, 3).map(({ pid, command }) => `${pid} (${command.slice(0, 60)})`).join(', ');

/** The directory must be the member's own, or ending its processes proves nothing about the member. */
async function assertOurs({ dataDir, systemId, port }: LocalFenceOptions): Promise<void> {
  const info = await stat(dataDir).catch(() => undefined);
  if (info?.isDirectory() !== true) throw unproved(`${dataDir} is no directory on this host`, "Correct the member's host and dataDir.");
  const uid = process.getuid?.();
  if (uid !== 0 && uid !== info.uid) throw unproved(`${dataDir} belongs to user ${info.uid}, whose processes this worker cannot see or end`, 'Run the worker on that host as root, or as that user.');
  const control = await readControlFile(dataDir);
  if (systemId !== undefined && control.systemId !== systemId) throw unproved(`${dataDir} is of the database system ${control.systemId}, the cluster is ${systemId}`, "Correct the member's dataDir.");
  const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const actual = Number(lines[3]);
  if (port !== undefined && actual > 0 && actual !== port) throw unproved(`the server in ${dataDir} listens on port ${actual}, the member's connection says ${port}`, "Correct the member's dataDir or connection.");
}

/**
 * A server that still works is asked to shut down fast: sessions are ended, waiting commits are not acknowledged, and its senders ship what is
 * left to the standbys. One that is stopped (SIGSTOP) or dead is not waited for.
 */
async function handOver({ dataDir, graceMs, signal, stillOurs }: LocalFenceOptions, seen: Set<number>): Promise<void> {
  const running = await clusterProcesses(dataDir);
  const postmaster = running.find((each) => !isChild(each));
  if (postmaster === undefined || graceMs <= 0 || (await processState(postmaster.pid)) === 'T') return;
  await stillOurs();
  kill(postmaster.pid, 'SIGINT');
  seen.add(postmaster.pid);
  for (const until = performance.now() + graceMs; performance.now() < until; ) {
    signal?.throwIfAborted();
    if ((await clusterProcesses(dataDir)).length === 0) return;
    await sleep(20);
  }
}

/** Whether the directory is fenced now: blocked, with nothing at work on it. */
export const isFencedLocally = async (dataDir: string): Promise<boolean> =>
  (await readFenceMark(dataDir)) !== undefined && (await isBlocked(dataDir)) && (await clusterProcesses(dataDir)).length === 0;
