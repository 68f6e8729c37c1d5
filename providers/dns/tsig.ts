/** Transaction signatures (RFC 8945): what makes a server take an update from us, and us believe its answer. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import { classes, encodeName, encodeRr, parseMessage, readName, types } from './wire.ts';

export interface TsigKey {
  readonly name: string;
  readonly algorithm: 'hmac-sha1' | 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512';
  /** Base64. */
  readonly secret: string;
}

const fudgeSeconds = 300;
const errorNames: Readonly<Record<number, string>> = { 16: 'BADSIG: the secret is another one', 17: 'BADKEY: it does not know this key name or algorithm', 18: 'BADTIME: the clocks differ by more than 5 minutes', 22: 'BADTRUNC' };

const hmac = (key: TsigKey, ...pieces: readonly Buffer[]): Buffer => {
  const mac = createHmac(key.algorithm.slice(5), Buffer.from(key.secret, 'base64'));
  for (const piece of pieces) mac.update(piece);
  return mac.digest();
};

const short = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const time48 = (seconds: number): Buffer => {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(seconds, 0, 6);
  return bytes;
};
const variables = (key: TsigKey, time: Buffer, fudge: number, error: number, other: Buffer): Buffer =>
  Buffer.concat([encodeName(key.name), short(classes.ANY), Buffer.alloc(4), encodeName(key.algorithm), time, short(fudge), short(error), short(other.length), other]);

/** Signs a message that has no TSIG yet. @returns it with its signature, and the MAC the answer is bound to */
export function sign(message: Buffer, key: TsigKey, now = Date.now()): { message: Buffer; mac: Buffer } {
  const time = time48(Math.floor(now / 1000));
  const mac = hmac(key, message, variables(key, time, fudgeSeconds, 0, Buffer.alloc(0)));
  const data = Buffer.concat([encodeName(key.algorithm), time, short(fudgeSeconds), short(mac.length), mac, message.subarray(0, 2), short(0), short(0)]);
  const signed = Buffer.concat([message, encodeRr({ name: key.name, type: types.TSIG, class: classes.ANY, ttl: 0, data })]);
  signed.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  return { message: signed, mac };
}

/** @throws dnsRefused when the answer is not signed by the same key, or says that ours was not accepted */
export function verify(answer: Buffer, key: TsigKey, requestMac: Buffer, now = Date.now()): void {
  const refuse = (what: string): never => {
    throw new ResurgoError('dnsRefused', `the DNS server's answer is not signed as it should be: ${what} (key ${key.name})`);
  };
  const tsig = parseMessage(answer).additional.at(-1);
  if (tsig?.type !== types.TSIG) return refuse('there is no signature');
  const algorithm = readName(answer, tsig.dataAt);
  const at = algorithm.end;
  const time = answer.subarray(at, at + 6);
  const fudge = answer.readUInt16BE(at + 6);
  const size = answer.readUInt16BE(at + 8);
  const mac = answer.subarray(at + 10, at + 10 + size);
  const originalId = answer.subarray(at + 10 + size, at + 12 + size);
  const error = answer.readUInt16BE(at + 12 + size);
  const other = answer.subarray(at + 16 + size, at + 16 + size + answer.readUInt16BE(at + 14 + size));
  if (error !== 0) throw new ResurgoError('dnsRefused', `the DNS server does not accept the key ${key.name}: ${errorNames[error] ?? `error ${error}`}`);
  const bare = Buffer.from(answer.subarray(0, tsig.at));
  bare.writeUInt16BE(bare.readUInt16BE(10) - 1, 10);
  originalId.copy(bare, 0);
  const expected = hmac(key, short(requestMac.length), requestMac, bare, variables(key, time, fudge, error, other));
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) return refuse('the signature does not fit');
  if (Math.abs(now / 1000 - time.readUIntBE(0, 6)) > fudge) return refuse('it is too old');
}
