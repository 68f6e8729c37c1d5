import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

import { ResurgoError } from '../../domain/errors.ts';
import { describeCommand, parentDeathPrefix, redactSecrets, resolveTool, toolEnvironment } from './tool-command.ts';

export interface StartOptions {
  /** Program name (looked up in PATH) or path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the few inherited variables; undefined removes one. Secrets belong here or in `input`, never in `args`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Run as this user and group (needs root). */
  readonly uid?: number;
  readonly gid?: number;
  /** Written to standard input, which is then closed. Without it standard input is empty. */
  readonly input?: string | Uint8Array;
  /** Standard input as a stream, {@link RunningTool.stdin}, which the caller ends; in place of `input`. */
  readonly pipeInput?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Ends the program when it runs longer. Milliseconds. */
  readonly timeoutMs?: number;
  /** Between SIGTERM and SIGKILL when it is ended. Milliseconds, default 5000. */
  readonly graceMs?: number;
  /** Exit codes that are no failure. Default `[0]`. */
  readonly okExitCodes?: readonly number[];
  /** Last bytes of standard error that are kept. Default 16 KiB. */
  readonly stderrLimit?: number;
  /** Each full line of standard error, as it comes. */
  readonly onStderrLine?: (line: string) => void;
}

export interface ToolOptions extends StartOptions {
  /** Gets standard output as it comes; the program waits while the returned promise is pending. Nothing is kept then. */
  readonly onStdout?: (chunk: Buffer) => Promise<void> | void;
  /** Most bytes of standard output that are kept; more is toolFailed. Default 16 MiB. */
  readonly stdoutLimit?: number;
}

export interface ToolEnd {
  /** The last bytes, without passwords. */
  readonly stderr: string;
  readonly exitCode: number;
  readonly durationMs: number;
}

export interface ToolResult extends ToolEnd {
  readonly stdout: string;
}

export interface RunningTool {
  readonly pid: number;
  /** Must be read to its end (or destroyed), or the program waits for ever. */
  readonly stdout: Readable;
  /** With `pipeInput`. A program that ended early is no error of the stream: `done` tells why. */
  readonly stdin?: Writable;
  /** @throws toolFailed, cancelled */
  readonly done: Promise<ToolEnd>;
  /** Holds or releases the whole process group (SIGSTOP, SIGCONT): back-pressure on a program that writes files. */
  readonly hold: (held: boolean) => void;
  /** SIGTERM to the process group, SIGKILL after the grace time; `done` then rejects with `reason`. */
  readonly stop: (reason: unknown) => void;
}

const signalGroup = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(-pid, name);
  } catch {
    // Gone already, which is what was wanted.
  }
};

/** After the program itself ended, output held open by a daemon it left behind (a service started by a hook) is not waited for. */
const orphanedOutputMs = 2000;

const closeOrphanedOutput = (child: ChildProcess, lastOutput: () => number): void => {
  const { stdout, stderr } = child;
  const timer = setInterval(() => {
    // Bytes in the buffer: the reader is slow, the pipe may hold more. An empty buffer is always being filled.
    if (performance.now() - lastOutput() < orphanedOutputMs || (stdout?.readableLength ?? 0) > 0) return;
    clearInterval(timer);
    for (const stream of [stdout, stderr]) if (stream?.readableEnded === false && !stream.destroyed) stream.push(null);
    setImmediate(() => {
      stdout?.destroy();
      stderr?.destroy();
    });
  }, 250);
  child.once('close', () => {
    clearInterval(timer);
  });
};

/**
 * Starts a program in its own process group, with standard output as a stream.
 * @throws toolMissing
 */
