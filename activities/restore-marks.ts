/**
 * Restores at work on this host, one small file each (`<state>/restoring/<id>.json`): written before the first effect, gone when nothing of the
 * restore is left but its result. What a restore that was ended by force left is found by it.
 */
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FinishRestoreInput, RestorePlan } from '../domain/operations.ts';
import { writeFileAtomic } from '../providers/host/files.ts';

export interface RestoreMark {
  readonly plan: RestorePlan;
  /** Set before an in-place restore is confirmed or rolled back: an attempt that finds nothing to do any more knows that it was done. */
  readonly finishing?: FinishRestoreInput['action'];
}

const directory = (stateDir: string): string => join(stateDir, 'restoring');
const pathOf = (stateDir: string, id: string): string => join(directory(stateDir), `${id}.json`);

export async function writeMark(stateDir: string, mark: RestoreMark): Promise<void> {
  await mkdir(directory(stateDir), { recursive: true, mode: 0o700 });
  await writeFileAtomic(pathOf(stateDir, mark.plan.id), JSON.stringify(mark));
}

export async function readMark(stateDir: string, id: string): Promise<RestoreMark | undefined> {
  try {
    return JSON.parse(await readFile(pathOf(stateDir, id), 'utf8')) as RestoreMark;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Gone already is success. */
export async function removeMark(stateDir: string, id: string): Promise<void> {
  await rm(pathOf(stateDir, id), { force: true });
}

/** Marks of a target. */
export async function marksOf(stateDir: string, target: string): Promise<RestoreMark[]> {
  const names = await readdir(directory(stateDir)).catch(() => [] as string[]);
  const marks = await Promise.all(names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).map((name) => readMark(stateDir, name.slice(0, -'.json'.length))));
  return marks.flatMap((mark) => (mark?.plan.target === target ? [mark] : []));
}
