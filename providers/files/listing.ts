/**
 * The list of everything a backup of files holds, also what is unchanged since its parents and lies in their streams. Kept in the index as
 * `engineManifest`: lines of base64, each one zstd frame of JSON lines, so that neither writer nor reader has it in memory as a whole.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ResurgoError } from '../../domain/errors.ts';
import { pathBytes } from '../vault/tar-path.ts';

/** File, directory, symbolic link, named pipe, block and character device. */
export type EntryType = 'f' | 'd' | 'l' | 'p' | 'b' | 'c';

/** What `lstat` tells, exact. */
export interface EntryStat {
  /** Without the leading `/`; bytes that are not UTF-8 as in the index (docs/repository-format.md). */
  readonly path: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: string;
  readonly ctime: string;
  readonly ino: string;
  readonly links: number;
  /** Target of a symbolic link. */
  readonly target?: string;
}

export interface Entry extends EntryStat {
  /** Where its content is: position in the chain (0 is the full) and number of the stream there. */
  readonly link: number;
  readonly stream: number;
  /** SHA-256 (hex) of a file's content; of a sparse one, of its extents one after the other. */
  readonly sha256?: string;
  /** Of a sparse file: `[offset, length]` of what is no hole. */
  readonly extents?: readonly (readonly [number, number])[];
  /** Another name of this file in the same stream, which has the content. */
  readonly hardlink?: string;
  /** It was changed so shortly before it was read that a later change may not show in its times: read again next time. */
  readonly fresh?: true;
  /** It changed while it was read, every time. */
  readonly torn?: true;
}

type Extra = Partial<Pick<Entry, 'target' | 'sha256' | 'extents' | 'hardlink' | 'fresh' | 'torn'>>;
type Line = [string, EntryType, number, number, number, number, string, string, string, number, number, number, Extra?];

/** Lines that repeat each other become little more by level 3, in three times the time. */
const quick = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** Entries of one frame. */
const perFrame = 4096;

export const lineOf = (entry: Entry): string => {
  const { target, sha256, extents, hardlink, fresh, torn } = entry;
  const extra: Extra = { target, sha256, extents, hardlink, fresh, torn } as Extra;
  const line: Line = [entry.path, entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.ctime, entry.ino, entry.links, entry.link, entry.stream, extra];
  return JSON.stringify(line);
};

export function entryOf(text: string): Entry {
  const [path, type, mode, uid, gid, size, mtime, ctime, ino, links, link, stream, extra] = JSON.parse(text) as Line;
  return { path, type, mode, uid, gid, size, mtime, ctime, ino, links, link, stream, ...extra };
}

export class ListingWriter {
  readonly #frames: string[] = [];
  #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= perFrame) this.#flush();
  }

  finish(): string {
    this.#flush();
    return this.#frames.join('\n');
  }

  #flush(): void {
    if (this.#lines.length === 0) return;
    this.#frames.push(zstdCompressSync(this.#lines.join('\n'), quick).toString('base64'));
    this.#lines = [];
  }
}

/** @throws manifestInvalid when it is no list of files */
export function* readListing(text: string): Generator<Entry> {
  for (const { entry } of readLinesOf(text)) yield entry;
}

/** A line of a list, parsed only when that is needed: most entries of a tree are found again as they were. */
export class ListedLine {
  readonly line: string;
  readonly path: string;
  #entry: Entry | undefined;

  constructor(line: string) {
    this.line = line;
    // A path without an escape stands in the line as it is.
    const end = line.indexOf('"', 2);
    if (line.startsWith('["') && end > 0 && !line.slice(2, end).includes('\\')) this.path = line.slice(2, end);
    else this.path = this.entry.path;
  }

