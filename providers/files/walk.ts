import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { pathBytes, textOfBytes } from '../vault/tar-path.ts';
import { comparePaths, type EntryStat, type EntryType } from './listing.ts';

export interface WalkOptions {
  /** Absolute, in the order of a listing, none inside another. */
  readonly roots: readonly string[];
  /** Paths inside a root, without the leading `/`, that are walked whatever is left out above them, each on its own file system. */
  readonly inner?: readonly string[];
  /** By path without the leading `/`. A directory left out is not entered. */
  readonly leaveOut: (path: string, isDirectory: boolean) => boolean;
  readonly oneFileSystem: boolean;
  /** What could not be looked at, by path. ENOENT: it vanished meanwhile. */
  readonly onProblem: (path: string, error: NodeJS.ErrnoException) => void;
  /** Sockets have no content and are made by their servers. */
  readonly onSocket?: (path: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Entries between two looks at the event loop: heartbeats go on. */
const perBatch = 256;

interface Level {
  /** Last first. */
  readonly names: string[];
  /** File system that is walked here. */
  readonly dev: bigint;
}

/** Everything below the roots in the order of a listing; memory for one directory per level. Symbolic links are never followed. */
export async function* walk(options: WalkOptions): AsyncGenerator<EntryStat[]> {
  const { inner = [] } = options;
  let batch: EntryStat[] = [];
  for (const root of options.roots) {
    const top = root.replace(/^\/+/, '');
    const pending: Level[] = [];
    const visit = (path: string, above: bigint | undefined): void => {
      const seen = look(path, options);
      if (seen === undefined) return;
      const { entry, stats } = seen;
      if (entry !== undefined) batch.push(entry);
      if (!stats.isDirectory()) return;
      const dev = above === undefined || inner.includes(path) ? stats.dev : above;
      const isWalked = entry !== undefined && (!options.oneFileSystem || stats.dev === dev);
      const names = isWalked ? namesIn(path, options) : wayTo(inner, path);
      if (names.length > 0) pending.push({ names, dev });
    };
    visit(top, undefined);
    while (pending.length > 0) {
      const { names, dev } = pending.at(-1) as Level;
      const path = names.pop();
      if (path === undefined) {
        pending.pop();
        continue;
      }
      visit(path, dev);
      if (batch.length >= perBatch) {
        yield batch;
        batch = [];
        options.signal?.throwIfAborted();
        await setImmediate();
      }
    }
  }
  if (batch.length > 0) yield batch;
}

/** Children of a directory that is not walked itself, on the way to what is; last first. */
function wayTo(inner: readonly string[], path: string): string[] {
  const above = path === '' ? '' : `${path}/`;
  const next = inner.flatMap((each) => (each.startsWith(above) && each !== path ? [above + (each.slice(above.length).split('/')[0] ?? '')] : []));
  return [...new Set(next)].sort(comparePaths).reverse();
}

interface Seen {
  /** Undefined for what is left out and only on the way to something that is not. */
  readonly entry: EntryStat | undefined;
  readonly stats: BigIntStats;
}

function look(path: string, { leaveOut, onProblem, onSocket, inner = [] }: WalkOptions): Seen | undefined {
  try {
    const full = absolute(path);
    const stats = lstatSync(full, { bigint: true });
    if (leaveOut(path, stats.isDirectory())) return stats.isDirectory() && inner.some((each) => each.startsWith(`${path}/`)) ? { entry: undefined, stats } : undefined;
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
