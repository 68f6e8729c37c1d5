import { lstat } from 'node:fs/promises';
import { runTool } from './child.ts';

/**
 * Removes a tree, also one that lies deeper than a path can be long: `rm` walks by directories, goes on after what it cannot remove, and names that. Nothing there is
 * success, and so is a name that is too long to be there.
 * @throws toolFailed with what is left and why
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await lstat(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(String((error as NodeJS.ErrnoException).code))) return;
    throw error;
  }
  await runTool({ command: 'rm', args: ['-rf', '--', path] });
}
