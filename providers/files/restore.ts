import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool, startTool, type RunningTool } from '../host/child.ts';
import { streamName } from './dump.ts';
import { comparePaths, isWithin, misfits, readListing, type Entry } from './listing.ts';
import { TarMembers, type TarMember } from './tar-members.ts';
import { tieNames, tieOf, type Tie } from './ties.ts';

/** Where a part of the tree goes. */
export interface Place {
  /** Entries at and below this path, without the leading `/`; empty: all. */
  readonly path: string;
  /** Empty directory that gets them. */
  readonly directory: string;
  /** Leading names taken off. */
  readonly strip: number;
}

export interface RestoreFilesOptions {
  /** Oldest first. */
  readonly chain: readonly BackupReader[];
  readonly places: readonly Place[];
  /** Only these and what is below; paths without the leading `/`. Empty: everything. */
  readonly only: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export interface RestoredFiles {
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

/** The list of what a backup holds. @throws manifestInvalid */
export function listingOf(reader: BackupReader): string {
  const { index } = reader;
  if (index.engineManifest === undefined) throw new ResurgoError('manifestInvalid', `backup ${index.backup} has no list of its files`);
  return index.engineManifest;
}

/** Whether a path is asked for, or on the way to one that is. */
export const selects = (only: readonly string[]) => (entry: Pick<Entry, 'path' | 'type'>): boolean =>
  only.length === 0 || only.some((part) => isWithin(entry.path, part) || (entry.type === 'd' && isWithin(part, entry.path)));

/**
 * Checks the whole list before anything is written: relative clean names in order, nothing below what is no directory, hard links only to files of the
 * same stream. So no entry, whatever a hostile list says, can be written through another one to somewhere else.
 * @throws contentMismatch
 */
export function checkListing(listing: string, links: number): void {
  let last: Entry | undefined;
  for (const entry of readListing(listing)) {
    const bad = (why: string): ResurgoError => new ResurgoError('contentMismatch', `the list of files is refused: ${JSON.stringify(entry.path)} ${why}`);
    if (entry.path.startsWith('/') || entry.path.includes('\0') || (entry.path !== '' && entry.path.split('/').some((name) => name === '' || name === '.' || name === '..'))) throw bad('is no safe name');
    if (last !== undefined && comparePaths(last.path, entry.path) >= 0) throw bad(`stands after ${JSON.stringify(last.path)}`);
    if (!Number.isInteger(entry.link) || entry.link < 0 || entry.link >= links || !Number.isInteger(entry.stream) || entry.stream < 1) throw bad('lies in no backup of the chain');
    last = entry;
  }
  for (const { path, why } of misfits(readListing(listing))) throw new ResurgoError('contentMismatch', `the list of files is refused: ${JSON.stringify(path)}: ${why}`);
}

/**
 * Writes the tree by GNU tar, one process per place, from the streams of the whole chain; each gets only the members that the list names, as the list says
 * they are. Effect: entries in the places' directories. @throws contentMismatch, restoreFailed, partMissing, partCorrupt
 */
export async function restoreFiles({ chain, places, only, signal, onProgress }: RestoreFilesOptions): Promise<RestoredFiles> {
  const newest = chain.at(-1);
  if (newest === undefined) throw new ResurgoError('bug', 'a restore without a backup');
  const listing = listingOf(newest);
  checkListing(listing, chain.length);
  const wanted = selects(withFirstNames(listing, only));
  const streams = [...new Set(entriesOf(listing, wanted).map((entry) => `${String(entry.link)}/${String(entry.stream)}`))]
    .map((key) => key.split('/').map(Number) as [number, number])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const tars = await Promise.all(places.map((place) => startUntar(place, signal)));
  const totals = { entries: 0, files: 0, bytes: 0 };
  const ties: Tie[] = [];
  try {
    for (const [link, stream] of streams) {
      const reader = chain[link] as BackupReader;
      const expected = entriesOf(listing, (entry) => entry.link === link && entry.stream === stream && wanted(entry));
      await feed({ reader, stream, expected, places, tars, ties, signal, totals, onProgress });
    }
    for (const tar of tars) tar.stdin.end(Buffer.alloc(1024));
    const said = await Promise.all(tars.map(async (tar) => {
      const end = await tar.tool.done;
      return { ...end, lines: tar.lines };
    }));
    return { ...totals, warnings: [...said.flatMap(({ lines }) => lines).slice(0, 20), ...(await tieNames(ties, signal))] };
  } catch (error) {
    for (const tar of tars) tar.tool.stop(error);
    // When tar gave up first, that is the cause.
    const ends = await Promise.allSettled(tars.map((tar) => tar.tool.done));
    const failed = ends.find((end): end is PromiseRejectedResult => end.status === 'rejected' && end.reason !== error);
    if (error instanceof TarEnded && failed !== undefined) throw new ResurgoError('restoreFailed', `tar could not write the files: ${(failed.reason as Error).message}`, { cause: failed.reason });
    throw error;
  }
}

/** Makes what was written durable. */
export async function syncFiles(directories: readonly string[]): Promise<void> {
  await runTool({ command: 'sync', args: ['--file-system', ...directories] });
}

/** An iterator that has `map`, for a few. */
class Entries implements Iterable<Entry> {
  readonly #make: () => Generator<Entry>;
  constructor(make: () => Generator<Entry>) {
    this.#make = make;
  }
  [Symbol.iterator](): Generator<Entry> {
    return this.#make();
  }
  map<T>(by: (entry: Entry) => T): T[] {
    const seen = new Set<T>();
    for (const entry of this) seen.add(by(entry));
    return [...seen];
  }
}

function entriesOf(listing: string, keep: (entry: Entry) => boolean): Entries {
  return new Entries(function* () {
    for (const entry of readListing(listing)) if (keep(entry)) yield entry;
  });
}

/** A file with several names has its content under the first: it comes along. */
export function withFirstNames(listing: string, only: readonly string[]): string[] {
  if (only.length === 0) return [];
  const asked = selects(only);
  const firsts = new Set<string>();
  for (const entry of readListing(listing)) if (entry.hardlink !== undefined && asked(entry)) firsts.add(entry.hardlink);
  return [...only, ...firsts];
}

interface Untar {
  readonly tool: RunningTool;
  readonly stdin: NonNullable<RunningTool['stdin']>;
  readonly lines: string[];
}

class TarEnded extends Error {}

async function startUntar({ directory, strip }: Place, signal: AbortSignal): Promise<Untar> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const lines: string[] = [];
  const tool = startTool({
    command: 'tar',
    args: [
      '--extract', '--file=-', `--directory=${directory}`, `--strip-components=${String(strip)}`, '--numeric-owner', '--preserve-permissions', '--delay-directory-restore',
      '--xattrs', '--xattrs-include=*', '--acls', '--warning=no-timestamp', '--quoting-style=escape',
    ],
    pipeInput: true,
    signal,
    onStderrLine: (line) => {
      if (lines.length < 20) lines.push(line);
    },
  });
  tool.stdout.resume();
  return { tool, stdin: tool.stdin as NonNullable<RunningTool['stdin']>, lines };
}

interface FeedOptions {
  readonly reader: BackupReader;
  readonly stream: number;
  readonly expected: Iterable<Entry>;
  readonly places: readonly Place[];
  readonly tars: readonly Untar[];
  /** Gets what is to be done when the tars have ended. */
  readonly ties: Tie[];
  readonly signal: AbortSignal;
  readonly totals: { entries: number; files: number; bytes: number };
  readonly onProgress: OnProgress;
}

/** One stream: members that are wanted go to the tar of their place, the others pass by. */
async function feed({ reader, stream, expected, places, tars, ties, signal, totals, onProgress }: FeedOptions): Promise<void> {
  const name = streamName(stream);
  const entries = expected[Symbol.iterator]();
  let next = entries.next();
  let out: Untar | undefined;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const members = new TarMembers(name, {
    begin(member) {
      out = undefined;
      if (next.done === true || next.value.path !== member.path) return false;
      assertSame(next.value, member, reader.index.backup);
      const at = places.findIndex((place) => isWithin(member.path, place.path));
      totals.entries++;
      if (member.type === 'f') totals.files++;
      next = entries.next();
      const tie = tieOf(member, at, places);
      if (tie !== undefined) ties.push(tie);
      out = tie === undefined ? tars[at] : undefined;
      return out !== undefined && components(member.path) > (places[at]?.strip ?? 0);
    },
    raw(bytes) {
      // The memory may be used again.
      pending.push(Buffer.from(bytes));
      pendingBytes += bytes.length;
      if (out !== undefined && pendingBytes >= 256 * 1024) flush();
    },
    end() {
      flush();
    },
  }, { digest: false });
  const full: Untar[] = [];
  const flush = (): void => {
    if (pendingBytes === 0 || out === undefined) return;
    const bytes = pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending);
    pending = [];
    totals.bytes += bytes.length;
    pendingBytes = 0;
    if (!out.stdin.write(bytes)) full.push(out);
  };
  for await (const chunk of reader.stream(name, signal)) {
    // A part is tens of MiB: what tar has not taken of it is bounded by taking it in slices.
    for (let at = 0; at < chunk.length; at += sliceBytes) {
      members.write(chunk.subarray(at, at + sliceBytes));
      for (const tar of full.splice(0)) await drained(tar);
    }
    onProgress({ phase: `write files of ${reader.index.backup}`, doneBytes: totals.bytes });
  }
  members.end();
  if (next.done !== true) throw new ResurgoError('contentMismatch', `backup ${reader.index.backup} lacks ${JSON.stringify(next.value.path)}, which its list has`);
}

const sliceBytes = 1024 * 1024;
const components = (path: string): number => path.split('/').length;

async function drained({ tool, stdin }: Untar): Promise<void> {
  if (!stdin.writableNeedDrain) return;
  await Promise.race([
    once(stdin, 'drain'),
    tool.done.then(
      () => { throw new TarEnded('tar ended early'); },
      () => { throw new TarEnded('tar failed'); },
    ),
  ]);
}

/** The member is what the list says; a stream that differs is not handed to tar. */
function assertSame(entry: Entry, member: TarMember, backup: string): void {
  const same = member.hardlink === entry.hardlink && (entry.hardlink !== undefined || (member.type === entry.type && member.target === entry.target && (entry.type !== 'f' || member.size === entry.size)));
  if (!same) throw new ResurgoError('contentMismatch', `${JSON.stringify(member.path)} in backup ${backup} is not what the list of its files says`);
}
