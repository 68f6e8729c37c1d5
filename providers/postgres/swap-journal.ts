import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { syncDirectory } from './data-tree.ts';
import type { SwapOperation } from './swap-operations.ts';

/** What an in-place swap intends, written before its first step: whoever finds it can finish or undo it. */
export interface SwapJournal {
  readonly format: 1;
  /** Of the restore. */
  readonly id: string;
  readonly destination: string;
  /** Where the new data was built, and goes back to when the swap is undone. */
  readonly work: string;
  /** Where the old data directory is kept. */
  readonly kept: string;
  /** Directories that are removed with the old data, on `confirm`. */
  readonly leftovers: readonly string[];
  readonly phase: 'swapping' | 'swapped' | 'undoing' | 'undone' | 'confirming';
  readonly operations: readonly SwapOperation[];
  readonly startedAt: string;
}

/** Beside the data directory; inside when that is a mount point. */
export const journalPath = (destination: string, mounted: boolean): string =>
  mounted ? join(destination, '.resurgo-swap.json') : `${destination}.resurgo-swap.json`;

export async function writeJournal(path: string, journal: SwapJournal): Promise<void> {
  const temporary = join(dirname(path), `${basename(path)}.new`);
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(journal, undefined, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** @throws outcomeUnknown when it cannot be understood */
export async function readJournal(path: string): Promise<SwapJournal | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const journal = JSON.parse(text) as SwapJournal & { readonly format: number };
    if (journal.format === (1 as number) && Array.isArray(journal.operations)) return journal;
  } catch {
    // Falls through: it is written atomically, so this was not us.
  }
  throw new ResurgoError('outcomeUnknown', `The swap journal ${path} cannot be understood.`, {
    details: { hint: 'A newer Resurgo, or a person, wrote it. Look at it before the next restore.' },
  });
}

export async function removeJournal(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}