  get entry(): Entry {
    return (this.#entry ??= entryOf(this.line));
  }

  /** Whether it says this of the file and nothing more than a checksum: then it holds, and adds up to what the file has now. */
  saysOnly(stat: EntryStat): boolean {
    const said = statText(stat);
    return said !== undefined && this.line.startsWith(said) && (this.line.endsWith(',{}]') || this.line.startsWith(',{"sha256":"', this.line.length - onlyChecksum));
  }
}

/** Length of `,{"sha256":"<64 hexadecimal digits>"}]`: an object that begins just there and is the last of the line says nothing else. */
const onlyChecksum = 12 + 64 + 3;

/** The line of a file as far as `lstat` makes it; undefined where that takes escapes. */
const statText = ({ path, type, mode, uid, gid, size, mtime, ctime, ino, links }: EntryStat): string | undefined =>
  /["\\\u0000-\u001f\ud800-\udfff]/.test(path) ? undefined : `["${path}","${type}",${mode},${uid},${gid},${size},"${mtime}","${ctime}","${ino}",${links},`;

/** As {@link readListing}, with the line as it is in the list. @throws manifestInvalid */
export function* readLinesOf(text: string): Generator<ListedLine> {
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at);
    const frame = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    let entries: ListedLine[];
    try {
      entries = zstdDecompressSync(Buffer.from(frame, 'base64'), { maxOutputLength: 256 * 1024 * 1024 }).toString('utf8').split('\n').map((line) => new ListedLine(line));
    } catch (error) {
      throw new ResurgoError('manifestInvalid', 'the list of files in the index cannot be read', { cause: error });
    }
    yield* entries;
  }
}

/** The order of a listing: a directory before what is in it, names by their bytes. */
export function comparePaths(a: string, b: string): number {
  if (a === b) return 0;
  const left = a.split('/');
  const right = b.split('/');
  for (let i = 0; i < left.length && i < right.length; i++) {
    const [x = '', y = ''] = [left[i], right[i]];
    if (x !== y) return Buffer.compare(Buffer.from(pathBytes(x)), Buffer.from(pathBytes(y)));
  }
  return left.length - right.length;
}

/** What of a list does not fit together. */
export interface Misfit {
  readonly path: string;
  readonly why: string;
  /** The name it shares its content with, where the list has that. */
  readonly leader?: string;
}

/**
 * Entries that a restore cannot make: below what is no directory, or further names of a file that is not before them in the same stream. In the order of the list;
 * each judged as if those before were left out.
 */
export function* misfits(entries: Iterable<Entry>): Generator<Misfit> {
  let last: Entry | undefined;
  const first = new Map<string, string>();
  const several = new Set<string>();
  for (const entry of entries) {
    if (entry.links > 1 || entry.hardlink !== undefined) several.add(entry.path);
    if (last !== undefined && last.type !== 'd' && entry.path.startsWith(`${last.path}/`)) {
      yield { path: entry.path, why: `${JSON.stringify(`/${last.path}`)} is no directory any more` };
      continue;
    }
    const place = `${String(entry.link)}/${String(entry.stream)}`;
    if (entry.hardlink !== undefined && first.get(entry.hardlink) !== place) {
      yield { path: entry.path, why: `it is another name of ${JSON.stringify(`/${entry.hardlink}`)}, which is not in the backup with it`, ...(several.has(entry.hardlink) ? { leader: entry.hardlink } : {}) };
      continue;
    }
    if (entry.links > 1 && entry.hardlink === undefined && entry.type !== 'd') first.set(entry.path, place);
    last = entry;
  }
}

/** Whether `path` is `above` or lies below it. */
export const isWithin = (path: string, above: string): boolean => above === '' || path === above || path.startsWith(`${above}/`);

/** Whether nothing about it has changed since. A change of names or attributes shows in `ctime`. */
export const isUnchanged = (now: EntryStat, then: Entry): boolean =>
  then.fresh !== true && then.torn !== true && now.ctime === then.ctime && now.mtime === then.mtime && now.size === then.size && now.ino === then.ino && now.type === then.type && now.mode === then.mode &&
  now.uid === then.uid && now.gid === then.gid && now.links === then.links;
