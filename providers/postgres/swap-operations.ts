import { chown, lchown, lstat, mkdir, readlink, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { syncDirectory } from './data-tree.ts';

/** One step of a swap on disk. Doing the latest one again has the same end. */
export type SwapOperation =
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  /** Turns a symbolic link from `was` to `target`. */
  | { readonly kind: 'link'; readonly path: string; readonly target: string; readonly was: string }
  | { readonly kind: 'mkdir'; readonly path: string; readonly uid: number; readonly gid: number }
  /** Removes an empty directory that makes room for a rename. */
  | { readonly kind: 'rmdir'; readonly path: string; readonly uid: number; readonly gid: number };

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

const stuck = (message: string): ResurgoError =>
  new ResurgoError('outcomeUnknown', message, {
    details: {
      hint: 'Somebody moved these directories by hand. Nothing more was changed; put them back as the swap journal says and try again.',
    },
  });

async function move(from: string, to: string): Promise<void> {
  const [source, target] = [await exists(from), await exists(to)];
  if (source && target) throw stuck(`${from} should become ${to}, but both exist.`);
  if (!source && !target) throw stuck(`${from} should become ${to}, but neither exists.`);
  if (source) await rename(from, to);
  // Also when it was done before: the crash may have come between the rename and this.
  await syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
}

/** Atomic: the link never misses. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const current = await readlink(path).catch(() => undefined);
  if (current === target) return;
  const temporary = `${path}.resurgo-new`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  const { uid, gid } = await lstat(dirname(path));
  if (process.getuid?.() === 0) await lchown(temporary, uid, gid);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

async function makeDirectory(path: string, owner: { uid: number; gid: number }): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  if (process.getuid?.() === 0) await chown(path, owner.uid, owner.gid);
  await syncDirectory(dirname(path));
}

async function removeDirectory(path: string): Promise<void> {
  await rmdir(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
  await syncDirectory(dirname(path));
}

export async function perform(operation: SwapOperation): Promise<void> {
  switch (operation.kind) {
    case 'rename':
      return move(operation.from, operation.to);
    case 'link':
      return replaceLink(operation.path, operation.target);
    case 'mkdir':
      return makeDirectory(operation.path, operation);
    case 'rmdir':
      return removeDirectory(operation.path);
  }
}

export async function undo(operation: SwapOperation): Promise<void> {
  switch (operation.kind) {
    case 'rename':
      return move(operation.to, operation.from);
    case 'link':
      return replaceLink(operation.path, operation.was);
    case 'mkdir':
      return removeDirectory(operation.path);
    case 'rmdir':
      return makeDirectory(operation.path, operation);
  }
}

/** Only meaningful when no later operation of its list was done. */
async function isDone(operation: SwapOperation): Promise<boolean> {
  switch (operation.kind) {
    case 'rename':
      return (await exists(operation.to)) && !(await exists(operation.from));
    case 'link':
      return (await readlink(operation.path).catch(() => undefined)) === operation.target;
    case 'mkdir':
      return exists(operation.path);
    case 'rmdir':
      return !(await exists(operation.path));
  }
}

/**
 * How many operations of a list that is done in order were done. Looked at from the end, because a path may mean another thing later:
 * after the last rename the destination is the new cluster.
 */
export async function countDone(operations: readonly SwapOperation[]): Promise<number> {
  for (let count = operations.length; count > 0; count--)
    if (await isDone(operations[count - 1] as SwapOperation)) return count;
  return 0;
}
