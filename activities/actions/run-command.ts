import { realpath } from 'node:fs/promises';
import type { ActionContext } from '../../domain/action.ts';
import { runTool, type ToolResult } from '../../providers/host/child.ts';
import { assertPrivateFile } from '../../providers/host/files.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';

export interface CommandOptions {
  readonly command: readonly string[];
  readonly phase: string;
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly timeoutMs?: number | undefined;
  readonly okExitCodes?: readonly number[] | undefined;
  readonly input?: string | undefined;
}

/** What a command is told of the run it belongs to. */
export const runEnvironment = (context: ActionContext<unknown>, phase: string): Record<string, string> => ({
  RESURGO_RUN: context.runId,
  RESURGO_PLAN: context.plan,
  RESURGO_STEP: context.stepId,
  RESURGO_PHASE: phase,
  RESURGO_ATTEMPT: String(context.attempt),
  RESURGO_FENCE: context.fence,
  RESURGO_MODE: context.mode,
});

/** @throws configUnsafe when others may change the program; toolMissing */
export async function assertProgram(command: readonly string[]): Promise<void> {
  await assertPrivateFile(await realpath(resolveTool(command[0] ?? '')), 'write');
}

/** Runs a program of a plan to its end; no shell. It dies with the worker. @throws configUnsafe, toolMissing, toolFailed, cancelled */
export async function runCommand(context: ActionContext<unknown>, options: CommandOptions): Promise<ToolResult> {
  await assertProgram(options.command);
  const [program = '', ...args] = options.command;
  context.report({ phase: `${options.phase}: ${program}` });
  return runTool({
    command: program,
    args,
    signal: context.signal,
    stdoutLimit: 1024 * 1024,
    env: { ...runEnvironment(context, options.phase), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.okExitCodes === undefined ? {} : { okExitCodes: options.okExitCodes }),
    ...(options.input === undefined ? {} : { input: options.input }),
  });
}

/** The end of what a program wrote, without the line break. */
export const lastWords = (text: string, limit = 4000): string => text.trimEnd().slice(-limit);
