import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { ResurgoError } from '../../domain/errors.ts';
import { mapBounded } from '../repository/bounded.ts';
import { pathBytes } from '../vault/tar-path.ts';
import { treatFile, treatJobs } from './tree-file.ts';
import type { FileJob, FileResult } from './tree-file.ts';

/** One more than cores: while one waits for fsync another computes. */
const defaultThreads = availableParallelism() + 1;
/** Up to so many bytes are hashed or merged on the calling thread, between other events: a thread costs 50 ms to start. */
const inlineBytes = 64 * 1024 * 1024;
const batchFiles = 16;
const batchBytes = 16 * 1024 * 1024;
/** Syncs that run side by side; the file system gathers them into fewer commits. */
const syncs = 8;

export interface TreatOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of files done since the last call. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Size of each file. */
  readonly onSize?: (bytes: number) => void;
}

const bytesOf = (job: FileJob): number => job.merge?.bytes ?? job.expected?.size ?? 0;

/** Small files in batches, large ones alone and first, so that no thread is left with one at the end. */
function batches(jobs: readonly FileJob[]): FileJob[][] {
  const result: FileJob[][] = [];
  let current: FileJob[] = [];
  let bytes = 0;
  for (const job of jobs.toSorted((a, b) => bytesOf(b) - bytesOf(a))) {
    current.push(job);
    bytes += bytesOf(job);
    if (current.length < batchFiles && bytes < batchBytes) continue;
    result.push(current);
    current = [];
    bytes = 0;
  }
  if (current.length > 0) result.push(current);
  return result;
}

/** Without reading: by the asynchronous calls of Node, no thread of our own. */
async function treatUnread(job: FileJob): Promise<FileResult> {
  try {
    if (!job.sync) return treatFile(job);
    const handle = await open(pathBytes(job.path), 'r');
    try {
      const { size } = await handle.stat();
      if (job.owner) await handle.chown(job.owner.uid, job.owner.gid);
      await handle.sync();
      const problem =
        job.expected && size !== job.expected.size
          ? `${job.expected.path} has ${size} bytes, the manifest says ${job.expected.size}`
          : undefined;
      return problem === undefined ? { size } : { size, problem };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { error: { code: code ?? '', message } };
  }
}

type Treat = (batch: readonly FileJob[]) => Promise<readonly FileResult[]>;

const inline: Treat = async (batch) => {
  await new Promise((resolve) => setImmediate(resolve));
  return treatJobs(batch);
};

/** A thread that treats batches. */
class FileThread {
  readonly #worker = new Worker(
    new URL(import.meta.url.endsWith('.ts') ? './tree-worker.ts' : './tree-worker.js', import.meta.url),
  );
  #failure: Error | undefined;

  constructor() {
    this.#worker.on('error', (error: Error) => (this.#failure = error));
  }

  readonly treat: Treat = (batch) =>
    new Promise((resolve, reject) => {
      const fail = (): void => reject(this.#failure ?? new Error('The file thread ended.'));
      this.#worker.once('exit', fail);
      this.#worker.once('message', (message: readonly FileResult[]) => {
        this.#worker.off('exit', fail);
        resolve(message);
      });
      this.#worker.postMessage(batch);
    });

  end(): Promise<unknown> {
    return this.#worker.terminate();
  }
}

/**
 * Treats files: checksums and merges on several threads where there is much to do, ownership and fsync side by side.
 * @returns what was found wrong with the content
 * @throws restoreFailed, destinationSpace (a system call failed), cancelled
 */
export async function treatFiles(jobs: readonly FileJob[], options: TreatOptions = {}): Promise<string[]> {
  const { signal } = options;
  const problems: string[] = [];
  const take = (batch: readonly FileJob[], results: readonly FileResult[], again = false): void => {
    for (const [i, result] of results.entries()) {
      if (result.size !== undefined && !again) options.onSize?.(result.size);
      if (result.problem !== undefined) problems.push(result.problem);
      if (!result.error) continue;
      const full = result.error.code === 'ENOSPC' || result.error.code === 'EDQUOT';
      throw new ResurgoError(full ? 'destinationSpace' : 'restoreFailed', `${batch[i]?.path}: ${result.error.message}`);
    }
    if (!again) options.onProgress?.(batch.reduce((sum, job) => sum + bytesOf(job), 0));
  };
  const assertGoing = (): void => {
    if (signal?.aborted)
      throw new ResurgoError('cancelled', 'Cancelled while files were checked and synced.', { cause: signal.reason });
  };
  const reads = (job: FileJob): boolean => job.merge !== undefined || (job.content && job.expected !== undefined);
  const read = jobs.filter(reads);
  const inlined = read.reduce((sum, job) => sum + bytesOf(job), 0) <= inlineBytes;
  // A sync on the calling thread would stop everything else: it follows below.
  const queue = batches(inlined ? read.map(({ owner: _owner, ...job }) => ({ ...job, sync: false })) : read);
  const drain = async (treat: Treat): Promise<void> => {
    for (let batch = queue.shift(); batch; batch = queue.shift()) {
      assertGoing();
      take(batch, await treat(batch));
    }
  };
  const threads: FileThread[] = [];
  try {
    if (inlined) await drain(inline);
    else {
      for (let i = Math.min(options.threads ?? defaultThreads, queue.length); i > 0; i--)
        threads.push(new FileThread());
      await Promise.all(threads.map((thread) => drain(thread.treat)));
    }
  } finally {
    queue.length = 0;
    await Promise.all(threads.map((thread) => thread.end()));
  }
  const rest = jobs.filter((job) => !reads(job) || (inlined && (job.sync || job.owner !== undefined)));
  await mapBounded(rest, syncs, async (job) => {
    assertGoing();
    const again = reads(job);
    // What was read or merged above has only to be given away and made durable.
    const { path, sync, owner } = job;
    const left: FileJob = again ? { path, content: false, sync, ...(owner ? { owner } : {}) } : job;
    take([left], [await treatUnread(left)], again);
  });
  return problems;
}
