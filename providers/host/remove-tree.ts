import { rm } from 'node:fs/promises';
import { runTool } from './child.ts';

/** Removes a tree, also one that lies deeper than a path can be long. Nothing there is success. @throws what the system says */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENAMETOOLONG') throw error;
    // It walks by directories, not by whole paths.
    await runTool({ command: 'rm', args: ['-rf', '--', path] });
  }
}
