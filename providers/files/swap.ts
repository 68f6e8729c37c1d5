/**
 * In place: what was restored takes the place of what is there, path by path, by two renames; the old stays beside it as `<path>_old`. A small file beside each path
 * (`.<name>.resurgo-swap`) says whose swap it is, before anything is moved: every step can be called again after a crash, and undone.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { syncDirectory, writeFileAtomic } from '../host/files.ts';
import { removeTree } from '../host/remove-tree.ts';

/** One path that is swapped: absolute, UTF-8. */
export interface SwapPath {
  readonly path: string;
  /** Directory beside it in which the restored one lies under its own name. */
  readonly work: string;
}

interface Journal {
  readonly id: string;
  /** Whether something was there before. */
  readonly old: boolean;
  /** The old data is being removed: there is no way back any more. */
  readonly confirmed?: true;
}

const mostName = 255;
/** Bytes; the system takes no longer path. */
export const mostPath = 4095;

/** A name beside the path; where the two together would be too long for a name, its begin and a digest of it. */
export function beside(path: string, suffix: string): string {
  const name = basename(path);
  if (Buffer.byteLength(name) + Buffer.byteLength(suffix) <= mostName) return path + suffix;
  const digest = `~${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
  // A character that is cut is no character.
  const begin = Buffer.from(name).subarray(0, mostName - Buffer.byteLength(digest + suffix)).toString('utf8').replace(/\ufffd+$/, '');
  return join(dirname(path), begin + digest + suffix);
}

export const oldName = (path: string): string => beside(path, '_old');
/** Beside the path; where the name is too long for that, by a digest of it. It is written by way of a longer name. */
const journalOf = (path: string): string => {
  const name = basename(path);
  return join(dirname(path), Buffer.byteLength(name) <= 200 ? `.${name}.resurgo-swap` : `.${createHash('sha256').update(name).digest('hex')}.resurgo-swap`);
};
const failedName = (path: string, id: string): string => beside(path, `_failed_${id}`);
const built = ({ path, work }: SwapPath): string => join(work, basename(path));

/** What a file that is being replaced is longer by while it is written. */
const roomOfTemporary = 16;

export async function readSwap(path: string): Promise<Journal | undefined> {
  try {
    return JSON.parse(await readFile(journalOf(path), 'utf8')) as Journal;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const exists = async (path: string): Promise<boolean> => {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code))) return false;
    throw error;
  }
};

/** A person has not yet said what becomes of the old data there. */
export const unfinished = (id: string, path: string): ResurgoError =>
  new ResurgoError('destinationBusy', `restore ${id} of ${path} was neither confirmed nor rolled back`, { details: { hint: `resurgo restore confirm ${id}, or resurgo restore rollback ${id}` } });

/** Refuses what renames cannot do, before anything is built. @throws destinationBusy, destinationNotEmpty */
export async function assertSwappable(path: string, id: string): Promise<void> {
  const longest = [oldName(path), failedName(path, id), journalOf(path)].find((each) => Buffer.byteLength(each) > mostPath - roomOfTemporary);
  if (longest !== undefined) throw new ResurgoError('unsupported', `${path} is too long a path to be swapped: what is kept beside it would have a path of ${String(Buffer.byteLength(longest))} bytes`, { details: { hint: 'Restore beside with --to, and move it there by hand.' } });
  const pending = await readSwap(path);
  if (pending !== undefined && pending.id !== id) {
    throw unfinished(pending.id, path);
  }
  if (pending === undefined && (await exists(oldName(path)))) throw new ResurgoError('destinationNotEmpty', `${oldName(path)} exists, and is where the old data would be kept`, { details: { hint: 'Move it away.' } });
  const mounted = (await mountPoints()).find((mount) => mount === path || mount.startsWith(path === '/' ? '/' : `${path}/`));
  if (mounted !== undefined) {
    throw new ResurgoError('destinationBusy', `${mounted} is a mount point: ${path} cannot be swapped by renames`, { details: { hint: 'Restore beside it with --to, and copy; or name directories below the mount point with --only.' } });
  }
  const parent = dirname(path);
  if (!(await exists(parent))) throw new ResurgoError('destinationNotEmpty', `${parent} does not exist: ${path} cannot be restored in place`, { details: { hint: 'Create it with the right owner and mode first.' } });
}

async function mountPoints(): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const at = line.split(' ')[4];
    return at === undefined ? [] : [at.replaceAll(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))];
  });
}

/** Effect: the restored ones in place, the old ones kept. Idempotent. @returns what is kept */
export async function swapInFiles(swaps: readonly SwapPath[], id: string): Promise<string[]> {
  for (const swap of swaps) {
    const { path } = swap;
    const kept = oldName(path);
    const journal = await readSwap(path);
    if (journal === undefined) await writeFileAtomic(journalOf(path), JSON.stringify({ id, old: await exists(path) } satisfies Journal));
    else if (journal.id !== id) throw unfinished(journal.id, path);
    const isBuilt = await exists(built(swap));
    if (isBuilt && (await exists(path))) {
      if (await exists(kept)) throw new ResurgoError('destinationBusy', `${path} was made anew while it was being swapped`);
      await rename(path, kept);
      await syncDirectory(dirname(path));
    }
    if (isBuilt) await rename(built(swap), path);
    else if (!(await exists(path))) throw new ResurgoError('restoreFailed', `neither ${path} nor what was restored for it is there`);
    await syncDirectory(dirname(path));
    await rmdir(swap.work).catch(() => undefined);
  }
  return swaps.map(({ path }) => oldName(path)).filter((path) => existsSync(path));
}

/** Effect: the old ones in place; the restored ones where they were built, or kept under another name. Idempotent. */
export async function swapBackFiles(swaps: readonly SwapPath[], id: string, keepFailed: boolean): Promise<{ restored: string[]; failed: string[] }> {
  const restored: string[] = [];
  const failed: string[] = [];
  for (const swap of [...swaps].reverse()) {
    const { path } = swap;
    const journal = await readSwap(path);
    if (journal?.id !== id) continue;
    if (journal.confirmed === true) throw new ResurgoError('inputInvalid', `restore ${id} of ${path} was confirmed: its old data is being removed`, { details: { hint: `\`resurgo restore confirm ${id}\` goes on with that.` } });
    const kept = oldName(path);
    // With nothing kept, what lies there is the restored one only if it is not in the directory it was built in any more.
    const isSwapped = journal.old ? await exists(kept) : !(await exists(built(swap)));
    if (isSwapped && (await exists(path))) {
      const away = keepFailed ? failedName(path, id) : beside(path, `.resurgo-undone-${id}`);
      await rename(path, away);
      if (keepFailed) failed.push(away);
      else await removeTree(away);
    }
    if (journal.old && (await exists(kept))) {
      await rename(kept, path);
      restored.push(path);
    }
    await syncDirectory(dirname(path));
    await rm(journalOf(path), { force: true });
    await syncDirectory(dirname(path));
  }
  return { restored, failed };
}

