/** DNS messages (RFC 1035, RFC 2136) as bytes: as much of them as record updates and questions to an authoritative server need. */
import { isIPv4, isIPv6 } from 'node:net';
import { ResurgoError } from '../../domain/errors.ts';
import { canonicalName } from './provider.ts';

export const types = { A: 1, CNAME: 5, SOA: 6, AAAA: 28, TSIG: 250, ANY: 255 } as const;
export const classes = { IN: 1, NONE: 254, ANY: 255 } as const;
export const rcodes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED', 'YXDOMAIN', 'YXRRSET', 'NXRRSET', 'NOTAUTH', 'NOTZONE'] as const;
export const rcodeName = (code: number): string => rcodes[code] ?? `rcode ${code}`;

const malformed = (what: string): never => {
  throw new ResurgoError('dnsUnreachable', `the DNS server sent what is no DNS message: ${what}`);
};

/** A name in wire form, uncompressed and in lower case (the canonical form TSIG signs). @throws inputInvalid */
export function encodeName(name: string): Buffer {
  const canonical = canonicalName(name);
  if (canonical === '') return Buffer.from([0]);
  const labels = canonical.split('.').map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    if (bytes.length === 0 || bytes.length > 63 || !/^[\x21-\x7e]+$/.test(label)) throw new ResurgoError('inputInvalid', `${JSON.stringify(name)} is not a DNS name`);
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  const wire = Buffer.concat([...labels, Buffer.from([0])]);
  if (wire.length > 255) throw new ResurgoError('inputInvalid', `${JSON.stringify(name)} is too long for a DNS name`);
  return wire;
}

function parseIPv6(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part.split(':').filter(Boolean).flatMap((word) => {
      if (!word.includes('.')) return [Number.parseInt(word, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number);
      return [(a << 8) | b, (c << 8) | d];
    });
  const [left, right] = [words(head), tail === undefined ? [] : words(tail)];
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  const bytes = Buffer.alloc(16);
  all.forEach((word, i) => bytes.writeUInt16BE(word, i * 2));
  return bytes;
}

/** @throws inputInvalid when the value does not fit the type */
export function encodeValue(type: 'A' | 'AAAA' | 'CNAME', value: string): Buffer {
  if (type === 'CNAME') return encodeName(value);
  if (type === 'A' ? !isIPv4(value) : !isIPv6(value) || value.includes('%')) throw new ResurgoError('inputInvalid', `${JSON.stringify(value)} is not an address for a record of type ${type}`);
  return type === 'A' ? Buffer.from(value.split('.').map(Number)) : parseIPv6(value);
}

/** One form for the same address. */
export const normalValue = (type: 'A' | 'AAAA' | 'CNAME', value: string): string => (type === 'CNAME' ? canonicalName(value) : decodeValue(type, encodeValue(type, value)));

function decodeValue(type: 'A' | 'AAAA', bytes: Buffer): string {
  if (type === 'A') return [...bytes].join('.');
  return new URL(`http://[${bytes.toString('hex').replaceAll(/(.{4})(?=.)/g, '$1:')}]`).hostname.slice(1, -1);
}

export interface Rr {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly data: Buffer;
}

export function encodeRr(rr: Rr): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(rr.type, 0);
  fixed.writeUInt16BE(rr.class, 2);
  fixed.writeUInt32BE(rr.ttl, 4);
  fixed.writeUInt16BE(rr.data.length, 8);
  return Buffer.concat([encodeName(rr.name), fixed, rr.data]);
}

export interface Message {
  readonly id: number;
  readonly flags: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly ParsedRr[];
  readonly additional: readonly ParsedRr[];
}

export interface ParsedRr extends Rr {
  /** Where it begins and where its data begins in the message. */
  readonly at: number;
  readonly dataAt: number;
}

export function header(id: number, flags: number, counts: readonly [number, number, number, number]): Buffer {
  const bytes = Buffer.alloc(12);
  [id, flags, ...counts].forEach((value, i) => bytes.writeUInt16BE(value, i * 2));
  return bytes;
}

export function question(name: string, type: number): Buffer {
  const fixed = Buffer.alloc(4);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(classes.IN, 2);
  return Buffer.concat([encodeName(name), fixed]);
}

/** @returns the name and where it ends */
export function readName(message: Buffer, from: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = from;
  let end = -1;
  for (let hops = 0; ; ) {
    const length = message[at];
    if (length === undefined) return malformed('a name that does not end');
    if (length === 0) return { name: labels.join('.').toLowerCase(), end: end < 0 ? at + 1 : end };
    if ((length & 0xc0) === 0xc0) {
      if (end < 0) end = at + 2;
      at = ((length & 0x3f) << 8) | (message[at + 1] ?? malformed('a name that does not end'));
      if (++hops > 64) malformed('a name that refers to itself');
      continue;
    }
    if (length > 63) malformed('a name with an unknown label');
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
    if (labels.length > 128) malformed('a name of too many labels');
  }
}

export function parseMessage(bytes: Buffer): Message {
  try {
    const word = (i: number): number => bytes.readUInt16BE(i * 2);
    const flags = word(1);
    let at = 12;
    for (let i = 0; i < word(2); i++) at = readName(bytes, at).end + 4;
    const section = (count: number): ParsedRr[] =>
      Array.from({ length: count }, () => {
        const start = at;
        const { name, end } = readName(bytes, at);
        const length = bytes.readUInt16BE(end + 8);
        at = end + 10 + length;
        if (at > bytes.length) malformed('a record that is cut short');
        return { name, type: bytes.readUInt16BE(end), class: bytes.readUInt16BE(end + 2), ttl: bytes.readUInt32BE(end + 4), data: bytes.subarray(end + 10, at), at: start, dataAt: end + 10 };
      });
    const answers = section(word(3));
    section(word(4));
    return { id: word(0), flags, rcode: flags & 0xf, authoritative: (flags & 0x0400) !== 0, answers, additional: section(word(5)) };
  } catch (error) {
    if (error instanceof ResurgoError) throw error;
    return malformed((error as Error).message);
  }
}

/** Value of a record of an answer, as people write it. */
export function valueOf(message: Buffer, rr: ParsedRr): string {
  if (rr.type === types.A) return decodeValue('A', rr.data);
  if (rr.type === types.AAAA) return decodeValue('AAAA', rr.data);
  return readName(message, rr.dataAt).name;
}
