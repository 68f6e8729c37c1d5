import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { ResurgoError } from '../../domain/errors.ts';
import type { FileJob, FileResult } from './tree-worker.ts';

/** More threads than cores: while one waits for fsync another computes. */
const defaultThreads = Math.min(8, availableParallelism() * 2);
const batchFiles = 16;
const batchBytes = 16 * 1024 * 1024;

export interface TreatOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of files done since the last call. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Size of each file. */
  readonly onSize?: (bytes: number) => void;
}

const bytesOf = (job: FileJob): number => job.expected?.size ?? 0;

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

/**
 * Treats files on several threads (their own cores for checksums, and fsyncs side by side).
 * @returns what was found wrong with the content
 * @throws restoreFailed, destinationSpace (system call failed), cancelled
 */
export async function treatFiles(jobs: readonly FileJob[], options: TreatOptions = {}): Promise<string[]> {
  const queue = batches(jobs);
  const problems: string[] = [];
  const workers: Worker[] = [];
  const { signal } = options;
  const drain = async (): Promise<void> => {
    const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './tree-worker.ts' : './tree-worker.js', import.meta.url), { execArgv: [] });
    workers.push(worker);
    let failure: Error | undefined;
    worker.on('error', (error: Error) => (failure = error));
    for (let batch = queue.shift(); batch; batch = queue.shift()) {
      if (signal?.aborted) throw new ResurgoError('cancelled', 'Cancelled while files were checked and synced.', { cause: signal.reason });
      const results = await new Promise<readonly FileResult[]>((resolve, reject) => {
        const fail = (): void => reject(failure ?? new Error('The file thread ended.'));
        if (failure) return fail();
        worker.once('exit', fail);
        worker.once('message', (message: readonly FileResult[]) => {
          worker.off('exit', fail);
          resolve(message);
        });
        worker.postMessage(batch);
      });
      for (const [i, result] of results.entries()) {
        if (result.size !== undefined) options.onSize?.(result.size);
        if (result.problem !== undefined) problems.push(result.problem);
        if (result.error) {
          const full = result.error.code === 'ENOSPC' || result.error.code === 'EDQUOT';
          throw new ResurgoError(full ? 'destinationSpace' : 'restoreFailed', `${batch[i]?.path}: ${result.error.message}`);
        }
      }
      options.onProgress?.(batch.reduce((sum, job) => sum + bytesOf(job), 0));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(options.threads ?? defaultThreads, queue.length) }, drain));
  } finally {
    queue.length = 0;
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return problems;
}
