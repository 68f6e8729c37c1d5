import { createHash, hash, type Hash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import { blockBytes, parseTarHeader, type TarHeader } from '../vault/tar-header.ts';
import { cleanPath } from '../vault/tar-index.ts';
import { textOfBytes } from '../vault/tar-path.ts';
import type { EntryType } from './listing.ts';

/** One member of a tar stream as GNU tar writes it in its pax format. */
export interface TarMember {
  readonly path: string;
  readonly type: EntryType;
  /** Of the file, holes included. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: string;
  readonly target?: string;
  readonly hardlink?: string;
}

export interface MemberContent {
  readonly sha256?: string;
  readonly extents?: readonly (readonly [number, number])[];
}

export interface MemberHandler {
  /** Decides whether raw bytes of the member are wanted. */
  begin(member: TarMember): boolean;
  /** Header and content as they are in the stream, when wanted. Valid only until it returns. */
  raw?(bytes: Buffer): void;
  end(member: TarMember, content: MemberContent): void;
}

/** Longest extended header and map of a sparse file taken. */
const maxHeaderBytes = 16 * 1024 * 1024;

/** Longest map of a sparse file taken: some millions of extents. */
const maxMapBytes = 128 * 1024 * 1024;

/** Decimal numbers, each ended by a newline: the first says how many pairs follow; then zeros up to the end of a block. */
class SparseMap {
  readonly numbers: number[] = [];
  bytes = 0;
  #rest = '';

  clear(): void {
    this.numbers.length = 0;
    this.bytes = 0;
    this.#rest = '';
  }

  /** @returns whether it is complete */
  add(block: Buffer): boolean {
    this.bytes += block.length;
    const pieces = (this.#rest + block.toString('latin1')).split('\n');
    // The last piece is padding, or a number that goes on in the next block.
    this.#rest = pieces.pop() ?? '';
    for (const piece of pieces) if (this.numbers.length === 0 || this.numbers.length < this.#wanted) this.numbers.push(/^\d+$/.test(piece) ? Number(piece) : NaN);
    return this.numbers.length > 0 && !(this.numbers.length < this.#wanted);
  }

  get #wanted(): number {
    return 1 + 2 * (this.numbers[0] ?? 0);
  }
}

/** Takes a tar stream apart as it passes, whatever the chunks; digests the content of files when asked to. */
export class TarMembers {
  readonly #name: string;
  readonly #handler: MemberHandler;
  readonly #digest: boolean;
  #gathering: Buffer = Buffer.alloc(blockBytes);
  #have = 0;
  #state: 'header' | 'extended' | 'map' | 'content' = 'header';
  #extended: Buffer[] = [];
  #pax = new Map<string, Buffer>();
  #header: TarHeader | undefined;
  #zeroBlocks = 0;
  #member: TarMember | undefined;
  #wanted = false;
  /** Content and padding still to come. */
  #left = 0;
  #padding = 0;
  readonly #map = new SparseMap();
  #extents: [number, number][] | undefined;
  #hash: Hash | undefined;
  #sha256: string | undefined;

  constructor(name: string, handler: MemberHandler, options: { digest: boolean }) {
    this.#name = name;
    this.#handler = handler;
    this.#digest = options.digest;
  }

  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#state === 'content') {
        const step = Math.min(this.#left + this.#padding, chunk.length - at);
        this.#content(chunk.subarray(at, at + step));
        at += step;
        continue;
      }
      const step = Math.min(this.#gathering.length - this.#have, chunk.length - at);
      chunk.copy(this.#gathering, this.#have, at, at + step);
      this.#have += step;
      at += step;
      if (this.#have < this.#gathering.length) continue;
      const full = this.#gathering;
      this.#have = 0;
      this.#gathering = Buffer.alloc(blockBytes);
      if (this.#state === 'extended') this.#takeExtended(full);
      else if (this.#state === 'map') this.#takeMap(full);
      else this.#takeHeader(full);
    }
  }

  /** @throws dumpFailed when the stream was cut off */
  end(): void {
    if (this.#state !== 'header' || this.#have > 0 || this.#zeroBlocks < 2) throw this.#bad('it is cut off');
  }

  #takeHeader(block: Buffer): void {
    if (block.every((byte) => byte === 0)) {
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks > 0) throw this.#bad('data follows its end mark');
    const header = parseTarHeader(block);
    if (typeof header === 'string') throw this.#bad(header);
    if (header.type === 'x') {
      if (header.size > maxHeaderBytes) throw this.#bad('an extended header is too long');
      this.#extended = [block];
      this.#header = header;
      this.#gathering = Buffer.alloc(Math.max(padded(header.size), blockBytes));
      this.#state = 'extended';
      return;
    }
    this.#header = header;
    this.#begin(header, block);
  }

  #takeExtended(data: Buffer): void {
    this.#state = 'header';
    this.#extended.push(data);
    this.#pax = this.#records(data.subarray(0, this.#header?.size ?? 0));
  }

  #begin(header: TarHeader, block: Buffer): void {
    const pax = this.#pax;
    const text = (key: string): string | undefined => {
      const value = pax.get(key);
      return value === undefined ? undefined : textOfBytes(value);
    };
    const rawPath = text('GNU.sparse.name') ?? text('path') ?? header.path;
    const type = types[header.type];
    const cleaned = cleanPath(rawPath);
    // The root itself.
    const path = cleaned === '.' ? '' : cleaned;
    if (type === undefined) throw this.#bad(`member ${JSON.stringify(rawPath)} is of the unknown type ${JSON.stringify(header.type)}`);
    if (path === undefined) throw this.#bad(`member ${JSON.stringify(rawPath)} has an unsafe name`);
    const sparse = pax.has('GNU.sparse.major');
    const link = text('linkpath') ?? header.linkTarget;
    const stored = type === 'f' && header.type !== '1' ? this.#number(text('size'), header.size) : 0;
    const hardlink = header.type === '1' ? cleanPath(link) : undefined;
    if (header.type === '1' && hardlink === undefined) throw this.#bad(`member ${JSON.stringify(path)} is a hard link to an unsafe name`);
    this.#member = {
      path,
      type,
      size: sparse ? this.#number(text('GNU.sparse.realsize'), 0) : stored,
      mode: header.mode & 0o7777,
      uid: this.#number(text('uid'), header.uid),
      gid: this.#number(text('gid'), header.gid),
      mtime: nanoseconds(text('mtime') ?? String(header.mtime)),
      ...(type === 'l' ? { target: link } : {}),
      ...(hardlink === undefined ? {} : { hardlink }),
    };
    this.#wanted = this.#handler.begin(this.#member);
    for (const raw of [...this.#extended, block]) this.#raw(raw);
    this.#extended = [];
    this.#pax = new Map();
    this.#left = stored;
    this.#padding = padded(stored) - stored;
    this.#extents = undefined;
    this.#hash = undefined;
    this.#sha256 = undefined;
    if (sparse) {
      this.#map.clear();
      this.#state = 'map';
    } else if (stored > 0) this.#state = 'content';
    else this.#finish();
  }

  /** A sparse file begins with the decimal numbers of its map, padded to a block. */
  #takeMap(block: Buffer): void {
    if (this.#left < blockBytes) throw this.#bad('the map of a sparse file is cut off');
    this.#left -= blockBytes;
    this.#raw(block);
    if (!this.#map.add(block)) {
      if (this.#map.bytes > maxMapBytes) throw this.#bad('the map of a sparse file is too long');
      return;
    }
    const { numbers } = this.#map;
    const extents: [number, number][] = [];
    for (let i = 1; i + 1 < numbers.length; i += 2) {
      const [offset = NaN, length = NaN] = [numbers[i], numbers[i + 1]];
      if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) throw this.#bad('the map of a sparse file is damaged');
      if (length > 0) extents.push([offset, length]);
    }
    this.#map.clear();
    this.#extents = extents;
    if (extents.reduce((sum, [, length]) => sum + length, 0) !== this.#left) throw this.#bad('the map of a sparse file does not fit its content');
    if (this.#left + this.#padding > 0) this.#state = 'content';
    else this.#finish();
  }

  #content(bytes: Buffer): void {
    this.#raw(bytes);
    const data = bytes.subarray(0, Math.min(this.#left, bytes.length));
    if (this.#digest && data.length > 0) {
      // Most files are small and come as a whole.
      if (this.#hash === undefined && data.length === this.#left) this.#sha256 = hash('sha256', data, 'hex');
      else (this.#hash ??= createHash('sha256')).update(data);
    }
    this.#left -= data.length;
    this.#padding -= bytes.length - data.length;
    if (this.#left === 0 && this.#padding === 0) this.#finish();
  }

  #finish(): void {
    const member = this.#member as TarMember;
    this.#state = 'header';
    const isContent = member.type === 'f' && member.hardlink === undefined;
    this.#handler.end(member, {
      ...(isContent && this.#digest ? { sha256: this.#sha256 ?? this.#hash?.digest('hex') ?? emptySha256 } : {}),
      ...(this.#extents === undefined ? {} : { extents: this.#extents }),
    });
  }

  #raw(bytes: Buffer): void {
    if (this.#wanted) this.#handler.raw?.(bytes);
  }

  #records(data: Buffer): Map<string, Buffer> {
    const records = new Map<string, Buffer>();
    for (let at = 0; at < data.length;) {
      const space = data.indexOf(0x20, at);
      const length = space < 0 ? NaN : Number(data.toString('latin1', at, space));
      const equals = data.indexOf(0x3d, space + 1);
      if (!Number.isSafeInteger(length) || at + length > data.length || equals < 0 || equals >= at + length) throw this.#bad('a damaged pax record');
      records.set(data.toString('latin1', space + 1, equals), Buffer.from(data.subarray(equals + 1, at + length - 1)));
      at += length;
    }
    return records;
  }

  #number(text: string | undefined, otherwise: number | undefined): number {
    const value = text === undefined ? otherwise : Number(text);
    if (value === undefined || !Number.isSafeInteger(value) || value < 0) throw this.#bad('a number that cannot be read');
    return value;
  }

  #bad(why: string): ResurgoError {
    return new ResurgoError('dumpFailed', `tar stream ${this.#name}: ${why}`);
  }
}

const emptySha256 = hash('sha256', '', 'hex');
const types: Readonly<Record<string, EntryType>> = { '0': 'f', '\0': 'f', '7': 'f', '1': 'f', '2': 'l', '3': 'c', '4': 'b', '5': 'd', '6': 'p' };
const padded = (size: number): number => Math.ceil(size / blockBytes) * blockBytes;

/** `1795647606.83204183` → nanoseconds. Times before the epoch count backwards. */
function nanoseconds(text: string): string {
  const negative = text.startsWith('-');
  const [whole = '0', fraction = ''] = text.replace(/^-/, '').split('.');
  const value = BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  return String(negative ? -value : value);
}
