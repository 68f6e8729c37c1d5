import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import { TemporalFailure, TimeoutFailure } from '@temporalio/common';
import { errors, isErrorCode, type ErrorCode } from '../domain/errors.ts';
import type { PlanResult } from '../domain/plan/result.ts';

export interface FailureFacts {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** Reads code, message and hint out of whatever an activity or child ended with. */
export function factsOf(error: unknown): FailureFacts {
  let timeout: TimeoutFailure | undefined;
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    if (current instanceof ApplicationFailure && isErrorCode(current.type)) {
      const detail = current.details?.[0] as { hint?: string } | undefined;
      return { code: current.type, message: current.message, hint: detail?.hint ?? errors[current.type].hint };
    }
    if (current instanceof TimeoutFailure) timeout = current;
  }
  if (isCancellation(error)) return { code: 'cancelled', message: 'The run was cancelled.' };
  if (timeout !== undefined) {
    const waiting = timeout.timeoutType === 'SCHEDULE_TO_START';
    return {
      code: waiting ? 'workerMissing' : 'outcomeUnknown',
      message: waiting ? 'No worker took the step up in time.' : `The worker stopped answering (${timeout.timeoutType} time-out).`,
    };
  }
  return { code: 'bug', message: error instanceof Error ? error.message : String(error) };
}

/** The whole result of a plan that did not complete is in its failure; and what the failure says. */
export function planResultIn(error: unknown): { readonly result: PlanResult; readonly message: string } | undefined {
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    const result = current instanceof ApplicationFailure ? (current.details?.[0] as { result?: PlanResult } | undefined)?.result : undefined;
    if (result !== undefined) return { result, message: current.message };
  }
  return undefined;
}

/** A failure with a code from the table; `nonRetryable` because a workflow has decided. */
export function failure(code: ErrorCode, message: string, hint?: string): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: true, details: [{ hint: hint ?? errors[code].hint, kind: errors[code].kind }] });
}

/** Lets cancellation pass as it is; everything else becomes a failure with its code on top. */
export function rethrow(error: unknown): never {
  if (isCancellation(error)) throw error;
  if (error instanceof ApplicationFailure) throw error;
  const facts = factsOf(error);
  if (error instanceof TemporalFailure) throw withDetails(error, failure(facts.code, facts.message, facts.hint));
  throw error;
}

/** What a child ended with goes up whole: the result of a failed restore is in its details. */
function withDetails(error: Error, made: ApplicationFailure): ApplicationFailure {
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    if (!(current instanceof ApplicationFailure) || !isErrorCode(current.type) || current.details == null) continue;
    return ApplicationFailure.create({ type: current.type, message: current.message, nonRetryable: true, details: current.details });
  }
  return made;
}
