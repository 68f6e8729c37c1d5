import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connected } from '../client/connect.ts';
import type { WorkflowHandle } from '@temporalio/client';
import { fromWorkflowError } from '../client/workflow-error.ts';
import { startRun } from '../client/operations.ts';
import { readUpState } from '../client/up-state.ts';
import type { DrillInput, DrillResult } from '../domain/drill.ts';
import type { BackupInput, BackupResult, RestoreInput, RestoreResult } from '../domain/operations.ts';
import {
  checkout,
  ServerProcess,
  tempDir,
  toolsEnv,
  type Resource,
  type TempDir,
} from '../test/support/index.ts';
import { register, unregister } from '../test/support/resources.ts';
import { runTool } from './tool.ts';
import type { Sample } from './types.ts';

/** A target as in the configuration. */
export type Target = Readonly<Record<string, unknown>>;

/** Our side: a configuration with a disk repository, and `resurgo up` on it, as a person would run it. */
export class ResurgoHost implements Resource {
  readonly name = 'resurgo up';
  readonly stateDir: string;
  private readonly work: TempDir;
  private process: ServerProcess | undefined;
  private connected: Connected | undefined;

  private constructor(work: TempDir) {
    this.work = work;
    this.stateDir = join(work.path, '.resurgo');
    register(this);
  }

  /** Makes keys and configuration as `resurgo init` does. The server is not started yet. */
  static async create(
    targets: Readonly<Record<string, Target>>,
    sections: Readonly<Record<string, unknown>> = {},
  ): Promise<ResurgoHost> {
    const work = tempDir('bench');
    const config = join(work.path, 'resurgo.yaml');
    await runTool(process.execPath, [join(checkout, 'bin', 'resurgo'), 'init', '--config', config]);
    const recipient = /recipients: \[(age1[0-9a-z]+)\]/.exec(readFileSync(config, 'utf8'))?.[1];
    // JSON is YAML.
    writeFileSync(
      config,
      JSON.stringify({
        version: 1,
        encryption: { recipients: [recipient], identity: { file: './resurgo.key' } },
        repositories: { local: { type: 'disk', path: './backups' } },
        targets,
        ...sections,
      }),
    );
    return new ResurgoHost(work);
  }

  get dir(): string {
    return this.work.path;
  }

  /** Other sections in the configuration, for the commands that follow. */
  configure(sections: Readonly<Record<string, unknown>>): void {
    const path = join(this.dir, 'resurgo.yaml');
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...sections }));
  }

  /** A command of ours as a person gives it. Its stdout. @throws with its last words, when its exit code is none of `good` */
  async cli(args: readonly string[], good: readonly number[] = [0]): Promise<string> {
    return runTool(process.execPath, [...nodeFlags(), join(checkout, 'bin', 'resurgo'), ...args, '--config', join(this.dir, 'resurgo.yaml')], { env: cleanEnvironment(this.dir) as Record<string, string>, good });
  }

  /** Empty directory of its own for a restore; `remove` it after. */
  directory(name: string): TempDir {
    return tempDir(name);
  }

  /** Starts `resurgo up`; seconds until it is ready. */
  async start(): Promise<number> {
    const begun = performance.now();
    this.process = new ServerProcess({
      name: this.name,
      file: process.execPath,
      args: [
        ...nodeFlags(),
        join(checkout, 'bin', 'resurgo'),
        'up',
        '--verbose',
        '--config',
        join(this.work.path, 'resurgo.yaml'),
      ],
      env: cleanEnvironment(this.work.path),
      logFile: join(this.work.path, 'up.log'),
    });
    await this.process.ready(async () => (await readUpState(this.stateDir))?.ready === true);
    const took = (performance.now() - begun) / 1000;
    const state = await readUpState(this.stateDir);
    if (state === undefined) throw new Error('resurgo up ended at once');
    this.connected = await connect({ connection: { address: state.address }, namespace: state.namespace });
    return took;
  }

  /** @throws when it was not started */
  get client(): Connected {
    if (this.connected === undefined) throw new Error('resurgo up does not run');
    return this.connected;
  }

  get pid(): number {
    return this.process?.pid ?? -1;
  }

  /** From the start of the workflow to its result. @throws when it is not verified everywhere */
  async backup(input: BackupInput): Promise<Sample & { readonly result: BackupResult; readonly workflowId: string }> {
    const begun = performance.now();
    const run = await startRun(this.client, 'backup', input);
    const result = (await resultOf(run.handle)) as BackupResult;
    const value = (performance.now() - begun) / 1000;
    if (result.status !== 'verified' || !result.complete)
      throw new Error(`backup of ${input.target}: ${JSON.stringify(result)}`);
    if (input.kind !== undefined && result.kind !== input.kind)
      throw new Error(`backup of ${input.target} became ${result.kind}: ${result.warnings.join('; ')}`);
    return { value, storedBytes: result.bytes.stored, result, workflowId: run.workflowId };
  }

  /** From the start of the workflow to its result. @throws when it is not restored */
  async restore(input: RestoreInput): Promise<Sample & { readonly result: RestoreResult }> {
    const begun = performance.now();
    const run = await startRun(this.client, 'restore', input);
    const result = (await resultOf(run.handle)) as RestoreResult;
    const value = (performance.now() - begun) / 1000;
    if (!result.status.startsWith('restored')) throw new Error(`restore of ${input.target}: ${JSON.stringify(result)}`);
    return { value, result };
  }

  /** From the start of the workflow to its result. @throws when it has not passed, or something was left behind */
  async drill(input: DrillInput): Promise<Sample> {
    const begun = performance.now();
    const run = await startRun(this.client, 'drill', input);
    const result = (await resultOf(run.handle)) as DrillResult;
    const value = (performance.now() - begun) / 1000;
    if (result.status !== 'passed' || !result.cleanedUp) throw new Error(`drill of ${input.target}: ${JSON.stringify(result)}`);
    return { value };
  }

  /** Ends it; the state stays, and `start` takes it up again. */
  async shutdown(): Promise<void> {
    await this.connected?.connection.close();
    this.connected = undefined;
    await this.process?.end('SIGTERM', 60_000);
    this.process = undefined;
  }

  async stop(): Promise<void> {
    unregister(this);
    await this.shutdown();
    await this.work.stop();
  }

  abandon(): void {
    this.process?.signal('SIGKILL');
  }

  log(): string {
    return readFileSync(join(this.work.path, 'up.log'), 'utf8').trimEnd().split('\n').slice(-30).join('\n');
  }
}

/** Its result, or its error in our words. */
const resultOf = async (handle: WorkflowHandle): Promise<unknown> =>
  handle.result().catch((error: unknown) => {
    throw fromWorkflowError(error, handle.workflowId);
  });

/** For profiling: RESURGO_BENCH_NODE="--cpu-prof --cpu-prof-dir=/tmp/profiles". */
const nodeFlags = (): string[] => (process.env['RESURGO_BENCH_NODE'] ?? '').split(' ').filter(Boolean);

/** Nothing of the person's own settings for Temporal or PostgreSQL. */
function cleanEnvironment(home: string): NodeJS.ProcessEnv {
  const mark = process.env['RESURGO_TEST_RUN'];
  return {
    PATH: process.env['PATH'],
    HOME: home,
    TMPDIR: home,
    XDG_CONFIG_HOME: home,
    TEMPORAL_CLI_PATH: toolsEnv().temporal,
    // Tests find by this what was left running.
    ...(mark === undefined ? {} : { RESURGO_TEST_RUN: mark }),
  };
}
