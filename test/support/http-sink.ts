/** A service that takes what is posted to it, and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { register, unregister, type Resource } from './resources.ts';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly at: number;
  json(): Record<string, unknown>;
}

export class HttpSink implements Resource {
  readonly name = 'HTTP sink';
  readonly received: Received[] = [];
  /** Answers to the next requests, in order; then 200. */
  readonly answers: { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }[] = [];
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part)).on('end', () => {
        const body = Buffer.concat(parts).toString('utf8');
        this.received.push({ path: request.url ?? '', headers: request.headers, body, at: Date.now(), json: () => JSON.parse(body) as Record<string, unknown> });
        const { status, headers, body: text } = this.answers.shift() ?? { status: 200 };
        response.writeHead(status, headers).end(text ?? 'ok');
      });
    });
    register(this);
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => { resolve(); }));
    unregister(this);
  }

  abandon(): void {
    this.server.close();
  }
}

export const startSink = (): Promise<HttpSink> => new HttpSink().start();
