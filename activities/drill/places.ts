/**
 * Where a drill works on its host, and the mark it leaves there first (`<state>/drills/<id>.json`): by it a dead drill's remains are found. Everything lies
 * below one directory that carries the drill's id in a file of its own; what does not carry it is never removed.
 */
import { chown, mkdir, readFile, readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DrillConfig } from '../../config/schema-drill.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import type { TargetSettings } from '../target-settings.ts';

export interface DrillPlaces {
  readonly id: string;
  /** Everything big is below. */
  readonly root: string;
  /** Socket and configuration of the isolated server: a short path. */
  readonly home: string;
}

export interface DrillMark extends DrillPlaces {
  readonly target: string;
  readonly startedAt: string;
}

export function drillPlaces(settings: Pick<TargetSettings, 'config' | 'dataDir'>, drill: DrillConfig | undefined, id: string): DrillPlaces {
  const base = drill?.directory ?? settings.config.staging ?? (settings.dataDir === undefined ? tmpdir() : dirname(settings.dataDir));
  return { id, root: join(base, `resurgo-drill-${id}`), home: join(tmpdir(), `resurgo-drill-${id}-s`) };
}

const directory = (stateDir: string): string => join(stateDir, 'drills');
const pathOf = (stateDir: string, id: string): string => join(directory(stateDir), `${id}.json`);
const ownerFile = (root: string): string => join(root, 'resurgo-drill');

export async function writeDrillMark(stateDir: string, mark: DrillMark): Promise<void> {
  await mkdir(directory(stateDir), { recursive: true, mode: 0o700 });
  await writeFileAtomic(pathOf(stateDir, mark.id), JSON.stringify(mark));
}

export async function readDrillMark(stateDir: string, id: string): Promise<DrillMark | undefined> {
  try {
    return JSON.parse(await readFile(pathOf(stateDir, id), 'utf8')) as DrillMark;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function drillMarks(stateDir: string): Promise<DrillMark[]> {
  const names = await readdir(directory(stateDir)).catch(() => [] as string[]);
  const marks = await Promise.all(names.filter((name) => /^[0-9a-z]+\.json$/.test(name)).map((name) => readDrillMark(stateDir, name.slice(0, -'.json'.length))));
  return marks.flatMap((mark) => mark ?? []);
}

/** Where a game day keeps what runs in its sandbox would write to the state directory and to repositories. */
export const sandboxStateDir = (stateDir: string, id: string): string => join(directory(stateDir), `${id}.sandbox`);

/** The mark goes last: as long as it is there, what is left is found. */
export async function removeDrillMark(stateDir: string, id: string): Promise<void> {
  await rm(sandboxStateDir(stateDir, id), { recursive: true, force: true });
  await rm(pathOf(stateDir, id), { force: true });
}

/** Makes the root and puts the drill's id into it; only then anything else may go there. */
export async function claimRoot({ root, id }: DrillPlaces): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o711 });
  // As root, what is built belongs to whom the directory around it belongs to, as with any restore.
  const around = await stat(dirname(root));
  if (process.getuid?.() === 0 && around.uid !== 0) await chown(root, around.uid, around.gid);
  await writeFile(ownerFile(root), `${id}\n`, { mode: 0o600 });
}

/** Whether a root is this drill's: it says so, or nothing is in it yet. Undefined: there is none. */
export async function ownsRoot({ root, id }: DrillPlaces): Promise<boolean | undefined> {
  const entries = await readdir(root).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (entries === undefined) return undefined;
  if (entries.length === 0) return true;
  return (await readFile(ownerFile(root), 'utf8').catch(() => '')).trim() === id;
}

/** The tree first, then what says whose it is: a removal that is cut off can be gone on with. */
export async function removeRoot({ root }: DrillPlaces): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 5, retryDelay: 100 } as const;
  const entries = await readdir(root).catch(() => [] as string[]);
  for (const name of entries) if (join(root, name) !== ownerFile(root)) await rm(join(root, name), options);
  await rm(ownerFile(root), { force: true });
  await rmdir(root).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
}
