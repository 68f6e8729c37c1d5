import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { PutOptions } from '../../domain/ports.ts';
import { throwIfAborted } from './abort.ts';
import { errnoOf, undefinedIfMissing } from './disk-errors.ts';
import { temporaryPrefix } from './disk-walk.ts';

/** link() where the file system has no hard links. */
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Writes a whole file under another name, syncs its content and gives it its name. The directory is not synced yet.
 * @throws objectExists (with `ifAbsent`), unsafePath, cancelled, and errors of the file system as they are
 */
export async function writeWhole(
  directory: string,
  file: string,
  body: Uint8Array,
  options: PutOptions,
): Promise<void> {
  const what = `Writing ${file}`;
  const target = join(directory, file);
  throwIfAborted(options.signal, what);
  const existing = await lstat(target).catch(undefinedIfMissing);
  if (existing?.isDirectory() === true) {
    throw new ResurgoError('unsafePath', `${target} is a directory; an object cannot take its place.`);
  }
  // Before anything is written; link() below decides.
  if (existing !== undefined && options.ifAbsent === true) throw exists(target);
  const temporary = join(directory, temporaryPrefix + randomBytes(9).toString('hex'));
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
  const handle = await open(temporary, flags, 0o600);
  let placed = false;
  try {
    try {
      for (let done = 0; done < body.length;) {
        throwIfAborted(options.signal, what);
        done += (await handle.write(body, done, body.length - done, done)).bytesWritten;
      }
      await handle.datasync();
    } finally {
      await handle.close();
    }
    throwIfAborted(options.signal, what);
    placed = options.ifAbsent === true ? await placeNew(temporary, target) : await replace(temporary, target);
  } finally {
    if (!placed) await unlink(temporary).catch(() => undefined);
  }
}

async function replace(temporary: string, target: string): Promise<true> {
  await rename(temporary, target);
  return true;
}

/** Gives the object its name unless one has it already. Returns whether `temporary` is gone by that. */
async function placeNew(temporary: string, target: string): Promise<boolean> {
  try {
    await link(temporary, target);
    return false;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno === 'EEXIST') throw exists(target);
    if (!noLinks.has(errno)) throw error;
    // FAT and some network mounts: not exclusive against another host in the same instant.
    if ((await lstat(target).catch(undefinedIfMissing)) !== undefined) throw exists(target);
    return replace(temporary, target);
  }
}

const exists = (target: string): ResurgoError => new ResurgoError('objectExists', `${target} already exists.`);
