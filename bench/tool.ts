import { spawn } from 'node:child_process';
import { register, unregister, type Resource } from '../test/support/resources.ts';

export interface ToolOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Exit codes that are no failure; default 0. */
  readonly good?: readonly (number | string)[];
}

/** Runs a program to its end and returns what it wrote to stdout; it dies with us. @throws with its last words */
export async function runTool(command: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: a pipeline is ended as a whole.
    detached: true,
    env: { PATH: process.env['PATH'], LC_ALL: 'C', ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  };
  const resource: Resource = {
    name: `${command} ${args[0] ?? ''}`,
    stop: () => {
      kill();
      return Promise.resolve();
    },
    abandon: kill,
  };
  register(resource);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)));
  try {
    const how = await new Promise<number | string>((resolve) => {
      child.once('error', (error) => {
        resolve(error.message);
      });
      child.once('close', (code, signal) => {
        resolve(code ?? signal ?? 'unknown');
      });
    });
    if (!(options.good ?? [0]).includes(how)) throw new Error(`${command} ${args.join(' ')} ended with ${String(how)}:\n${stderr.trim()}`);
    return stdout;
  } finally {
    unregister(resource);
  }
}

/**
 * Runs a fixed shell text with arguments ($1 …): for peers that are pipelines. No value ever becomes part of the text.
 * @throws with its last words when any part of the pipeline fails
 */
export const runPipeline = (script: string, args: readonly string[], options: ToolOptions = {}): Promise<string> =>
  runTool('bash', ['-o', 'pipefail', '-c', script, 'bash', ...args], options);
