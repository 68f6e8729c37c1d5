import { errors, isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { Output } from './output.ts';

/** Anything thrown as the one error class; what is not ours is a bug of ours. */
export function asResurgoError(error: unknown): ResurgoError {
  if (isResurgoError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ResurgoError('bug', message || 'something failed without a word', { cause: error });
}

/** Says what happened and what to do next, and returns the exit code. With `--json` the error is the document on stdout. */
export function reportError(error: unknown, output: Output, env: NodeJS.ProcessEnv): number {
  const failure = asResurgoError(error);
  const { code, message, hint } = failure;
  if (output.json && !output.documentWritten) {
    const problems = failure.details['problems'];
    output.document({
      schemaVersion: 1,
      error: {
        code,
        kind: errors[code].kind,
        message,
        hint,
        ...(Array.isArray(problems) ? { problems: problems as unknown[] } : {}),
      },
    });
  }
  output.error(message, hint);
  if (env['RESURGO_DEBUG'] || code === 'bug') {
    const stack = failure.cause instanceof Error ? failure.cause.stack : failure.stack;
    if (stack) output.note(stack);
  }
  return errors[code].exitCode;
}
