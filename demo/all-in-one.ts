import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type UpState, readUpState } from '../client/up-state.ts';
import { ServerProcess, checkout, sleep } from '../test/support/index.ts';
import { DemoError } from './children.ts';
import type { Stage } from './stage.ts';

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

/** `resurgo up`, started as a person would leave it running in a second terminal. */
export class AllInOne {
  readonly state: UpState;
  readonly logFile: string;
  private readonly process: ServerProcess;
  private read = 0;

  private constructor(process: ServerProcess, state: UpState, logFile: string) {
    this.process = process;
    this.state = state;
    this.logFile = logFile;
    this.read = read(logFile).length;
  }

  /** @throws Error with the end of its log when it does not come up */
  static async start(stage: Stage): Promise<AllInOne> {
    const logFile = join(stage.logs, 'up.log');
    const process_ = new ServerProcess({
      name: 'resurgo up',
      file: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', join(checkout, 'bin', 'resurgo'), 'up'],
      env: stage.env,
      cwd: stage.dir,
      logFile,
    });
    stage.onStop(async () => process_.end('SIGTERM'));
    const before = read(logFile).length;
    let state: UpState | undefined;
    await process_.ready(async () => {
      stage.signal.throwIfAborted();
      state = await readUpState(join(stage.dir, '.resurgo'));
      return state?.ready === true && read(logFile).slice(before).includes('ready in');
    });
    if (state === undefined) throw new DemoError('resurgo up wrote no state');
    return new AllInOne(process_, state, logFile);
  }

  /** Ctrl-C: runs go on at the next start. */
  async stop(): Promise<void> {
    await this.process.end('SIGTERM', 30_000);
  }

  /** What it has written since the last call. */
  news(): string[] {
    const text = read(this.logFile);
    const lines = text
      .slice(this.read)
      .split('\n')
      .filter((line) => line.trim() !== '');
    this.read = text.length;
    return lines;
  }

  said(): string[] {
    return read(this.logFile)
      .split('\n')
      .filter((line) => line.trim() !== '');
  }

  /** Process id of the worker it runs just now. */
  workerPid(): number | undefined {
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const stat = read(`/proc/${name}/stat`);
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(parent) !== this.process.pid || state === 'Z') continue;
      if (read(`/proc/${name}/cmdline`).split('\0').includes('worker')) return Number(name);
    }
    return undefined;
  }

  /** Waits for a worker that is another process than `old`. */
  async anotherWorker(old: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      const pid = this.workerPid();
      if (pid !== undefined && pid !== old) return pid;
      await sleep(50);
    }
  }
}
