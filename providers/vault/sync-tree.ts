import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { mapBounded } from '../repository/bounded.ts';
import { throwIfAborted } from '../repository/abort.ts';
import type { PlannedEntry } from './extract-plan.ts';
import { pathBytes } from './tar-path.ts';

/** Makes files and directories durable. */
export async function syncTree(root: string, files: readonly PlannedEntry[], directories: readonly string[], signal?: AbortSignal): Promise<void> {
  const sync = async (path: string): Promise<void> => {
    throwIfAborted(signal, 'The extraction');
    const handle = await open(pathBytes(join(root, path)), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  await mapBounded(files, 4, (entry) => sync(entry.path));
  await mapBounded(directories, 4, sync);
}
