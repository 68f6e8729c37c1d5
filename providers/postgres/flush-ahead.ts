import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathBytes } from '../vault/tar-path.ts';
import { readDataTree } from './data-tree.ts';

/** Smaller ones are synced quickly at the end. */
const largeBytes = 8 * 1024 * 1024;
const pauseMs = 100;

/**
 * Gives the disk work while a program is still writing a tree: what its large files have so far goes out, again and again, so that the
 * sync at the end finds little to do. Promises nothing by itself: whoever needs the tree durable syncs it when `work` has ended.
 */
export async function flushWhile<T>(directories: readonly string[], work: Promise<T>): Promise<T> {
  const ended = new AbortController();
  const end = (): void => { ended.abort(); };
  const goesOn = (): boolean => !ended.signal.aborted;
  work.then(end, end);
  const flushed = new Map<string, number>();
  while (goesOn()) {
    for (const directory of directories) {
      const files = await readDataTree(directory).then((tree) => tree.files, () => []);
      for (const { full } of files) {
        if (!goesOn()) break;
        await flush(full, flushed);
      }
    }
    await Promise.race([work.catch(() => undefined), sleep(pauseMs)]);
  }
  return work;
}

async function flush(path: string, flushed: Map<string, number>): Promise<void> {
  try {
    const { size } = await stat(pathBytes(path));
    if (size - (flushed.get(path) ?? 0) < largeBytes) return;
    const handle = await open(pathBytes(path), 'r');
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
    flushed.set(path, size);
  } catch {
    // Gone, or not to be read yet: the sync at the end says what is wrong with it.
  }
}
