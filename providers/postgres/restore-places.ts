import { lstat, readFile, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { TablespaceFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';

/** Where one tablespace is built and where it will be. */
export interface TablespacePlace {
  readonly oid: string;
  readonly stream: string;
  /** Directory the link in pg_tblspc names in the end; relative for a tablespace inside the data directory. */
  readonly location: string;
  /** Built here, on the same file system, and moved up when the restore is settled; PostgreSQL ignores other names in there. */
  readonly build: string;
  /** Links of a chain are staged below. */
  readonly staging: string;
}

/** Every path a restore touches, by its id: a later attempt finds and sweeps what a dead one left. */
export interface RestorePlaces {
  readonly id: string;
  readonly destination: string;
  /** The destination is a mount point: its content is swapped, not the directory itself. */
  readonly mounted: boolean;
  /** The new data directory while it is built. */
  readonly work: string;
  readonly staging: string;
  readonly tablespaces: readonly TablespacePlace[];
}

export interface PlacesOptions {
  readonly destination: string;
  /** Names the working directories. */
  readonly id: string;
  /** Of the backup to be restored. */
  readonly tablespaces: readonly TablespaceFacts[];
  /** Oid or old path → new directory. */
  readonly tablespaceMap?: Readonly<Record<string, string>> | undefined;
  /** Tablespaces that are not mapped go to `<root>/<oid>`. Without it they go where they were. */
  readonly tablespaceRoot?: string | undefined;
  /** `in-place`: the destination holds the data that is to be replaced. */
  readonly mode: 'new' | 'in-place';
}

export const isOurs = (name: string): boolean => name.startsWith('.resurgo-');
const harmless = (name: string): boolean => name === 'lost+found' || isOurs(name);

/** Entries that count; undefined when the directory does not exist. @throws destinationNotEmpty when it is none */
export async function contentOf(path: string): Promise<string[] | undefined> {
  try {
    return (await readdir(path)).filter((name) => !harmless(name));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR') throw new ResurgoError('destinationNotEmpty', `${path} exists and is no directory.`);
    throw error;
  }
}

/** Whether something is mounted here, another file system or a bind mount: such a directory cannot be renamed. */
export async function isMountPoint(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const unescape = (text: string): string =>
    text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  if (mounts.split('\n').some((line) => unescape(line.split(' ')[4] ?? '') === path)) return true;
  try {
    const [own, parent] = await Promise.all([stat(path), stat(join(path, '..'))]);
    return own.dev !== parent.dev || own.ino === parent.ino;
  } catch {
    return false;
  }
}

async function locationOf(facts: TablespaceFacts, options: PlacesOptions): Promise<string> {
  const { tablespaceMap = {}, tablespaceRoot, destination, mode } = options;
  const mapped = tablespaceMap[facts.oid] ?? tablespaceMap[facts.path];
  if (mapped !== undefined) return mapped;
  if (!isAbsolute(facts.path)) return facts.path;
  if (tablespaceRoot !== undefined) return join(tablespaceRoot, facts.oid);
  if (mode === 'in-place') return readlink(join(destination, 'pg_tblspc', facts.oid)).catch(() => facts.path);
  return facts.path;
}

async function assertLocation(facts: TablespaceFacts, location: string, options: PlacesOptions): Promise<void> {
  const about = `Tablespace ${facts.oid} (was ${facts.path})`;
  const hint = `Give a new, empty directory for it: tablespaceMap of the target, { ${JSON.stringify(facts.path)}: /new/path }, or \`rescue restore --tablespace ${facts.path}=/new/path\`.`;
  if (!isAbsolute(location))
    throw new ResurgoError('inputInvalid', `${about} cannot go to ${location}: the path is not absolute.`, {
      details: { hint },
    });
  const inside = `${resolve(location)}/`.startsWith(`${resolve(options.destination)}/`);
  if (inside)
    throw new ResurgoError('inputInvalid', `${about} cannot go to ${location}: it lies inside the data directory.`, {
      details: { hint },
    });
  const content = await contentOf(location);
  if (options.mode === 'new' && content !== undefined && content.length > 0) {
    throw new ResurgoError(
      'destinationNotEmpty',
      `${about} would go to ${location}, which is not empty (${content.slice(0, 3).join(', ')}).`,
      { details: { hint } },
    );
  }
}

/**
 * Decides all paths of a restore and refuses what is in use, before anything is touched.
 * @throws destinationNotEmpty, inputInvalid
 */
export async function planPlaces(options: PlacesOptions): Promise<RestorePlaces> {
  const { id, mode } = options;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(id))
    throw new ResurgoError('inputInvalid', `${JSON.stringify(id)} is no id for a restore.`);
  if (!isAbsolute(options.destination))
    throw new ResurgoError('inputInvalid', `The destination ${options.destination} is not an absolute path.`);
  const destination = await throughLink(resolve(options.destination));
  if (destination === '/') throw new ResurgoError('inputInvalid', 'The root directory is no destination.');
  const content = await contentOf(destination);
  if (mode === 'new' && content !== undefined && content.length > 0) {
    throw new ResurgoError(
      'destinationNotEmpty',
      `${destination} is not empty (${content.slice(0, 3).join(', ')}${content.length > 3 ? ', …' : ''}).`,
    );
  }
  if (mode === 'in-place' && content === undefined)
    throw new ResurgoError(
      'destinationNotEmpty',
      `${destination} does not exist, so there is nothing to replace in place.`,
      { details: { hint: 'Use --mode beside --to for a new directory.' } },
    );
  const mounted = await isMountPoint(destination);
  const work = mounted ? join(destination, `.resurgo-${id}`) : `${destination}.resurgo-${id}`;
  const tablespaces: TablespacePlace[] = [];
  const taken = new Map<string, string>();
  for (const facts of options.tablespaces) {
    const location = await locationOf(facts, { ...options, destination });
    const within = !isAbsolute(facts.path) && location === facts.path;
    if (!within) await assertLocation(facts, location, { ...options, destination });
    const other = taken.get(resolve(location));
    if (other !== undefined)
      throw new ResurgoError('inputInvalid', `The tablespaces ${other} and ${facts.oid} would both go to ${location}.`);
    taken.set(resolve(location), facts.oid);
    const own = join(location, `.resurgo-${id}`);
    tablespaces.push({
      oid: facts.oid,
      stream: facts.stream,
      location,
      build: within ? join(work, location) : join(own, 'new'),
      staging: within ? '' : join(own, 'links'),
    });
  }
  return { id, destination, mounted, work, staging: `${work}-links`, tablespaces };
}

/** A data directory may be reached through a symbolic link; renaming must happen to the real one. */
async function throughLink(path: string): Promise<string> {
  try {
    if ((await lstat(path)).isSymbolicLink()) return await realpath(path);
    return join(await realpath(dirname(path)), path.slice(dirname(path).length).replace(/^\/+/, ''));
  } catch {
    return path;
  }
}

export const withinDataDirectory = (place: TablespacePlace): boolean => !isAbsolute(place.location);
