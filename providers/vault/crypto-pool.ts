import { availableParallelism } from 'node:os';
import { isMarkedAsUntransferable, Worker } from 'node:worker_threads';
import { sealWalBytes } from '../wal/seal-job.ts';
import type { WalSealJob, WalSealResult } from '../wal/seal-job.ts';
import { openPart, SealError, sealPart } from './crypto-jobs.ts';
import type { OpenJob, OpenResult, SealJob, SealResult } from './crypto-jobs.ts';
import type { WorkerReply } from './crypto-worker.ts';

/**
 * Threads that compress, encrypt and hash, shared by everything in this process. They start with the first large part and
 * end after some idle seconds. Threads beat the libuv pool here by a fifth of the CPU time: one part stays on one core from
 * zstd through AES to SHA-256, no copies are made in between, and the main thread is free to receive.
 */
export const cryptoThreads = Math.max(2, Math.min(availableParallelism(), 4));

/** Parts up to this size are done at once on the calling thread: cheaper than handing them over. */
const inlineBytes = 128 * 1024;
const idleMs = 5_000;

interface Pending {
  readonly job: SealJob | WalSealJob | OpenJob;
  readonly transfer: readonly ArrayBuffer[];
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}
interface Thread {
  readonly worker: Worker;
  current: Pending | undefined;
  idleTimer: NodeJS.Timeout | undefined;
}

const threads = new Set<Thread>();
const queue: Pending[] = [];

/** Seals one part. `job.slot` is handed over: use the one in the result. */
export function seal(job: SealJob): Promise<SealResult> {
  if (job.plainBytes <= inlineBytes) return new Promise((resolve) => resolve(sealPart(job)));
  return submit(job, [job.slot]);
}

/** Seals a stretch of WAL, and looks through it on the way. `job.slot` is handed over: use the one in the result. */
export function sealWal(job: WalSealJob): Promise<WalSealResult> {
  if (job.plainBytes <= inlineBytes) return new Promise((resolve) => resolve(sealWalBytes(job)));
  return submit(job, [job.slot]);
}

/**
 * Opens one part. `job.object` is given away: its memory is overwritten, and detached when it owns its buffer.
 * @throws SealError when it is damaged
 */
export function open(job: OpenJob): Promise<OpenResult> {
  if (job.object.length <= inlineBytes && (job.content?.plainBytes ?? 0) <= inlineBytes)
    return new Promise((resolve) => resolve(openPart(job)));
  // A slice of something larger, or of Node's shared pool (marked so), is copied: its buffer is not ours to give away.
  const { buffer, byteOffset, length } = job.object;
  const owned =
    buffer instanceof ArrayBuffer && !isMarkedAsUntransferable(buffer) && buffer.byteLength <= length + 65536;
  const object = owned ? new Uint8Array(buffer, byteOffset, length) : Uint8Array.from(job.object);
  return submit({ ...job, object }, [object.buffer]);
}

/** Ends all idle threads at once, for tests and a quick exit. */
export async function closeCryptoPool(): Promise<void> {
  await Promise.all([...threads].filter((thread) => thread.current === undefined).map((thread) => retire(thread)));
}

function submit<T>(job: SealJob | WalSealJob | OpenJob, transfer: readonly ArrayBuffer[]): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    queue.push({
      job: job.key === undefined ? job : { ...job, key: Uint8Array.from(job.key) },
      transfer,
      resolve: resolve,
      reject,
    });
    dispatch();
  });
}

function dispatch(): void {
  while (queue.length > 0) {
    let thread = [...threads].find((each) => each.current === undefined);
    if (thread === undefined) {
      if (threads.size >= cryptoThreads) return;
      thread = start();
    }
    const pending = queue.shift();
    if (pending === undefined) return;
    clearTimeout(thread.idleTimer);
    thread.current = pending;
    thread.worker.ref();
    try {
      thread.worker.postMessage(pending.job, pending.transfer);
    } catch (error) {
      rest(thread);
      pending.reject(error);
    }
  }
}

function start(): Thread {
  // The compiled release has .js beside .js, the sources .ts beside .ts.
  const file = new URL(import.meta.url.endsWith('.ts') ? './crypto-worker.ts' : './crypto-worker.js', import.meta.url);
  const worker = new Worker(file, { name: 'resurgo-crypto' });
  const thread: Thread = { worker, current: undefined, idleTimer: undefined };
  threads.add(thread);
  worker.on('message', (reply: WorkerReply) => {
    const pending = thread.current;
    rest(thread);
    if (reply.failure === undefined) pending?.resolve(reply.result as never);
    else pending?.reject(revive(reply.failure));
    dispatch();
  });
  const died = (error: unknown): void => {
    threads.delete(thread);
    clearTimeout(thread.idleTimer);
    thread.current?.reject(error);
    thread.current = undefined;
    dispatch();
  };
  worker.on('error', died);
  worker.on('exit', (code) => died(new Error(`a crypto thread ended with code ${String(code)}`)));
  return thread;
}

function rest(thread: Thread): void {
  thread.current = undefined;
  thread.worker.unref();
  thread.idleTimer = setTimeout(() => void retire(thread), idleMs).unref();
}

async function retire(thread: Thread): Promise<void> {
  threads.delete(thread);
  clearTimeout(thread.idleTimer);
  await thread.worker.terminate();
}

function revive(failure: NonNullable<WorkerReply['failure']>): Error {
  const error = failure.isSealError ? new SealError(failure.message) : new Error(failure.message);
  if (failure.stack !== undefined) error.stack = failure.stack;
  return failure.code === undefined ? error : Object.assign(error, { code: failure.code });
}
