import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { ResurgoError } from '../../domain/errors.ts';

/** Makes renames and new names in a directory durable. Some file systems know no sync of directories; there it is nothing. */
export const syncDirectory = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EISDIR'].includes(String((error as NodeJS.ErrnoException).code))) throw error;
  } finally {
    await handle.close();
  }
};

/** Where a file that is being replaced is written; with a random end. */
const temporaryPrefix = (path: string): string => `.${basename(path)}.`;

/** Removes what killed writers of a file left half-written beside it. Only where nobody is writing it now. */
export const sweepAtomicWrites = async (path: string): Promise<void> => {
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  const left = names.filter((name) => name.startsWith(temporaryPrefix(path)));
  for (const name of left) await rm(join(dirname(path), name), { force: true });
};

/** Replaces a file as a whole: a reader, or a machine that lost power, sees the old content or the new. Durable on return. Mode 0600 unless told. */
export const writeFileAtomic = async (path: string, content: string | Uint8Array, mode = 0o600): Promise<void> => {
  const temporary = join(dirname(path), `${temporaryPrefix(path)}${randomBytes(6).toString('hex')}`);
  const handle = await open(temporary, 'wx', mode);
  try {
    try {
      await handle.chmod(mode); // Whatever the umask is.
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
};

const octal = (mode: number): string => `0${(mode & 0o7777).toString(8)}`;
const ownIds = (): (number | undefined)[] => [0, process.getuid?.()];

/**
 * Makes a directory only its owner can enter; one that exists is closed to others if it is ours.
 * @throws configUnsafe when it is a symbolic link or another user's
 */
export const ensurePrivateDir = async (path: string): Promise<void> => {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const stats = await lstat(path);
  if (!stats.isDirectory())
    throw new ResurgoError(
      'configUnsafe',
      `${path} is ${stats.isSymbolicLink() ? 'a symbolic link' : 'no directory'}; it must be a directory`,
    );
  if (!ownIds().includes(stats.uid))
    throw new ResurgoError('configUnsafe', `${path} belongs to user ${String(stats.uid)}; it must be ours`);
  if ((stats.mode & 0o077) !== 0) await chmod(path, 0o700);
};

/**
 * Refuses a file that others could have written (scripts, hooks, configuration) or read (keys).
 * @param access `write`: nobody else may write to it, nor replace it in its directory; `read`: nobody else may read it either
 * @throws configUnsafe naming the mode to set
 */
export const assertPrivateFile = async (path: string, access: 'write' | 'read'): Promise<void> => {
  let stats;
  try {
    stats = await stat(path);
  } catch (cause) {
    throw new ResurgoError('configInvalid', `${path} cannot be looked at: ${(cause as Error).message}`, { cause });
  }
  if (!ownIds().includes(stats.uid))
    throw new ResurgoError('configUnsafe', `${path} belongs to user ${String(stats.uid)}, who could change it`);
  const forbidden = access === 'read' ? 0o077 : 0o022;
  if ((stats.mode & forbidden) !== 0) {
    const wanted = stats.mode & 0o7777 & ~forbidden;
    throw new ResurgoError(
      'configUnsafe',
      `${path} has mode ${octal(stats.mode)}: others may ${access === 'read' ? 'read' : 'write'} it`,
      { details: { hint: `chmod ${octal(wanted)} ${path}` } },
    );
  }
  const directory = dirname(path);
  const above = await stat(directory);
  // In a sticky directory (/tmp) others cannot rename what is not theirs.
  if ((above.mode & 0o022) !== 0 && (above.mode & 0o1000) === 0) {
    throw new ResurgoError(
      'configUnsafe',
      `${directory} has mode ${octal(above.mode)}: others may replace ${basename(path)} in it`,
      { details: { hint: `chmod go-w ${directory}` } },
    );
  }
};
