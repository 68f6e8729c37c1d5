/** A whole Resurgo for tests: configuration, keys, Temporal, workers as processes of their own, against a real PostgreSQL. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { loadConfig, type LoadedConfig } from '../../config/load.ts';
import { connect, type Connected } from '../../client/connect.ts';
import { startRun, type Runs, type StartedRun } from '../../client/operations.ts';
import { fromWorkflowError } from '../../client/workflow-error.ts';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { searchAttributeNames } from '../../workers/search-attributes.ts';
import { giveBundles, takeBundles } from './bundle-cache.ts';
import type { CrashPlan, Effect, StoreFault } from './crash/plan.ts';
import { ServerProcess, sleep, tail } from './server-process.ts';
import { startTemporal, type TemporalServer } from './temporal.ts';
import { tempDir, type TempDir } from './temp.ts';
import { checkout, toolsEnv } from './tools-env.ts';

export interface StackOptions {
  /** `targets:` of the configuration, by name, JSON that YAML takes. */
  readonly targets: Record<string, unknown>;
  /** Default: one disk repository `local`. */
  readonly repositories?: Record<string, unknown>;
  readonly policies?: readonly unknown[];
  /** More sections of the configuration. */
  readonly sections?: Readonly<Record<string, unknown>>;
  readonly env?: Record<string, string>;
  /** One server for several stacks, each in a namespace of its own; it is not stopped with them. Default: a server of its own. */
  readonly shared?: { readonly temporal: TemporalServer; readonly namespace: string };
}

export type { Effect } from './crash/plan.ts';

export class Stack {
  readonly dir: string;
  readonly configPath: string;
  readonly temporal: TemporalServer;
  private readonly work: TempDir;
  readonly namespace: string;
  private readonly env: Record<string, string>;
  private readonly ownTemporal: boolean;
  private worker: ServerProcess | undefined;
  private connected: Connected | undefined;
  private starts = 0;

  constructor(work: TempDir, temporal: TemporalServer, options: Pick<StackOptions, 'env' | 'shared'>) {
    this.work = work;
    this.namespace = options.shared?.namespace ?? 'default';
    this.ownTemporal = options.shared === undefined;
    this.dir = work.path;
    this.configPath = join(work.path, 'resurgo.yaml');
    this.temporal = temporal;
    this.env = options.env ?? {};
  }

  get loaded(): LoadedConfig {
    return loadConfig(this.configPath);
  }

  /** Files of the worker's host: run files, staging, spool, records. */
  get stateDir(): string {
    return join(this.dir, '.resurgo');
  }

  /** Where the worker keeps the workflow bundle. */
  private get bundles(): string {
    return join(this.stateDir, 'cache');
  }

  /** The worker that runs, or the next, kills itself there, or waits, once; counted from now. */
  arm(plan: CrashPlan): void {
    rmSync(join(this.dir, 'crashed.json'), { force: true });
    writeFileSync(join(this.dir, 'crash-plan.json'), JSON.stringify({ ...plan, nonce: this.starts + Math.random() }));
  }

  /** From the next activity on the worker's stores break so; counted anew. Without rules they are whole. */
  breakStores(...rules: StoreFault[]): void {
    writeFileSync(join(this.dir, 'store-faults.json'), rules.length === 0 ? '' : JSON.stringify(rules.map((rule) => ({ ...rule, nonce: Math.random() }))));
  }

  disarm(): void {
    rmSync(join(this.dir, 'crash-plan.json'), { force: true });
  }

  /** Waits until the place of the plan is reached. @throws when the worker is gone or nothing comes there */
  async reached(patienceMs = 240_000): Promise<void> {
    const until = Date.now() + patienceMs;
    while (!this.crashed) {
      if (!this.workerRuns || Date.now() > until) throw new Error(`the place of the plan is not reached: ${this.workerLog}`);
      await sleep(20);
    }
  }

  /** Lets the activity go on that a plan with `hold` holds up. */
  release(): void {
    rmSync(join(this.dir, 'crashed.json'), { force: true });
  }

  /** Waits until the run has been asked to cancel itself: Temporal has passed it on to it. */
  async askedToCancel(workflowId: string, patienceMs = 120_000): Promise<void> {
    const { client } = await this.client();
    for (const until = Date.now() + patienceMs; ; ) {
      const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
      if (events?.some((event) => event.workflowExecutionCancelRequestedEventAttributes != null) === true) return;
      if (Date.now() > until) throw new Error(`${workflowId} was never asked to cancel`);
      await sleep(50);
    }
  }

  /** Starts a worker process; with a plan it kills itself there, once. Another one that still runs (a zombie) is kept apart: see {@link detachWorker}. */
  async startWorker(crash?: CrashPlan): Promise<void> {
    if (crash !== undefined) this.arm(crash);
    this.starts++;
    takeBundles(this.bundles);
    const logFile = join(this.dir, `worker-${String(this.starts)}.log`);
    this.worker = new ServerProcess({
      name: `worker ${String(this.starts)}`,
      file: toolsEnv().node,
      args: ['--disable-warning=ExperimentalWarning', join(checkout, 'test/support/crash-worker.ts'), this.configPath],
      env: {
        ...process.env, ...this.env, TEMPORAL_ADDRESS: this.temporal.address, TEMPORAL_NAMESPACE: this.namespace, WORKER_HOST: 'test-host',
        EFFECT_LOG: join(this.dir, 'effects.jsonl'), CRASH_MARK: join(this.dir, 'crashed.json'), CRASH_PLAN_FILE: join(this.dir, 'crash-plan.json'), STORE_FAULTS: join(this.dir, 'store-faults.json'),
      },
      logFile,
    });
    await this.worker.ready(() => tail(logFile, 200).includes('worker is polling'), 330_000);
    giveBundles(this.bundles);
  }

  /** Gives the present worker out of hand, for example a stopped one; {@link startWorker} then starts another beside it. The caller ends it. */
  detachWorker(): ServerProcess {
    if (this.worker === undefined) throw new Error('no worker was started');
    const { worker } = this;
    this.worker = undefined;
    return worker;
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
    this.connected ??= await connect({ connection: { address: this.temporal.address }, namespace: this.namespace });
    return this.connected;
  }

  async start<T extends keyof Runs>(type: T, input: Runs[T]['input']): Promise<StartedRun<Runs[T]['result']>> {
    return startRun(await this.client(), type, input);
  }

  async run<T extends keyof Runs>(type: T, input: Runs[T]['input']): Promise<Runs[T]['result']> {
    return this.resultOf(await this.start(type, input));
  }

  /** Without asking the run how far it is meanwhile; across restarts of Temporal. */
  async resultOf<R>({ handle, workflowId }: StartedRun<R>): Promise<R> {
    for (let failures = 0; ; failures++) {
      try {
        return (await handle.result()) as R;
      } catch (error) {
        const known = fromWorkflowError(error, workflowId);
        if (known.code !== 'temporalUnreachable' || failures > 120) throw known;
        await sleep(500);
      }
    }
  }

  async stop(): Promise<void> {
    await this.connected?.connection.close();
    await this.worker?.end('SIGKILL');
    if (this.ownTemporal) await this.temporal.stop();
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
    ...options.sections,
  };
  writeFileSync(join(dir, 'resurgo.yaml'), JSON.stringify(config, null, 1), { mode: 0o600 });
  const temporal = options.shared?.temporal ?? (await startTemporal({ searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, 'Keyword' as const])) }));
  return new Stack(work, temporal, options);
}
