import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { freePort } from './ports.ts';
import { type Resource, register, unregister } from './resources.ts';
import { ServerProcess, sleep, tail } from './server-process.ts';
import { type TempDir, tempDir } from './temp.ts';
import { toolsEnv } from './tools-env.ts';

export type SearchAttributeType = 'Bool' | 'Datetime' | 'Double' | 'Int' | 'Keyword' | 'KeywordList' | 'Text';

export interface TemporalOptions {
  /** Keeps everything in this file. Default: a file of its own, so that a killed server comes back with its workflows. */
  readonly dbFile?: string;
  /** Everything in memory: a little faster, and gone with the process. */
  readonly inMemory?: boolean;
  readonly searchAttributes?: Readonly<Record<string, SearchAttributeType>>;
  /** Also serve the UI. Default false. */
  readonly ui?: boolean;
  /** More arguments of `temporal server start-dev`. */
  readonly args?: readonly string[];
}

/** A Temporal development server on free loopback ports, which it keeps across restarts. */
export class TemporalServer implements Resource {
  readonly port: number;
  readonly uiPort: number | undefined;
  readonly dbFile: string | undefined;
  private readonly work: TempDir;
  private readonly args: readonly string[];
  private readonly httpPort: number;
  private process: ServerProcess | undefined;

  constructor(
    work: TempDir,
    ports: { port: number; http: number; metrics: number; ui: number | undefined },
    options: TemporalOptions,
  ) {
    this.work = work;
    this.port = ports.port;
    this.uiPort = ports.ui;
    this.httpPort = ports.http;
    this.dbFile = options.inMemory ? undefined : (options.dbFile ?? join(work.path, 'temporal.db'));
    this.args = [
      ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(ports.port), '--http-port', String(ports.http)],
      ...['--metrics-port', String(ports.metrics), '--log-level', 'error'],
      ...(ports.ui === undefined ? ['--headless'] : ['--ui-port', String(ports.ui), '--ui-disable-news-fetch']),
      ...(this.dbFile === undefined
        ? []
        : [
            '--db-filename',
            this.dbFile,
            '--sqlite-pragma',
            'journal_mode=WAL',
            '--sqlite-pragma',
            'synchronous=NORMAL',
          ]),
      ...Object.entries(options.searchAttributes ?? {}).flatMap(([name, type]) => [
        '--search-attribute',
        `${name}=${type}`,
      ]),
      ...(options.args ?? []),
    ];
    register(this);
  }

  get name(): string {
    return `Temporal on ${this.address}`;
  }

  get address(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  get isRunning(): boolean {
    return this.process?.isRunning ?? false;
  }

  get pid(): number {
    return this.isRunning && this.process ? this.process.pid : -1;
  }

  log(lines = 50): string {
    return tail(join(this.work.path, 'server.log'), lines);
  }

  /** Starts (again), on the same file and ports, and waits until the namespace `default` answers. */
  async start(): Promise<void> {
    if (this.isRunning) return;
    const process_ = new ServerProcess({
      name: this.name,
      file: toolsEnv().temporal,
      args: this.args,
      // Its own settings only: no environment of the person who runs the tests.
      env: { PATH: process.env['PATH'], HOME: this.work.path, TMPDIR: this.work.path },
      cwd: this.work.path,
      logFile: join(this.work.path, 'server.log'),
    });
    this.process = process_;
    await process_.ready(async () => {
      try {
        return (
          await fetch(`http://127.0.0.1:${String(this.httpPort)}/api/v1/namespaces/default`, {
            signal: AbortSignal.timeout(2000),
          })
        ).ok;
      } catch {
        return false;
      }
    });
  }

  /** Makes a namespace and waits until it can be used. */
  async addNamespace(namespace: string): Promise<void> {
    const connection = await Connection.connect({ address: this.address });
    try {
      await connection.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: { seconds: 86_400 as never } });
      // Its caches are refreshed once in a while; until then workers are refused.
      for (const deadline = Date.now() + 240_000; ; ) {
        try {
          // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum is in no package of ours
          await connection.workflowService.describeTaskQueue({ namespace, taskQueue: { name: 'resurgo' }, taskQueueType: 1 });
          return;
        } catch (error) {
          if (Date.now() > deadline) throw error;
          await sleep(200);
        }
      }
    } finally {
      await connection.close();
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.process?.end(signal);
  }

  /** Freezes it, as a machine that hangs would; connections stay open and get no answer. */
  pause(): void {
    this.process?.signal('SIGSTOP');
  }

  resume(): void {
    this.process?.signal('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.process?.end('SIGKILL');
    await this.work.stop();
    unregister(this);
  }

  abandon(): void {
    this.process?.signal('SIGKILL');
  }
}

export async function startTemporal(options: TemporalOptions = {}): Promise<TemporalServer> {
  const ports = {
    port: await freePort(),
    http: await freePort(),
    metrics: await freePort(),
    ui: options.ui ? await freePort() : undefined,
  };
  const server = new TemporalServer(tempDir('temporal'), ports, options);
  await server.start();
  return server;
}
