/** Entry of a worker thread of the crypto pool. */
import { parentPort } from 'node:worker_threads';
import { sealWalBytes } from '../wal/seal-job.ts';
import type { WalSealJob, WalSealResult } from '../wal/seal-job.ts';
import { openPart, release, SealError, sealPart } from './crypto-jobs.ts';
import type { CryptoJob, OpenResult, SealResult } from './crypto-jobs.ts';

export interface WorkerReply {
  readonly result?: SealResult | WalSealResult | OpenResult;
  readonly failure?: {
    readonly message: string;
    readonly code?: string | undefined;
    readonly isSealError: boolean;
    readonly stack?: string | undefined;
  };
}

const port = parentPort;
if (port === null) throw new Error('crypto-worker.ts runs only as a worker thread');

port.on('message', (job: CryptoJob | WalSealJob) => {
  try {
    if (job.type !== 'open') {
      const result = job.type === 'seal' ? sealPart(job) : sealWalBytes(job);
      port.postMessage({ result } satisfies WorkerReply, [result.slot]);
      return;
    }
    const result = openPart(job);
    if (result.plain === undefined || !sharesBuffer(result.plain, job.object)) release(job.object);
    const { plain } = result;
    port.postMessage(
      { result } satisfies WorkerReply,
      plain !== undefined && plain.buffer instanceof ArrayBuffer && plain.byteLength >= 65536 ? [plain.buffer] : [],
    );
  } catch (error) {
    const { message, stack, code } =
      error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
    port.postMessage({
      failure: { message, stack, code, isSealError: error instanceof SealError },
    } satisfies WorkerReply);
  }
});

const sharesBuffer = (a: Uint8Array, b: Uint8Array): boolean => a.buffer === b.buffer;
