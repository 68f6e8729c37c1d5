/** Turns what a failed workflow ended with back into the one error class. */
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { isErrorCode, ResurgoError } from '../domain/errors.ts';

export function fromWorkflowError(error: unknown, workflowId: string): ResurgoError {
  if (error instanceof ResurgoError) return error;
  if (error instanceof WorkflowFailedError) {
    for (let current: unknown = error.cause; current instanceof Error; current = current.cause) {
      if (current instanceof ApplicationFailure && isErrorCode(current.type)) {
        const details = (current.details?.[0] ?? {}) as { hint?: string; result?: unknown };
        return new ResurgoError(current.type, current.message, { cause: error, details: { workflowId, ...(details.hint === undefined ? {} : { hint: details.hint }), ...(details.result === undefined ? {} : { result: details.result }) } });
      }
      if (current instanceof CancelledFailure) return new ResurgoError('cancelled', `run ${workflowId} was cancelled`, { cause: error });
      if (current instanceof TerminatedFailure) return new ResurgoError('outcomeUnknown', `run ${workflowId} was terminated by force: ${current.message}`, { cause: error });
      if (current instanceof TimeoutFailure) return new ResurgoError('outcomeUnknown', `run ${workflowId} timed out: ${current.message}`, { cause: error });
    }
    return new ResurgoError('bug', `run ${workflowId} failed: ${error.cause?.message ?? error.message}`, { cause: error });
  }
  return new ResurgoError('temporalUnreachable', `run ${workflowId}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
