import { ApplicationFailure, CancelledFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import { errors } from '../domain/errors.ts';
import { rethrow } from './failures.ts';
import { RestoreFailed } from './restore-flow.ts';

/** Ends a workflow as its restore ended: cancelled, or failed with the whole result in the details. */
export function throwRestore(error: unknown): never {
  if (!(error instanceof RestoreFailed)) rethrow(error);
  // What could not be undone is told even when it was a cancel that asked for it.
  const cancelled = (isCancellation(error.original) || CancellationScope.current().consideredCancelled) && error.result.error?.code !== 'compensationFailed';
  if (cancelled) throw isCancellation(error.original) ? error.original : new CancelledFailure('The restore was cancelled.');
  const { code, message } = error.result.error ?? { code: 'bug', message: error.message };
  const known = code as keyof typeof errors;
  throw ApplicationFailure.create({ type: code, message, nonRetryable: true, details: [{ hint: error.result.error?.hint ?? errors[known].hint, kind: errors[known].kind, result: error.result }] });
}
