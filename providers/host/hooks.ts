import { realpath } from 'node:fs/promises';

import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { runTool } from './child.ts';
import { assertPrivateFile } from './files.ts';
import { describeCommand, resolveTool } from './tool-command.ts';

export interface Hook {
  /** What it does, for messages: `stop services`, `health check`. */
  readonly name: string;
  /** Program and arguments; never a line for a shell. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** Added to the few variables a child inherits, for example RESURGO_TARGET. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a command of the configuration to its end; services it starts may go on. A program others may write to is not run.
 * @returns its last output, for the record
 * @throws hookFailed, configUnsafe, toolMissing, cancelled
 */
export const runHook = async (hook: Hook): Promise<{ output: string; durationMs: number }> => {
  const [program, ...args] = hook.command;
  if (program === undefined || program === '')
    throw new ResurgoError('configInvalid', `The hook "${hook.name}" has no command`);
  await assertPrivateFile(await realpath(resolveTool(program)), 'write');
  try {
    const result = await runTool({
      command: program,
      args,
      timeoutMs: hook.timeoutMs,
      signal: hook.signal,
      ...(hook.env === undefined ? {} : { env: hook.env }),
      ...(hook.cwd === undefined ? {} : { cwd: hook.cwd }),
    });
    return { output: [result.stdout, result.stderr].join('\n').trim().slice(-4000), durationMs: result.durationMs };
  } catch (error) {
    if (!isResurgoError(error, 'toolFailed')) throw error;
    throw new ResurgoError('hookFailed', `The hook "${hook.name}" failed: ${error.message}`, {
      cause: error,
      details: { ...error.details, command: describeCommand(program, args) },
    });
  }
};
