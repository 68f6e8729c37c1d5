import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((file) => existsSync(file));

/** What ends the demo with a reason; printed without a stack. */
export class DemoError extends Error {}

export interface RunOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly onLine?: (line: string, from: 'stdout' | 'stderr') => void;
}

export interface Ended {
  readonly code: number;
  readonly ms: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a program that dies with us. */
export function start(file: string, args: readonly string[], options: RunOptions, stdio: StdioOptions): ChildProcess {
  options.signal.throwIfAborted();
  const words = setpriv === undefined ? [file, ...args] : [setpriv, '--pdeathsig', 'KILL', '--', file, ...args];
  return spawn(words[0] as string, words.slice(1), { env: options.env, cwd: options.cwd, stdio });
}

/** Resolves when it has ended; an abort of the demo ends it first. */
export function ended(child: ChildProcess, name: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 1000).unref();
    };
    signal.addEventListener('abort', stop, { once: true });
    child.once('error', (error) => {
      reject(new DemoError(`${name} cannot be started: ${error.message}`));
    });
    child.once('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve(code ?? 128);
    });
  });
}

/** Runs a program to its end, telling each line as it comes. */
export async function run(file: string, args: readonly string[], options: RunOptions): Promise<Ended> {
  const began = performance.now();
  const child = start(file, args, options, ['ignore', 'pipe', 'pipe']);
  const text = { stdout: '', stderr: '' };
  for (const from of ['stdout', 'stderr'] as const) {
    const stream = child[from];
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (line) => {
      text[from] += `${line}\n`;
      options.onLine?.(line, from);
    });
  }
  const code = await ended(child, file, options.signal);
  return { code, ms: performance.now() - began, ...text };
}
