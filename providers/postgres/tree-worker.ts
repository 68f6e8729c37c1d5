import { parentPort } from 'node:worker_threads';
import { treatJobs } from './tree-file.ts';
import type { FileJob } from './tree-file.ts';

/** A thread of tree-pool.ts. */
parentPort?.on('message', (jobs: readonly FileJob[]) => parentPort?.postMessage(treatJobs(jobs)));
