import { connect } from 'node:net';
import { ResurgoError } from '../../domain/errors.ts';

export interface DnsAddress {
  readonly host: string;
  readonly port: number;
}

/** `10.0.0.53`, `ns1:5353`, `[::1]:53`. */
export function parseAddress(text: string): DnsAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/]+))(?::(\d{1,5}))?$/.exec(text);
  if (!match) throw new ResurgoError('configInvalid', `${JSON.stringify(text)} is not an address of a DNS server`);
  return { host: match[1] ?? match[2] ?? '', port: Number(match[3] ?? 53) };
}

/** One question, one answer, over TCP: no truncation, no forged packet. @throws dnsUnreachable */
export function exchange(address: DnsAddress, message: Buffer, options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined }): Promise<Buffer> {
  const at = `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    const socket = connect(address.port, address.host);
    const pieces: Buffer[] = [];
    const fail = (reason: string, cause?: unknown): void => {
      socket.destroy();
      reject(new ResurgoError('dnsUnreachable', `The DNS server ${at} ${reason}.`, { cause }));
    };
    const timer = setTimeout(() => { fail(`gave no answer within ${options.timeoutMs} ms`); }, options.timeoutMs);
    const abort = (): void => { fail('was not waited for', options.signal?.reason); };
    options.signal?.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    });
    socket.on('data', (chunk) => {
      pieces.push(chunk);
      const all = Buffer.concat(pieces);
      if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) return;
      const answer = all.subarray(2, 2 + all.readUInt16BE(0));
      socket.destroy();
      if (answer.length < 12 || answer.readUInt16BE(0) !== message.readUInt16BE(0)) fail('answered another question');
      else resolve(Buffer.from(answer));
    });
    socket.once('error', (error) => { fail(`cannot be reached: ${error.message}`, error); });
    socket.once('close', () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      fail('closed the connection without an answer');
    });
  });
}
