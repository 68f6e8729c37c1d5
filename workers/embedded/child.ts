import { spawn, type ChildProcess } from 'node:child_process';
import { parentDeathPrefix } from '../../providers/host/tool-command.ts';

export interface ChildSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A line the child wrote to stdout or stderr. */
  readonly onLine: (line: string) => void;
  readonly onMessage?: (message: unknown) => void;
  readonly onExit: (how: string) => void;
}

/** A part of the all-in-one: it dies with us, even when we are killed. */
export class Child {
  readonly spec: ChildSpec;
  private readonly process: ChildProcess;
  private exited = false;
  readonly gone: Promise<void>;

  constructor(spec: ChildSpec) {
    this.spec = spec;
    const words = [...parentDeathPrefix(), spec.command, ...spec.args];
    this.process = spawn(words[0] as string, words.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe', ...(spec.onMessage === undefined ? [] : (['ipc'] as const))],
      env: spec.env ?? process.env,
      // A group of its own: Ctrl-C goes to us alone, and we stop the parts in order.
      detached: true,
    });
    this.gone = new Promise((resolve) => {
      const end = (how: string): void => {
        if (this.exited) return;
        this.exited = true;
        spec.onExit(how);
        resolve();
      };
      this.process.once('error', (error) => { end(error.message); });
      this.process.once('exit', (code, signal) => { end(signal === null ? `exit code ${String(code)}` : signal); });
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      let rest = '';
      stream?.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) spec.onLine(line);
      });
    }
    if (spec.onMessage !== undefined) this.process.on('message', spec.onMessage);
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Tells the child something; one that is gone hears nothing. */
  send(message: Readonly<Record<string, unknown>>): void {
    if (this.process.connected) this.process.send(message, () => undefined);
  }

  /** SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    if (this.exited) return;
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), graceMs);
    await this.gone;
    clearTimeout(timer);
  }
}
