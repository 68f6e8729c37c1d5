/** A front of the AWS emulator that shows what it cannot: states on the way, failures, throttling. Everything else passes through. */
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { freePort } from './ports.ts';
import { type Resource, register, unregister } from './resources.ts';

export interface AwsCall {
  /** `CreateDBSnapshot` (query protocol), `UpdateService` (X-Amz-Target without its prefix), or `POST /2013-04-01/hostedzone/…` (REST). */
  readonly action: string;
  readonly body: string;
  /** From the credential scope of the signature. */
  readonly region: string;
}

export interface AwsRule {
  /** Action, or an expression on it. */
  readonly on: string | RegExp;
  readonly when?: (call: AwsCall) => boolean;
  /** How often; default always. */
  readonly times?: number;
  /** Answers in place of the emulator. */
  readonly answer?: (call: AwsCall) => { readonly status: number; readonly body: string; readonly type?: string };
  /** Changes the emulator's answer. */
  readonly rewrite?: (body: string, call: AwsCall) => string;
  /** The emulator does it, and the answer is lost: the connection is cut. */
  readonly loseAnswer?: boolean;
}

/** An error of the query protocol (RDS, CloudWatch …). */
export const queryError = (code: string, message: string, status = 400): { status: number; body: string; type: string } => ({
  status, type: 'text/xml', body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>test</RequestId></ErrorResponse>`,
});

/** An error of the JSON protocols (ECS …). */
export const jsonError = (code: string, message: string, status = 400): { status: number; body: string; type: string } => ({
  status, type: 'application/x-amz-json-1.1', body: JSON.stringify({ __type: code, message }),
});

export class AwsFront implements Resource {
  readonly port: number;
  readonly calls: AwsCall[] = [];
  private readonly backend: number;
  private readonly server: Server;
  private rules: { readonly rule: AwsRule; left: number }[] = [];

  constructor(backend: number, port: number) {
    this.backend = backend;
    this.port = port;
    this.server = createServer((incoming, outgoing) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        const raw = Buffer.concat(chunks);
        const call = callOf(incoming, raw.toString('utf8'));
        this.calls.push(call);
        const rule = this.take(call);
        const given = rule?.answer?.(call);
        if (given !== undefined) {
          outgoing.writeHead(given.status, { 'content-type': given.type ?? 'text/xml' }).end(given.body);
          return;
        }
        const forward = request({ host: '127.0.0.1', port: this.backend, method: incoming.method, path: incoming.url, headers: incoming.headers }, (answer) => {
          const parts: Buffer[] = [];
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.on('end', () => {
            if (rule?.loseAnswer === true) {
              incoming.socket.destroy();
              return;
            }
            const text = Buffer.concat(parts);
            const body = rule?.rewrite === undefined ? text : Buffer.from(rule.rewrite(text.toString('utf8'), call));
            const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers;
            outgoing.writeHead(answer.statusCode ?? 500, { ...headers, 'content-length': body.length }).end(body);
          });
        });
        forward.on('error', () => incoming.socket.destroy());
        forward.end(raw);
      });
    });
    register(this);
  }

  get name(): string {
    return `AWS front on port ${String(this.port)}`;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${String(this.port)}`;
  }

  /** The first rule that fits decides. */
  script(...rules: readonly AwsRule[]): void {
    this.rules = rules.map((rule) => ({ rule, left: rule.times ?? Infinity }));
  }

  count(action: string): number {
    return this.calls.filter((call) => call.action === action).length;
  }

  private take(call: AwsCall): AwsRule | undefined {
    const found = this.rules.find(({ rule, left }) => left > 0 && (typeof rule.on === 'string' ? rule.on === call.action : rule.on.test(call.action)) && (rule.when?.(call) ?? true));
    if (found !== undefined) found.left--;
    return found?.rule;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject).listen(this.port, '127.0.0.1', resolve);
    });
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => { this.server.close(() => { resolve(); }); });
    unregister(this);
  }

  abandon(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

function callOf(incoming: IncomingMessage, body: string): AwsCall {
  const target = incoming.headers['x-amz-target'];
  const action = (typeof target === 'string' ? target.split('.').at(-1) : undefined) ?? /(?:^|&)Action=([A-Za-z0-9]+)/.exec(body)?.[1] ?? `${incoming.method ?? ''} ${incoming.url ?? ''}`;
  return { action, body, region: /Credential=[^/]+\/\d+\/([a-z0-9-]+)\//.exec(incoming.headers.authorization ?? '')?.[1] ?? '' };
}

/** @param backend port of the emulator, as `startS3().port` */
export async function startAwsFront(backend: number): Promise<AwsFront> {
  const front = new AwsFront(backend, await freePort());
  await front.start();
  return front;
}
