import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkout } from './tools-env.ts';

export interface CliRun {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The one document on stdout; fails when there is anything else. */
  readonly json: () => unknown;
}

export interface CliOptions {
  readonly cwd: string;
  /** Over a clean environment: nothing of the tester's own Temporal or AWS settings gets in. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** A program with arguments that becomes it, for example one that gives up privileges. */
  readonly via?: readonly string[];
  /** Called once, when this text has appeared on stdout or stderr. */
  readonly on?: { readonly text: string; readonly then: (kill: (signal: NodeJS.Signals) => void) => void };
}

const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'RESURGO_TEST_RUN', 'NODE_COMPILE_CACHE'];

/** Runs `bin/resurgo` as a person would and waits for its end. */
export async function runCli(args: readonly string[], options: CliOptions): Promise<CliRun> {
  const base = Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const words = [...(options.via ?? []), process.execPath, join(checkout, 'bin/resurgo'), ...args];
  const child = spawn(words[0] as string, words.slice(1), {
    cwd: options.cwd,
    env: { ...base, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  let waiting = options.on;
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
      if (waiting === undefined || !texts[name].includes(waiting.text)) return;
      const { then } = waiting;
      waiting = undefined;
      then((signal) => child.kill(signal));
    });
  }
  child.stdin.on('error', () => undefined).end(options.input ?? '');
  const [exitCode, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject).on('close', (code, by) => {
      resolve([code, by]);
    });
  });
  return { exitCode, signal, ...texts, json: () => JSON.parse(texts.stdout) as unknown };
}
