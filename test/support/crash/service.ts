import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type ServiceWord = 'stop' | 'start' | 'health';

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Hooks for a target whose service manager is the test: what they do happens here, in order, and is counted. */
export class TestService {
  readonly asked: ServiceWord[] = [];
  /** While it answers so, the hook of that word fails. */
  readonly failing = new Set<ServiceWord>();
  private readonly listener: Server;
  private readonly program: string;
  private last: Promise<void> = Promise.resolve();

  constructor(listener: Server, program: string) {
    this.listener = listener;
    this.program = program;
  }

  /** For `service:` of a target. */
  get config(): Record<string, unknown> {
    return { stop: [this.program, 'stop'], start: [this.program, 'start'], health: [this.program, 'health'], timeout: '10m' };
  }

  static async start(dir: string, act: (word: ServiceWord) => Promise<void>): Promise<TestService> {
    const socket = join(dir, 'service.sock');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const listener = createServer((connection) => {
      connection.setEncoding('utf8');
      connection.on('error', () => undefined);
      connection.once('data', (line) => {
        const word = String(line).trim() as ServiceWord;
        service.asked.push(word);
        // One at a time: the hook of a killed worker may still be at work here.
        service.last = service.last.then(() => act(word)).then(
          () => { connection.end(service.failing.has(word) ? `${word} fails as asked` : 'ok'); },
          (error: unknown) => { connection.end(error instanceof Error ? error.message : String(error)); },
        );
      });
    });
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(socket, resolve);
    });
    const program = join(dir, 'service');
    const client = fileURLToPath(new URL('service-client.mjs', import.meta.url));
    writeFileSync(program, `#!/bin/sh\nexec ${[process.execPath, client, socket].map(quoted).join(' ')} "$1"\n`, { mode: 0o700 });
    const service = new TestService(listener, program);
    return service;
  }

  async stop(): Promise<void> {
    await this.last;
    await new Promise<void>((resolve) => this.listener.close(() => { resolve(); }));
  }
}
