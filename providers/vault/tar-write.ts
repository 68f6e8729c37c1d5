import { blockBytes } from './tar-header.ts';
import { pathBytes } from './tar-path.ts';

/** One entry to be written; see {@link tarHeader}. */
export interface TarEntry {
  /** Relative. */
  readonly path: string;
  readonly size: number;
  /** Default 0600, 0700 for directories. */
  readonly mode?: number;
  /** Seconds since the epoch; default 0. */
  readonly mtime?: number;
  /** Default `file`. */
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink';
  readonly linkTarget?: string;
}

const flags = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const;
const maxOctalSize = 0o77777777777;

/**
 * The header block(s) of an entry: ustar, with a pax header before it where a name is longer than 100 bytes or the size
 * is 8 GiB or more. Every tar since 2001 reads it. The content must follow, then {@link tarPadding}.
 */
export function tarHeader(entry: TarEntry): Buffer {
  const type = entry.type ?? 'file';
  const path = bytesOf(type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path);
  const link = bytesOf(entry.linkTarget ?? '');
  const size = type === 'file' ? entry.size : 0;
  if (!Number.isSafeInteger(size) || size < 0)
    throw new RangeError(`tar entry ${entry.path}: its size is ${String(entry.size)}`);
  if (path.length === 0 || path.includes(0) || link.includes(0))
    throw new RangeError('a tar entry needs a name, and no name has a NUL byte');
  const records: Buffer[] = [];
  if (path.length > 100) records.push(paxRecord('path', path));
  if (link.length > 100) records.push(paxRecord('linkpath', link));
  if (size > maxOctalSize) records.push(paxRecord('size', Buffer.from(String(size))));
  const mode = entry.mode ?? (type === 'directory' ? 0o700 : 0o600);
  const mtime = Math.min(Math.max(Math.floor(entry.mtime ?? 0), 0), maxOctalSize);
  const main = block({
    name: path.subarray(0, 100),
    flag: flags[type],
    size: Math.min(size, maxOctalSize),
    mode: mode & 0o7777,
    mtime,
    link: link.subarray(0, 100),
  });
  if (records.length === 0) return main;
  const pax = Buffer.concat(records);
  const extended = block({
    name: Buffer.from('PaxHeaders/entry'),
    flag: 'x',
    size: pax.length,
    mode: 0o600,
    mtime,
    link: Buffer.alloc(0),
  });
  return Buffer.concat([extended, pax, tarPadding(pax.length), main]);
}

/** Zero bytes that fill the content up to a whole block. */
export const tarPadding = (size: number): Buffer => Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);

/** The end of the archive. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * blockBytes);

function bytesOf(text: string): Buffer {
  const bytes = pathBytes(text);
  return typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
}

/** `<length> <key>=<value>\n`; the length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${String(length)} ${key}=`), value, Buffer.from('\n')]);
}

function block(fields: {
  name: Buffer;
  flag: string;
  size: number;
  mode: number;
  mtime: number;
  link: Buffer;
}): Buffer {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number): void =>
    void header.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  header.set(fields.name, 0);
  octal(fields.mode, 100, 7);
  octal(0, 108, 7); // owner and group: whoever extracts
  octal(0, 116, 7);
  header.write(fields.size.toString(8).padStart(11, '0') + ' ', 124, 'latin1');
  header.write(fields.mtime.toString(8).padStart(11, '0') + ' ', 136, 'latin1');
  header.write(fields.flag, 156, 'latin1');
  header.set(fields.link, 157);
  header.write('ustar\0' + '00', 257, 'latin1');
  header.write('        ', 148, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
