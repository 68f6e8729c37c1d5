import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { pathBytes, textOfBytes } from '../vault/tar-path.ts';
import { comparePaths, type EntryStat, type EntryType } from './listing.ts';

export interface WalkOptions {
  /** Absolute. One inside another is walked where it stands, whatever of the way to it is left out or on another file system. */
  readonly roots: readonly string[];
  /** By path without the leading `/`. A directory left out is entered only on the way to a root inside it. */
  readonly leaveOut: (path: string, isDirectory: boolean) => boolean;
  /** Directories left out by what they are ({@link identityOf}), whichever way leads to them. */
  readonly never?: ReadonlySet<string>;
  readonly oneFileSystem: boolean;
  /** What could not be looked at, by path. ENOENT: it vanished meanwhile. */
  readonly onProblem: (path: string, error: NodeJS.ErrnoException) => void;
  /** Sockets have no content and are made by their servers. */
  readonly onSocket?: (path: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Entries between two looks at the event loop: heartbeats go on. */
const perBatch = 256;

/** Everything below the roots in the order of a listing; memory for one directory per level. Symbolic links are never followed. */
export async function* walk(options: WalkOptions): AsyncGenerator<EntryStat[]> {
  let batch: EntryStat[] = [];
  const unmet = new Set(options.roots.map(listed));
  const inner = new Set(unmet);
  const tops = rootsOf(options.roots).map(listed);
  const ways = waysTo(unmet);
  for (const top of tops) {
    const pending: { readonly names: string[]; readonly dev: bigint | undefined }[] = [];
    /** @param above device of the root it is walked for */
    const visit = (path: string, above: bigint | undefined): void => {
      unmet.delete(path);
      const seen = look(path, options);
      if (seen === undefined) return;
      if (seen.entry !== undefined) batch.push(seen.entry);
      if (!seen.stats.isDirectory()) return;
      const dev = inner.has(path) ? seen.stats.dev : above;
      const isWhole = seen.entry !== undefined && (!options.oneFileSystem || seen.stats.dev === dev);
      const names = isWhole ? namesIn(path, options) : [...(ways.get(path) ?? [])];
      if (names.length > 0) pending.push({ names, dev });
    };
    visit(top, undefined);
    for (let level = pending.at(-1); level !== undefined; level = pending.at(-1)) {
      const path = level.names.pop();
      if (path === undefined) pending.pop();
      else visit(path, level.dev);
      if (batch.length >= perBatch) {
        yield batch;
        batch = [];
        options.signal?.throwIfAborted();
        await setImmediate();
      }
    }
  }
  if (batch.length > 0) yield batch;
  for (const path of unmet) options.onProblem(path, unreached(path));
}

/** Absolute, in the order of a listing, none inside another. */
export function rootsOf(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths.map((path) => `/${listed(path)}`))].sort((a, b) => comparePaths(a.slice(1), b.slice(1)));
  return sorted.filter((path) => !sorted.some((other) => other !== path && path.startsWith(other === '/' ? '/' : `${other}/`)));
}

/** As a listing has it. */
const listed = (path: string): string => path.replace(/^\/+|\/+$/g, '');

/** What of a directory leads to a root inside it; last first, so that the next one is popped. */
function waysTo(roots: ReadonlySet<string>): Map<string, string[]> {
  const ways = new Map<string, Set<string>>();
  for (const root of roots) {
    const names = root === '' ? [] : root.split('/');
    for (let i = 0; i < names.length; i++) {
      const above = names.slice(0, i).join('/');
      ways.set(above, (ways.get(above) ?? new Set()).add(names.slice(0, i + 1).join('/')));
    }
  }
  return new Map([...ways].map(([above, paths]) => [above, [...paths].sort(comparePaths).reverse()]));
}

/** Why a root inside another was not come to. */
function unreached(path: string): NodeJS.ErrnoException {
  try {
    lstatSync(absolute(path));
    return Object.assign(new Error('a symbolic link inside the paths leads there: name where it leads to'), { code: 'ELOOP' });
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

/** What a directory is, by whichever name. */
export const identityOf = ({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string => `${String(dev)}:${String(ino)}`;

interface Seen {
  /** Undefined when it is left out. */
  readonly entry: EntryStat | undefined;
  readonly stats: BigIntStats;
}

function look(path: string, { leaveOut, never, onProblem, onSocket }: WalkOptions): Seen | undefined {
  try {
    const stats = lstatSync(absolute(path), { bigint: true });
    const isDirectory = stats.isDirectory();
    if (leaveOut(path, isDirectory) || (isDirectory && never?.has(identityOf(stats)) === true)) return { entry: undefined, stats };
    const entry = statEntry(path, stats);
    if (entry === undefined) onSocket?.(path);
    else return { entry, stats };
  } catch (error) {
    // Whether it is left out may hang on its being a directory; either will do to stay silent.
    if (!leaveOut(path, true) || !leaveOut(path, false)) onProblem(path, error as NodeJS.ErrnoException);
  }
  return undefined;
}

/** Last first, so that the next one is popped. */
function namesIn(path: string, { onProblem }: WalkOptions): string[] {
  try {
    const above = path === '' ? '' : `${path}/`;
    return sortedNames(absolute(path)).reverse().map((name) => above + name);
  } catch (error) {
    onProblem(path, error as NodeJS.ErrnoException);
    return [];
  }
}

/** By their bytes. Names of nothing but ASCII, which are nearly all, are the same and in the same order as text; others are read again as bytes. */
function sortedNames(directory: string | Buffer): string[] {
  const names = readdirSync(directory);
  if (names.every((name) => ascii.test(name))) return names.sort();
  return readdirSync(directory, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b)).map(textOfBytes);
}

const ascii = /^[\0-\x7f]*$/;

/** What `node:fs` takes for a path of a listing. */
export const absolute = (path: string): string | Buffer => pathBytes(`/${path}`);

/** Undefined for a socket. */
function statEntry(path: string, stats: BigIntStats): EntryStat | undefined {
  const type = typeOf(stats);
  if (type === undefined) return undefined;
  return {
    path,
    type,
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: type === 'f' ? Number(stats.size) : 0,
    mtime: String(stats.mtimeNs),
    ctime: String(stats.ctimeNs),
    ino: String(stats.ino),
    links: type === 'd' ? 1 : Number(stats.nlink),
    ...(type === 'l' ? { target: textOfBytes(readlinkSync(absolute(path), { encoding: 'buffer' })) } : {}),
  };
}

/** @throws ENOENT and what else the system says */
export function statOf(path: string): EntryStat | undefined {
  return statEntry(path, lstatSync(absolute(path), { bigint: true }));
}

function typeOf(stats: BigIntStats): EntryType | undefined {
  if (stats.isFile()) return 'f';
  if (stats.isDirectory()) return 'd';
  if (stats.isSymbolicLink()) return 'l';
  if (stats.isFIFO()) return 'p';
  if (stats.isBlockDevice()) return 'b';
  return stats.isCharacterDevice() ? 'c' : undefined;
}
