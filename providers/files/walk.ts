import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { pathBytes, textOfBytes } from '../vault/tar-path.ts';
import type { EntryStat, EntryType } from './listing.ts';

export interface WalkOptions {
  /** Absolute, in the order of a listing, none inside another. */
  readonly roots: readonly string[];
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

/** Everything below the roots in the order of a listing; memory for one directory per level. Symbolic links are never followed. */
export async function* walk(options: WalkOptions): AsyncGenerator<EntryStat[]> {
  let batch: EntryStat[] = [];
  for (const root of options.roots) {
    const top = root.replace(/^\/+/, '');
    const first = look(top, options);
    if (first === undefined) continue;
    const { dev } = first.stats;
    const pending: string[][] = [];
    const visit = ({ entry, stats }: Seen): void => {
      batch.push(entry);
      if (entry.type !== 'd' || (options.oneFileSystem && stats.dev !== dev)) return;
      pending.push(namesIn(entry.path, options));
    };
    visit(first);
    while (pending.length > 0) {
      const names = pending.at(-1) as string[];
      const path = names.pop();
      if (path === undefined) {
        pending.pop();
        continue;
      }
      const seen = look(path, options);
      if (seen !== undefined) visit(seen);
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

interface Seen {
  readonly entry: EntryStat;
  readonly stats: BigIntStats;
}

function look(path: string, { leaveOut, onProblem, onSocket }: WalkOptions): Seen | undefined {
  try {
    const full = absolute(path);
    const stats = lstatSync(full, { bigint: true });
    if (leaveOut(path, stats.isDirectory())) return undefined;
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