/** What of the old data could not be removed. */
export interface Leftover {
  readonly path: string;
  readonly why: string;
}

/**
 * Effect: the kept ones are gone. Said first, then moved out of the way, then removed: from the first moment on nothing brings half of it back. What cannot be removed
 * stays under another name, and is told. Idempotent.
 */
export async function confirmFiles(swaps: readonly SwapPath[], id: string): Promise<{ removed: string[]; left: Leftover[] }> {
  const removed: string[] = [];
  const left: Leftover[] = [];
  const mine: { readonly path: string; readonly journal: Journal }[] = [];
  for (const { path } of swaps) {
    const journal = await readSwap(path);
    if (journal?.id === id) mine.push({ path, journal });
  }
  // All of them before anything of one is gone: a rollback of the others would make a tree that never was.
  for (const { path, journal } of mine) await writeFileAtomic(journalOf(path), JSON.stringify({ ...journal, confirmed: true } satisfies Journal));
  for (const { path, journal } of mine) {
    if (journal.old) {
      const away = join(dirname(path), `.resurgo-removing-${id}-${String(swaps.findIndex((swap) => swap.path === path))}`);
      let kept = away;
      try {
        if (await exists(oldName(path))) {
          // A directory that is immutable itself stays under its name.
          kept = oldName(path);
          await rename(oldName(path), away);
          kept = away;
        }
        await syncDirectory(dirname(path));
        await removeTree(away);
        removed.push(oldName(path));
      } catch (error) {
        left.push({ path: kept, why: error instanceof Error ? error.message : String(error) });
      }
    }
    await rm(journalOf(path), { force: true });
  }
  return { removed, left };
}
