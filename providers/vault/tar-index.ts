import type { FileRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { blockBytes, parseTarHeader, parsePax } from './tar-header.ts';
import type { PaxFields, TarHeader } from './tar-header.ts';
import { textOfBytes } from './tar-path.ts';

/** Longest extended header taken (names are at most a few KiB). */
const maxExtendedBytes = 1024 * 1024;

/**
 * Reads a tar stream as it passes and notes where each entry's content lies. Understands what PostgreSQL and GNU tar write:
 * ustar, pax (`x`, `g`), GNU long names and links, base-256 numbers.
 */
export class TarIndexer {
  readonly files: FileRecord[] = [];
  readonly #name: string;
  /** Bytes taken so far. */
  #offset = 0;
  /** Bytes of content and padding still to pass by. */
  #skip = 0;
  /** A block or extended header being gathered. */
  #pending: Buffer = Buffer.alloc(blockBytes);
  #have = 0;
  #extended: TarHeader | undefined;
  #zeroBlocks = 0;
  #global: PaxFields = {};
  #local: PaxFields = {};

  /** @param name what messages call the stream */
  constructor(name: string) {
    this.#name = name;
  }

  /** @throws dumpFailed when the bytes are no tar */
  write(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        this.#offset += step;
        at += step;
        continue;
      }
      const step = Math.min(this.#pending.length - this.#have, chunk.length - at);
      this.#pending.set(chunk.subarray(at, at + step), this.#have);
      this.#have += step;
      this.#offset += step;
      at += step;
      if (this.#have === this.#pending.length) this.#gathered();
    }
  }

  /** @throws dumpFailed when the stream ends too early */
  end(): void {
    if (this.#skip > 0)
      throw this.#bad(
        `it ends ${String(this.#skip)} bytes before the end of ${JSON.stringify(this.files.at(-1)?.path ?? '')}`,
      );
    if (this.#have > 0 || this.#extended !== undefined) throw this.#bad('it ends within a header');
    if (this.#zeroBlocks < 2)
      throw this.#bad(this.#offset === 0 ? 'it is empty' : 'it ends without the end-of-archive mark: cut off');
  }

  #gathered(): void {
    const block = this.#pending;
    this.#have = 0;
    if (this.#extended !== undefined) {
      const header = this.#extended;
      this.#extended = undefined;
      this.#pending = Buffer.alloc(blockBytes);
      this.#applyExtended(header, block.subarray(0, header.size));
      return;
    }
    if (block.every((byte) => byte === 0)) {
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks >= 2) throw this.#bad('data follows the end-of-archive mark');
    // A single zero block is only padding for lenient readers; here it means two archives glued together or damage.
    if (this.#zeroBlocks === 1) throw this.#bad('a lone zero block stands between entries');
    const header = parseTarHeader(block);
    if (typeof header === 'string') throw this.#bad(`${header} at offset ${String(this.#offset - blockBytes)}`);
    if ('xgLK'.includes(header.type)) {
      if (header.size > maxExtendedBytes)
        throw this.#bad(
          `an extended header of ${String(header.size)} bytes at offset ${String(this.#offset - blockBytes)}`,
        );
      this.#extended = header;
      this.#pending = Buffer.alloc(Math.max(padded(header.size), blockBytes));
      if (header.size === 0) this.#extended = undefined;
      if (header.size === 0) this.#pending = Buffer.alloc(blockBytes);
      return;
    }
    this.#entry(header);
  }

  #applyExtended(header: TarHeader, data: Buffer): void {
    if (header.type === 'L') this.#local = { ...this.#local, path: textOfBytes(untilNul(data)) };
    else if (header.type === 'K') this.#local = { ...this.#local, linkpath: textOfBytes(untilNul(data)) };
    else {
      const fields = parsePax(data);
      if (typeof fields === 'string')
        throw this.#bad(`${fields} in the extended header before offset ${String(this.#offset)}`);
      if (header.type === 'g') this.#global = { ...this.#global, ...fields };
      else this.#local = { ...this.#local, ...fields };
    }
  }

  #entry(header: TarHeader): void {
    const extended = { ...this.#global, ...this.#local };
    this.#local = {};
    const rawPath = extended.path ?? header.path;
    const at = `entry ${JSON.stringify(rawPath)} at offset ${String(this.#offset - blockBytes)}`;
    if (extended.sparse === true || header.type === 'S')
      throw this.#bad(`${at} is a sparse file, which is not supported`);
    const path = cleanPath(rawPath);
    if (path === undefined) throw this.#bad(`${at} has an unsafe name`);
    const type = typeOf(header.type, rawPath);
    const size = extended.size ?? header.size;
    if ((type === 'symlink' || type === 'hardlink' || type === 'directory') && size !== 0)
      throw this.#bad(`${at} is a ${type} with content`);
    const linkTarget = extended.linkpath ?? header.linkTarget;
    const isLink = type === 'symlink' || type === 'hardlink';
    if (isLink && linkTarget === '') throw this.#bad(`${at} is a ${type} without a target`);
    this.files.push({
      path,
      type,
      offset: this.#offset,
      size,
      mode: header.mode & 0o7777,
      mtime: Math.floor(extended.mtime ?? header.mtime),
      ...(isLink ? { linkTarget: type === 'hardlink' ? (cleanPath(linkTarget) ?? linkTarget) : linkTarget } : {}),
    });
    this.#skip = padded(size);
  }

  #bad(why: string): ResurgoError {
    return new ResurgoError('dumpFailed', `tar stream ${this.#name}: ${why}`);
  }
}

const padded = (size: number): number => Math.ceil(size / blockBytes) * blockBytes;

const untilNul = (data: Buffer): Buffer => {
  const end = data.indexOf(0);
  return end < 0 ? data : data.subarray(0, end);
};

function typeOf(flag: string, path: string): FileRecord['type'] {
  if (flag === '5') return 'directory';
  if (flag === '2') return 'symlink';
  if (flag === '1') return 'hardlink';
  if (flag === '0' || flag === '7' || flag === '\0') return path.endsWith('/') ? 'directory' : 'file';
  return 'other';
}

/** Relative, without `./`, doubled or trailing slashes; undefined for names that lead elsewhere. The root itself is `.`. */
export function cleanPath(path: string): string | undefined {
  if (path === '' || path.startsWith('/') || path.includes('\0')) return undefined;
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) return undefined;
  return segments.length === 0 ? '.' : segments.join('/');
}
