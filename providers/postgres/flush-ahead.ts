import { open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathBytes } from '../vault/tar-path.ts';
import { readDataTree } from './data-tree.ts';

/** Smaller ones are synced quickly at the end. */
const largeBytes = 8 * 1024 * 1024;
const pauseMs = 100;
/** A tree of very many files is looked through more rarely: this share of the time at most. */
const lookShare = 0.1;

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
    const begun = performance.now();
    const grown = await grownFiles(directories, flushed, goesOn);
    const lookedMs = performance.now() - begun;
    for (const [path, size] of grown) {
      if (!goesOn()) break;
      if (await flush(path)) flushed.set(path, size);
    }
    await sleep(Math.max(pauseMs, lookedMs / lookShare), undefined, { signal: ended.signal }).catch(() => undefined);
  }
  return work;
}

/** Files that have grown by much since they were flushed, and their sizes. */
async function grownFiles(directories: readonly string[], flushed: ReadonlyMap<string, number>, goesOn: () => boolean): Promise<[string, number][]> {
  const grown: [string, number][] = [];
  for (const directory of directories) {
    const files = await readDataTree(directory).then((tree) => tree.files, () => []);
    for (const { full } of files) {
      if (!goesOn()) return grown;
      const size = await stat(pathBytes(full)).then((info) => info.size, () => 0);
      if (size - (flushed.get(full) ?? 0) >= largeBytes) grown.push([full, size]);
    }
  }
  return grown;
}

/** False: it is gone, or not to be read yet; the sync at the end says what is wrong with it. */
async function flush(path: string): Promise<boolean> {
  try {
    const handle = await open(pathBytes(path), 'r');
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
    return true;
  } catch {
    return false;
  }
}
