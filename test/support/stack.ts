/** A whole Resurgo for tests: configuration, keys, Temporal, workers as processes of their own, against a real PostgreSQL. */
import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { loadConfig, type LoadedConfig } from '../../config/load.ts';
import { connect, type Connected } from '../../client/connect.ts';
import { startRun, type Runs, type StartedRun } from '../../client/operations.ts';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { searchAttributeNames } from '../../workers/search-attributes.ts';
import type { CrashPlan } from './crash-worker.ts';
import { ServerProcess, tail } from './server-process.ts';
import { startTemporal, type TemporalServer } from './temporal.ts';
import { tempDir, type TempDir } from './temp.ts';
import { checkout, toolsEnv } from './tools-env.ts';

export interface StackOptions {
  /** `targets:` of the configuration, by name, JSON that YAML takes. */
  readonly targets: Record<string, unknown>;
  /** Default: one disk repository `local`. */
  readonly repositories?: Record<string, unknown>;
  readonly policies?: readonly unknown[];
  readonly env?: Record<string, string>;
}

export interface Effect {
  readonly pid: number;
  readonly started?: string;
  readonly store?: string;
  readonly operation?: string;
  readonly key?: string;
  readonly bytes?: number;
  readonly activity?: string;
}

export class Stack {
  readonly dir: string;
  readonly configPath: string;
  readonly temporal: TemporalServer;
  private readonly work: TempDir;
  private readonly env: Record<string, string>;
  private worker: ServerProcess | undefined;
  private connected: Connected | undefined;
  private starts = 0;

  constructor(work: TempDir, temporal: TemporalServer, env: Record<string, string>) {
    this.work = work;
    this.dir = work.path;
    this.configPath = join(work.path, 'resurgo.yaml');
    this.temporal = temporal;
    this.env = env;
  }

  get loaded(): LoadedConfig {
    return loadConfig(this.configPath);
  }

  /** Starts a worker process; with a plan it kills itself there, once. */
  async startWorker(crash?: CrashPlan): Promise<void> {
    this.starts++;
    const logFile = join(this.dir, `worker-${String(this.starts)}.log`);
    this.worker = new ServerProcess({
      name: `worker ${String(this.starts)}`,
      file: toolsEnv().node,
      args: ['--disable-warning=ExperimentalWarning', join(checkout, 'test/support/crash-worker.ts'), this.configPath],
      env: {
        ...process.env, ...this.env, TEMPORAL_ADDRESS: this.temporal.address, TEMPORAL_NAMESPACE: 'default', WORKER_HOST: 'test-host',
        EFFECT_LOG: join(this.dir, 'effects.jsonl'), CRASH_MARK: join(this.dir, 'crashed.json'), ...(crash === undefined ? {} : { CRASH_PLAN: JSON.stringify(crash) }),
      },
      logFile,
    });
    await this.worker.ready(() => tail(logFile, 200).includes('worker is polling'));
  }

  get workerPid(): number {
    return this.worker?.pid ?? -1;
  }

  get workerRuns(): boolean {
    return this.worker?.isRunning ?? false;
  }

  get workerLog(): string {
    return tail(join(this.dir, `worker-${String(this.starts)}.log`), 60);
  }

  async stopWorker(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.worker?.end(signal);
  }

  /** Resolves when the worker has died by itself. */
  async workerDeath(): Promise<void> {
    await this.worker?.ended;
  }

  /** Whether the crash plan was carried out. */
  get crashed(): boolean {
    return existsSync(join(this.dir, 'crashed.json'));
  }

  effects(): Effect[] {
    const path = join(this.dir, 'effects.jsonl');
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').filter(Boolean).map((line) => JSON.parse(line) as Effect) : [];
  }

  async client(): Promise<Connected> {
    this.connected ??= await connect({ connection: { address: this.temporal.address }, namespace: 'default' });
    return this.connected;
  }

  async start<T extends keyof Runs>(type: T, input: Runs[T]['input']): Promise<StartedRun<Runs[T]['result']>> {
    return startRun(await this.client(), type, input);
  }

  async run<T extends keyof Runs>(type: T, input: Runs[T]['input']): Promise<Runs[T]['result']> {
    return (await this.start(type, input)).follow(() => undefined);
  }

  async stop(): Promise<void> {
    await this.connected?.connection.close();
    await this.worker?.end('SIGKILL');
    await this.temporal.stop();
    await this.work.stop();
  }
}

/** Keys, configuration and Temporal are there; start a worker with {@link Stack.startWorker}. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const work = tempDir('stack');
  const dir = work.path;
  const identity = await generateIdentity();
  await writeFile(join(dir, 'resurgo.key'), `${identity}\n`, { mode: 0o600 });
  await writeFile(join(dir, 'resurgo-host.key'), formatHostKey(await generateHostKey()), { mode: 0o600 });
  await mkdir(join(dir, 'repo'), { mode: 0o700 });
  const config = {
    version: 1,
    encryption: { recipients: [await identityToRecipient(identity)], identity: { file: './resurgo.key' } },
    repositories: options.repositories ?? { local: { type: 'disk', path: './repo' } },
    targets: options.targets,
    ...(options.policies === undefined ? {} : { policies: options.policies }),
  };
  writeFileSync(join(dir, 'resurgo.yaml'), JSON.stringify(config, null, 1), { mode: 0o600 });
  const temporal = await startTemporal({ searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, 'Keyword' as const])) });
  return new Stack(work, temporal, options.env ?? {});
}
