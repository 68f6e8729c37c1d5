import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Resource, register, unregister } from './resources.ts';

/** What happens to a request instead of (or around) passing it on. */
export type S3Fault =
  /** Answered by us, never passed on. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly code: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** The connection is cut, before or after the server did it. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  /** No answer at all. */
  | { readonly kind: 'hang' }
  /** The body of the answer is cut (connection closed early) after so many bytes. */
  | { readonly kind: 'truncate'; readonly bytes: number }
  /** One bit of the answer's body differs. */
  | { readonly kind: 'corrupt-answer' }
  /** One bit of the request's body differs: what is stored is not what was sent. */
  | { readonly kind: 'corrupt-request' }
  /** Headers of the answer are changed or, with '', dropped. */
  | { readonly kind: 'headers'; readonly set: Readonly<Record<string, string>> }
  /** Acknowledged and not passed on. */
  | { readonly kind: 'forget'; readonly headers: Readonly<Record<string, string>> };

export interface S3FaultRule {
  readonly fault: S3Fault;
  /** Against `PUT /bucket/key?query`. Default: any. */
  readonly match?: RegExp;
  /** How often. Default 1. */
  readonly times?: number;
}

/** In front of an S3 server: makes the faults that the emulator does not know. */
export class S3FaultProxy implements Resource {
  readonly name = 'S3 fault proxy';
  /** `PUT /bucket/key?query` of every request, in order. */
  readonly seen: string[] = [];
  /** Header lists, beside `seen`. */
  readonly headers: IncomingMessage['headers'][] = [];
  /** Most requests under way at once. */
  peak = 0;
  private open = 0;
  private readonly rules: { rule: S3FaultRule; left: number }[] = [];
  private readonly server: Server;
  private readonly upstream: URL;

  constructor(upstream: string) {
    this.upstream = new URL(upstream);
    this.server = createServer((req, res) => {
      this.peak = Math.max(this.peak, ++this.open);
      res.once('close', () => this.open--);
      this.handle(req, res).catch(() => req.socket.destroy());
    });
    register(this);
  }

  get endpoint(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  break(rule: S3FaultRule): void {
    this.rules.push({ rule, left: rule.times ?? 1 });
  }

  /** Forgets rules and what was seen. */
  reset(): void {
    this.rules.length = 0;
    this.seen.length = 0;
    this.headers.length = 0;
  }

  count(match: RegExp): number {
    return this.seen.filter((line) => match.test(line)).length;
  }

  async stop(): Promise<void> {
    unregister(this);
    this.server.closeAllConnections();
    await new Promise<void>((resolve) =>
      this.server.close(() => {
        resolve();
      }),
    );
  }

  abandon(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const line = `${req.method ?? ''} ${req.url ?? ''}`;
    this.seen.push(line);
    this.headers.push(req.headers);
    const entry = this.rules.find(({ rule, left }) => left > 0 && (rule.match === undefined || rule.match.test(line)));
    if (entry !== undefined) entry.left--;
    const fault = entry?.rule.fault;
    if (fault?.kind === 'reset' && fault.when === 'before') {
      req.socket.resetAndDestroy();
      return;
    }
    const body = await readAll(req);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'answer') {
      res.writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers });
      res.end(
        req.method === 'HEAD'
          ? ''
          : (fault.body ??
              `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${fault.code}</Code><Message>injected</Message></Error>`),
      );
      return;
    }
    if (fault?.kind === 'forget') {
      res.writeHead(200, fault.headers).end();
      return;
    }
    const answer = await this.pass(req, fault?.kind === 'corrupt-request' ? flip(body) : body);
    if (fault?.kind === 'reset') {
      req.socket.resetAndDestroy();
      return;
    }
    const headers: Record<string, string | string[] | undefined> = { ...answer.headers };
    delete headers['transfer-encoding'];
    if (req.method !== 'HEAD') headers['content-length'] = String(answer.body.length);
    if (fault?.kind === 'headers')
      for (const [key, value] of Object.entries(fault.set)) headers[key] = value === '' ? undefined : value;
    for (const key of Object.keys(headers)) if (headers[key] === undefined) delete headers[key];
    res.writeHead(answer.status, headers as Record<string, string>);
    if (fault?.kind === 'truncate') res.write(answer.body.subarray(0, fault.bytes), () => req.socket.destroy());
    else res.end(fault?.kind === 'corrupt-answer' ? flip(answer.body) : answer.body);
  }

  private async pass(
    req: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const onward = request(
        {
          host: this.upstream.hostname,
          port: this.upstream.port,
          method: req.method,
          path: req.url,
          headers: req.headers,
          agent: false,
        },
        resolve,
      );
      onward.on('error', reject);
      onward.end(body);
    });
    return { status: answer.statusCode ?? 500, headers: answer.headers, body: await readAll(answer) };
  }
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function flip(body: Buffer): Buffer {
  const copy = Buffer.from(body);
  if (copy.length > 0) copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}
