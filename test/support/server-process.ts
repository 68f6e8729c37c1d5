import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import type { RunAs } from './run-as.ts';

export interface ServerCommand {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly runAs?: RunAs | undefined;
  readonly cwd?: string;
  /** Output goes here, appended. */
  readonly logFile: string;
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((file) => existsSync(file));

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const tail = (file: string, lines = 20): string => {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
};

export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

/** One server process that dies with us (Linux: the kernel sees to it, whatever ends us). */
export class ServerProcess {
  readonly command: ServerCommand;
  readonly child: ChildProcess;
  readonly ended: Promise<void>;

  constructor(command: ServerCommand) {
    this.command = command;
    const log = openSync(command.logFile, 'a', 0o600);
    const file = setpriv ?? command.file;
    const args = setpriv ? ['--pdeathsig', 'KILL', '--', command.file, ...command.args] : [...command.args];
    this.child = spawn(file, args, {
      stdio: ['ignore', log, log],
      env: command.env ?? process.env,
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      ...(command.runAs === undefined ? {} : { uid: command.runAs.uid, gid: command.runAs.gid }),
    });
    closeSync(log);
    this.ended = new Promise((resolve) => {
      this.child.once('exit', () => {
        resolve();
      });
      this.child.once('error', () => {
        resolve();
      });
    });
    // A server nobody stopped must not keep a test process alive; the exit handlers end it.
    this.child.unref();
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get isRunning(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(signal);
  }

  /** Resolves when it is gone; sends SIGKILL when the first signal has not ended it in time. */
  async end(signal: NodeJS.Signals, patienceMs = 20_000): Promise<void> {
    // A stopped process takes no signal but these two.
    this.signal('SIGCONT');
    this.signal(signal);
    const timer = setTimeout(() => {
      this.signal('SIGKILL');
    }, patienceMs);
    this.child.ref();
    await this.ended;
    clearTimeout(timer);
  }

  /** Waits until `isReady` says so. @throws when the process ends before, with the end of its log. */
  async ready(isReady: () => Promise<boolean> | boolean, timeoutMs = 240_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (!this.isRunning) throw new Error(`${this.command.name} ended while starting:\n${tail(this.command.logFile)}`);
      if (await isReady()) return;
      if (Date.now() > deadline)
        throw new Error(
          `${this.command.name} was not ready within ${String(timeoutMs)} ms:\n${tail(this.command.logFile)}`,
        );
      await sleep(25);
    }
  }
}
