/**
 * Restores at work on this host, one small file each (`<state>/restoring/<id>.json`): written before the first effect, gone when nothing of the
 * restore is left but its result. What a restore that was ended by force left is found by it.
 */
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FinishRestoreInput, FinishRestoreResult, RestorePlan } from '../domain/operations.ts';
import { sweepAtomicWrites, writeFileAtomic } from '../providers/host/files.ts';
import { currentContext } from './failure-mapping.ts';

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

/** With what an attempt that was killed left half-written of it. Gone already is success. */
export async function removeMark(stateDir: string, id: string): Promise<void> {
  await sweepAtomicWrites(pathOf(stateDir, id));
  await rm(pathOf(stateDir, id), { force: true });
}

interface Finished {
  /** Run of the workflow that asked for it. */
  readonly run: string;
  readonly result: FinishRestoreResult;
}

const finishedPath = (stateDir: string, id: string): string => join(stateDir, 'restores', `${id}.finished.json`);
const currentRun = (): string | undefined => currentContext()?.info.workflowExecution?.runId;

/** What this very run of the workflow has brought about before, when an attempt died before it could tell. */
export async function finishedBy(stateDir: string, id: string): Promise<FinishRestoreResult | undefined> {
  const text = await readFile(finishedPath(stateDir, id), 'utf8').catch(() => undefined);
  const finished = text === undefined ? undefined : (JSON.parse(text) as Finished);
  return finished !== undefined && finished.run === currentRun() ? finished.result : undefined;
}

export async function noteFinished(stateDir: string, result: FinishRestoreResult): Promise<void> {
  const run = currentRun();
  if (run === undefined) return;
  await mkdir(join(stateDir, 'restores'), { recursive: true, mode: 0o700 });
  await sweepAtomicWrites(finishedPath(stateDir, result.id));
  await writeFileAtomic(finishedPath(stateDir, result.id), JSON.stringify({ run, result } satisfies Finished));
}

/** Marks of a target. */
export async function marksOf(stateDir: string, target: string): Promise<RestoreMark[]> {
  const names = await readdir(directory(stateDir)).catch(() => [] as string[]);
  const marks = await Promise.all(names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).map((name) => readMark(stateDir, name.slice(0, -'.json'.length))));
  return marks.flatMap((mark) => (mark?.plan.target === target ? [mark] : []));
}
