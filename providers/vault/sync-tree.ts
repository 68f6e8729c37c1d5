import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../repository/abort.ts';
import { mapBounded } from '../repository/bounded.ts';
import { pathBytes } from './tar-path.ts';

/** Files from this size on are synced as soon as they are whole. */
const earlyBytes = 8 * 1024 * 1024;
/** Of a file that is still being written, so much at a time. */
const pieceBytes = 64 * 1024 * 1024;
const atOnce = 4;

/**
 * Makes an extracted tree durable. Large files are synced while the next ones are still being written, so that the disk has
 * work from the beginning; the many small ones at the end, when one commit of the file system covers them all.
 */
export class TreeSync {
  readonly #root: string;
  readonly #signal: AbortSignal | undefined;
  readonly #late: string[] = [];
  readonly #early: string[] = [];
  readonly #gathered = new Map<string, number>();
  readonly #running = new Set<Promise<void>>();
  #error: { readonly cause: unknown } | undefined;

  constructor(root: string, signal: AbortSignal | undefined) {
    this.#root = root;
    this.#signal = signal;
  }

  /** A file (relative path) has all its content. */
  whole(path: string, bytes: number): void {
    if (bytes < earlyBytes) this.#late.push(path);
    else {
      this.#early.push(path);
      this.#pump();
    }
  }

  /** A file (relative path) that is spread over several parts has so much more of its content. */
  grew(path: string, bytes: number): void {
    const gathered = (this.#gathered.get(path) ?? 0) + bytes;
    this.#gathered.set(path, gathered < pieceBytes ? gathered : 0);
    if (gathered < pieceBytes) return;
    this.#early.push(path);
    this.#pump();
  }

  /** Syncs what is left, then the directories. */
  async finish(directories: readonly string[]): Promise<void> {
    await this.settle();
    if (this.#error !== undefined) throw this.#error.cause;
    await mapBounded(this.#late, atOnce, (path) => this.#sync(path));
    await mapBounded(directories, atOnce, (path) => this.#sync(path));
  }

  /** Waits until no file is open any more. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #pump(): void {
    while (this.#running.size < 2 && this.#error === undefined) {
      const path = this.#early.shift();
      if (path === undefined) return;
      const run = this.#sync(path).catch((error: unknown) => {
        this.#error ??= { cause: error };
      });
      this.#running.add(run);
      void run.then(() => {
        this.#running.delete(run);
        this.#pump();
      });
    }
  }

  async #sync(path: string): Promise<void> {
    throwIfAborted(this.#signal, 'The extraction');
    const handle = await open(pathBytes(join(this.#root, path)), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
