/**
 * The run file: what a backup host keeps while a run is active (`<state>/runs/<backup>.json`, 0600): the attempt's keys and how far the dump
 * got. It is the fence between attempts (a zombie finds another attempt's name in it) and what makes the work after the dump resumable.
 * Deleted at the end of the run.
 */
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AttemptKeys } from '../domain/backup.ts';
import type { DumpedBackup } from '../domain/operations.ts';
import { ResurgoError } from '../domain/errors.ts';

export interface RunFile {
  readonly backup: string;
  readonly target: string;
  readonly attempt: string;
  readonly dataKey: string;
  readonly metadataKey: string;
  /** An earlier attempt lost a table to another session that waited to change it: one worker alone holds its locks from the start. */
  readonly oneJob?: boolean;
  /** Set when the dump has ended: nothing is dumped again after that. */
  readonly dumped?: DumpedBackup;
  /** SHA-256 (hex) of the wrapped keys by file name: a copy nobody can open must not be called verified. */
  readonly keyFiles?: Readonly<Record<string, string>>;
  /** The manifest as it will be published, signed. */
  readonly manifest?: string;
}

export const runFilePath = (stateDir: string, backup: string): string => join(stateDir, 'runs', `${backup}.json`);

export async function readRunFile(stateDir: string, backup: string): Promise<RunFile | undefined> {
  try {
    return JSON.parse(await readFile(runFilePath(stateDir, backup), 'utf8')) as RunFile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Nothing that old is still at work: a run that was never ended (its target is gone from the configuration, its host was rebuilt …). */
const forgottenMs = 30 * 24 * 3600_000;
/** What is no run file, and no longer being written. */
const garbageMs = 24 * 3600_000;

/**
 * Old things in the directory of run files: those nobody ended, which hold keys, and what is none or cannot be read.
 * @returns the runs among them, for their staging; their files are still there
 */
export async function forgottenRuns(stateDir: string, now: number): Promise<{ runs: RunFile[]; garbage: string[] }> {
  const dir = join(stateDir, 'runs');
  const runs: RunFile[] = [];
  const garbage: string[] = [];
  for (const name of await readdir(dir).catch(() => [] as string[])) {
    const path = join(dir, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isFile() !== true || facts.mtimeMs > now - garbageMs) continue;
    const run = name.endsWith('.json') ? await readRunFile(stateDir, name.slice(0, -'.json'.length)) : undefined;
    if (!isRunFile(run, name)) garbage.push(path);
    else if (facts.mtimeMs < now - forgottenMs) runs.push(run);
  }
  return { runs, garbage };
}

const isRunFile = (run: unknown, name: string): run is RunFile =>
  typeof run === 'object' && run !== null && `${String((run as RunFile).backup)}.json` === name && typeof (run as RunFile).target === 'string';

/** Run files of this host; one that cannot be read is passed over. */
export async function listRunFiles(stateDir: string): Promise<RunFile[]> {
  const names = await readdir(join(stateDir, 'runs')).catch(() => [] as string[]);
  const runs = await Promise.all(names.filter((name) => name.endsWith('.json')).map((name) => readRunFile(stateDir, name.slice(0, -'.json'.length))));
  return runs.flatMap((run) => run ?? []);
}

/** Atomic: a crash leaves the old file or the new one. */
export async function writeRunFile(stateDir: string, run: RunFile): Promise<void> {
  const path = runFilePath(stateDir, run.backup);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${run.attempt}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify(run));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

export async function deleteRunFile(stateDir: string, backup: string): Promise<void> {
  await rm(runFilePath(stateDir, backup), { force: true });
  const directory = dirname(runFilePath(stateDir, backup));
  const names = await readdir(directory).catch(() => [] as string[]);
  await Promise.all(names.filter((name) => name.startsWith(`${backup}.json.`)).map((name) => rm(join(directory, name), { force: true })));
}

/** The run file of a dump that has ended, or the reason why later steps cannot go on here. */
export async function requireDumped(stateDir: string, backup: string, attempt: string): Promise<RunFile & { readonly dumped: DumpedBackup; readonly manifest: string }> {
  const run = await readRunFile(stateDir, backup);
  if (run?.dumped === undefined || run.manifest === undefined) {
    throw new ResurgoError('fenced', `this host holds no finished dump of backup ${backup}: its run file is gone`);
  }
  if (run.attempt !== attempt) throw new ResurgoError('fenced', `backup ${backup} was dumped again as attempt ${run.attempt}; attempt ${attempt} stops`);
  return { ...run, dumped: run.dumped, manifest: run.manifest };
}

/** @throws fenced when another attempt has taken over */
export async function assertCurrent(stateDir: string, backup: string, attempt: string): Promise<void> {
  const run = await readRunFile(stateDir, backup);
  if (run?.attempt !== attempt) throw new ResurgoError('fenced', `attempt ${attempt} of backup ${backup} was replaced by ${run?.attempt ?? 'the end of the run'}`);
}

export const keysOfRun = (run: RunFile): AttemptKeys => ({
  backup: run.backup,
  attempt: run.attempt,
  dataKey: Buffer.from(run.dataKey, 'base64'),
  metadataKey: Buffer.from(run.metadataKey, 'base64'),
});