export const startTool = (options: StartOptions): RunningTool => {
  const { signal, graceMs = 5000, okExitCodes = [0], stderrLimit = 16_384 } = options;
  const shown = describeCommand(options.command, options.args);
  if (signal?.aborted)
    throw new ResurgoError('cancelled', `cancelled before ${shown} was started`, { cause: signal.reason });
  const env = toolEnvironment(options.env);
  const words = [...parentDeathPrefix(), resolveTool(options.command, env['PATH']), ...options.args];
  const startedAt = performance.now();
  const child = spawn(words[0] as string, words.slice(1), {
    env,
    detached: true,
    stdio: [options.input === undefined && options.pipeInput !== true ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  const { stdout, stderr } = child as { stdout: Readable; stderr: Readable };

  // The first words say what was wrong, the last ones what became of it; between them may lie a statement of any length.
  let head = Buffer.alloc(0);
  let tail = Buffer.alloc(0);
  let dropped = false;
  let line = '';
  let lastOutput = performance.now();
  stderr.on('data', (chunk: Buffer) => {
    lastOutput = performance.now();
    const room = Math.max(0, (stderrLimit >> 2) - head.length);
    head = Buffer.concat([head, chunk.subarray(0, room)]);
    tail = Buffer.concat([tail, chunk.subarray(room)]);
    const keep = stderrLimit - (stderrLimit >> 2);
    if (tail.length > keep) {
      dropped = true;
      tail = tail.subarray(tail.length - keep);
    }
    if (options.onStderrLine === undefined) return;
    const lines = (line + chunk.toString('utf8')).split('\n');
    line = (lines.pop() ?? '').slice(-65_536);
    for (const each of lines) options.onStderrLine(redactSecrets(each));
  });
  const stderrText = (): string =>
    redactSecrets(`${head.toString('utf8')}${dropped ? '\n…\n' : ''}${tail.toString('utf8')}`).trimEnd();

  let reason: { readonly value: unknown } | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (value: unknown): void => {
    if (reason !== undefined) return;
    reason = { value };
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const pid = child.pid;
    signalGroup(pid, 'SIGTERM');
    signalGroup(pid, 'SIGCONT'); // One that is stopped could not act on it.
    killTimer = setTimeout(() => {
      signalGroup(pid, 'SIGKILL');
    }, graceMs);
  };
  const onAbort = (): void => {
    stop(
      new ResurgoError('cancelled', `cancelled while ${shown} was running`, {
        cause: signal?.reason,
        details: { command: shown },
      }),
    );
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timeout =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          stop(
            new ResurgoError('toolFailed', `${shown} did not end within ${String(options.timeoutMs)} ms`, {
              details: { command: shown, stderr: stderrText() },
            }),
          );
        }, options.timeoutMs);

  const done = new Promise<ToolEnd>((resolve, reject) => {
    const finish = (): number => {
      clearTimeout(timeout);
      clearTimeout(killTimer);
      signal?.removeEventListener('abort', onAbort);
      if (line !== '') options.onStderrLine?.(redactSecrets(line));
      return Math.round(performance.now() - startedAt);
    };
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return; // A failed kill; the exit still comes.
      finish();
      const code = cause.code === 'ENOENT' && options.cwd === undefined ? 'toolMissing' : 'toolFailed';
      reject(
        new ResurgoError(code, `${shown} could not be started: ${cause.message}`, {
          cause,
          details: { command: shown },
        }),
      );
    });
    child.once('exit', () => {
      lastOutput = performance.now();
      // Whatever the program forked goes with it, so that its pipes close.
      if (reason !== undefined && child.pid !== undefined) {
        signalGroup(child.pid, 'SIGKILL');
        stdout.resume();
      }
      closeOrphanedOutput(child, () => lastOutput);
    });
    child.once('close', (code, died) => {
      const durationMs = finish();
      const text = stderrText();
      if (reason !== undefined) {
        reject(reason.value);
      } else if (code !== null && okExitCodes.includes(code)) {
        resolve({ stderr: text, exitCode: code, durationMs });
      } else {
        const how = code === null ? `was killed by ${String(died)}` : `ended with exit code ${String(code)}`;
        reject(
          new ResurgoError(
            'toolFailed',
            `${shown} ${how} after ${String(durationMs)} ms${text === '' ? '' : `: ${text.length > 2000 ? `${text.slice(0, 1000)} … ${text.slice(-1000)}` : text}`}`,
            {
              details: { command: shown, exitCode: code, signal: died, stderr: text, durationMs },
            },
          ),
        );
      }
    });
  });
  done.catch(() => undefined); // A caller that only reads stdout learns it when it awaits `done`.
  stdout.on('error', () => undefined);
  const { stdin } = child;
  stdin?.on('error', () => undefined); // EPIPE: the exit code tells why.
  if (options.input !== undefined) stdin?.end(options.input);
  stdout.prependListener('data', () => {
    lastOutput = performance.now();
  });
  stdout.pause();
  const hold = (held: boolean): void => {
    if (reason === undefined && child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      signalGroup(child.pid, held ? 'SIGSTOP' : 'SIGCONT');
  };
  return { pid: child.pid ?? 0, stdout, done, stop, hold, ...(options.pipeInput === true && stdin !== null ? { stdin } : {}) };
};

/**
 * Runs a program to its end.
 * @throws toolMissing, toolFailed, cancelled, or what `onStdout` threw
 */
export const runTool = async (options: ToolOptions): Promise<ToolResult> => {
  const tool = startTool(options);
  const limit = options.stdoutLimit ?? 16 * 1024 * 1024;
  const kept: Buffer[] = [];
  let size = 0;
  const { onStdout } = options;
  try {
    for await (const chunk of tool.stdout as AsyncIterable<Buffer>) {
      if (onStdout !== undefined) {
        const pending = onStdout(chunk);
        if (pending !== undefined) await pending;
        continue;
      }
      size += chunk.length;
      if (size > limit)
        throw new ResurgoError(
          'toolFailed',
          `${describeCommand(options.command, options.args)} wrote more than ${String(limit)} bytes to standard output`,
        );
      kept.push(chunk);
    }
  } catch (error) {
    // A stream that was cut because the program was ended is not the cause; what `done` says is.
    tool.stop(error);
  }
  const end = await tool.done;
  return { stdout: Buffer.concat(kept).toString('utf8'), ...end };
};
