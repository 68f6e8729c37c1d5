import { randomBytes } from 'node:crypto';
import { lstat, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ResurgoError, type ErrorCode } from '../../domain/errors.ts';
import { runTool } from './child.ts';

/** The path itself, or its nearest ancestor that exists. */
export const existing = async (path: string): Promise<string> => {
  for (let at = path; ; at = dirname(at)) {
    try {
      await lstat(at);
      return at;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(at) === at) throw error;
    }
  }
};

/** Bytes that this process may still write on the file system of `path` (which need not exist yet). */
export const freeBytes = async (path: string): Promise<number> => {
  const stats = await statfs(await existing(path), { bigint: true });
  // Blocks kept for root count only for root.
  return Number((process.getuid?.() === 0 ? stats.bfree : stats.bavail) * stats.bsize);
};

/** Bytes that the files below `path` occupy on disk (sparse files by their blocks); what vanishes meanwhile counts nothing. */
export const directorySize = async (path: string): Promise<number> => {
  let total = 0;
  const pending = [path];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    let entries;
    try {
      entries = await readdir(at, { withFileTypes: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    for (const entry of entries) {
      const full = join(at, entry.name);
      if (entry.isDirectory()) pending.push(full);
      else
        total += await lstat(full).then(
          (stats) => stats.blocks * 512,
          () => 0,
        );
    }
  }
  return total;
};

const mib = (bytes: number): string => `${String(Math.ceil(bytes / 1_048_576))} MiB`;

/**
 * @param what what the space is for, as in `staging of the dump`
 * @throws `code` (default destinationSpace) when less than `needed` bytes are free at `path`
 */
export const ensureSpace = async (
  path: string,
  needed: number,
  what: string,
  code: ErrorCode = 'destinationSpace',
): Promise<number> => {
  const free = await freeBytes(path);
  if (free < needed) {
    throw new ResurgoError(code, `${what} needs about ${mib(needed)} at ${path}, where ${mib(free)} are free`, {
      details: { path, needed, free },
    });
  }
  return free;
};

/** Whether an error, or a program's last words, say that a disk is full. */
export const isDiskFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes(String((error as NodeJS.ErrnoException | undefined)?.code)) ||
  /No space left on device|Disk quota exceeded/.test(String((error as Error | undefined)?.message));

/**
 * Gives a range of a file back to the file system; the file keeps its size. Needs util-linux and a file system that can (ext4, XFS, Btrfs, tmpfs).
 * @throws toolMissing, toolFailed
 */
export const punchHole = async (path: string, offset: number, length: number): Promise<void> => {
  await runTool({
    command: 'fallocate',
    args: ['--punch-hole', '--offset', String(offset), '--length', String(length), path],
    timeoutMs: 60_000,
  });
};

/** Whether {@link punchHole} works in a directory; tried out on a small file. */
export const canPunchHoles = async (directory: string): Promise<boolean> => {
  const probe = join(directory, `.probe-${randomBytes(4).toString('hex')}`);
  try {
    await writeFile(probe, Buffer.alloc(8192), { flag: 'wx', mode: 0o600 });
    await punchHole(probe, 0, 4096);
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe, { force: true });
  }
};
