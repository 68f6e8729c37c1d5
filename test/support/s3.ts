import { CreateBucketCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { type Resource, register, unregister } from './resources.ts';
import { ServerProcess, tail } from './server-process.ts';
import { type TempDir, tempDir } from './temp.ts';
import { toolsEnv } from './tools-env.ts';

/** Why there is no S3 server here, or undefined when there is: `test.skipIf(s3Missing() !== undefined)`. */
export const s3Missing = (): string | undefined =>
  toolsEnv().moto ? undefined : 'moto is not installed: node scripts/bootstrap.mjs moto';

export interface S3Options {
  /** Created on every start. Default `resurgo-test`. */
  readonly bucket?: string;
  /** Creates the bucket with object lock. */
  readonly objectLock?: boolean;
}

/** An S3 server (moto) on a free loopback port. It keeps objects in memory: a kill loses them, a pause does not. */
export class S3Server implements Resource {
  readonly port: number;
  readonly bucket: string;
  readonly region = 'us-east-1';
  readonly accessKeyId = 'resurgo-test';
  readonly secretAccessKey = 'resurgo-test-secret';
  private readonly objectLock: boolean;
  private readonly work: TempDir;
  private process: ServerProcess | undefined;

  constructor(work: TempDir, port: number, options: S3Options) {
    this.work = work;
    this.port = port;
    this.bucket = options.bucket ?? 'resurgo-test';
    this.objectLock = options.objectLock ?? false;
    register(this);
  }

  get name(): string {
    return `S3 (moto) on port ${String(this.port)}`;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${String(this.port)}`;
  }

  /** For `new S3Client(…)`. */
  get clientConfig(): S3ClientConfig {
    const { endpoint, region, accessKeyId, secretAccessKey } = this;
    return { endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } };
  }

  get isRunning(): boolean {
    return this.process?.isRunning ?? false;
  }

  get logFile(): string {
    return join(this.work.path, 'server.log');
  }

  log(lines = 50): string {
    return tail(this.logFile, lines);
  }

  /** Starts (again), with an empty bucket. */
  async start(): Promise<void> {
    if (this.isRunning) return;
    const { moto } = toolsEnv();
    if (!moto) throw new Error(s3Missing());
    const process_ = new ServerProcess({
      name: this.name,
      file: moto.python,
      args: ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(this.port)],
      env: {
        PATH: process.env['PATH'],
        HOME: this.work.path,
        TMPDIR: this.work.path,
        PYTHONPATH: moto.path,
        PYTHONDONTWRITEBYTECODE: '1',
      },
      cwd: this.work.path,
      logFile: this.logFile,
    });
    this.process = process_;
    await process_.ready(async () => {
      try {
        return (await fetch(`${this.endpoint}/moto-api/`, { signal: AbortSignal.timeout(2000) })).ok;
      } catch {
        return false;
      }
    });
    await this.createBucket(this.bucket);
  }

  async createBucket(bucket: string): Promise<void> {
    const client = new S3Client(this.clientConfig);
    try {
      await client.send(
        new CreateBucketCommand({ Bucket: bucket, ...(this.objectLock ? { ObjectLockEnabledForBucket: true } : {}) }),
      );
    } finally {
      client.destroy();
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.process?.end(signal);
  }

  /** Freezes it: requests hang and nothing is lost. */
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

/** @throws when moto is absent; see {@link s3Missing} */
export async function startS3(options: S3Options = {}): Promise<S3Server> {
  const server = new S3Server(tempDir('s3'), await freePort(), options);
  await server.start();
  return server;
}
