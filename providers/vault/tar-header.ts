import { textOfBytes } from './tar-path.ts';

export const blockBytes = 512;

export interface TarHeader {
  readonly path: string;
  /** The type flag as one character. */
  readonly type: string;
  readonly size: number;
  readonly mode: number;
  readonly mtime: number;
  readonly linkTarget: string;
  /** Undefined where the field cannot be read; a pax record may say it. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** Fields of a pax extended header that matter here. */
export interface PaxFields {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
  readonly mtime?: number;
  readonly sparse?: boolean;
}

/** One header block, or what is wrong with it. */
export function parseTarHeader(block: Buffer): TarHeader | string {
  if (!checksumFits(block)) return 'no tar header (its checksum does not fit)';
  const size = number(block, 124, 12);
  const mode = number(block, 100, 8);
  const mtime = number(block, 136, 12);
  if (size === undefined || size < 0) return 'a tar header with a bad size';
  if (mode === undefined || mode < 0) return 'a tar header with a bad mode';
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  // GNU's magic is "ustar  " and puts times where ustar has the prefix.
  const prefix = isUstar ? textOfBytes(field(block, 345, 155)) : '';
  const name = textOfBytes(field(block, 0, 100));
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    type: String.fromCharCode(block[156] ?? 0),
    size,
    mode,
    mtime: mtime ?? 0,
    linkTarget: textOfBytes(field(block, 157, 100)),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
  };
}

/** `<length> <key>=<value>\n` records, lengths in bytes; or what is wrong with them. */
export function parsePax(data: Buffer): PaxFields | string {
  let fields: PaxFields = {};
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : data.toString('latin1', at, space);
    const length = Number(digits);
    const end = at + length;
    const equals = data.indexOf(0x3d, space + 1);
    if (!/^\d{1,8}$/.test(digits) || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a)
      return 'a damaged pax record';
    const key = data.toString('utf8', space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    at = end;
    if (key === 'path' || key === 'linkpath') {
      if (value.includes(0)) return `a pax ${key} with a NUL byte`;
      fields = { ...fields, [key]: textOfBytes(value) };
    } else if (key === 'size' || key === 'mtime') {
      const parsed = Number(value.toString('latin1'));
      if (!Number.isFinite(parsed) || (key === 'size' && (!Number.isSafeInteger(parsed) || parsed < 0)))
        return `a bad pax ${key}`;
      fields = { ...fields, [key]: parsed };
    } else if (key.startsWith('GNU.sparse.')) fields = { ...fields, sparse: true };
  }
  return fields;
}

function field(block: Buffer, at: number, length: number): Buffer {
  const raw = block.subarray(at, at + length);
  const end = raw.indexOf(0);
  return end < 0 ? raw : raw.subarray(0, end);
}

/** Octal text, or GNU base-256 when the first bit is set; undefined when it is neither or too large. */
function number(block: Buffer, at: number, length: number): number | undefined {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x7f);
    for (let i = at + 1; i < at + length; i++) value = (value << 8n) | BigInt(block[i] ?? 0);
    if (first === 0xff) value -= 1n << BigInt(8 * length - 1);
    return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(value)
      : undefined;
  }
  const text = block
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .replace(/^[\0 ]+/, '');
  if (text === '') return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** Sum of all bytes with the checksum field read as blanks; some old writers added signed bytes. */
function checksumFits(block: Buffer): boolean {
  const stored = number(block, 148, 8);
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < blockBytes; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i] ?? 0;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  return stored === unsigned || stored === signed;
}
