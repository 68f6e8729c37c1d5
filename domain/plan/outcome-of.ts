/** What an error of `apply` says about its effect. */
import { errors, isErrorCode } from '../errors.ts';
import type { ActionEffect } from '../action.ts';

/** Raised before the action itself is called. */
const before: readonly string[] = ['fenced', 'configMismatch', 'configInvalid', 'configUnsafe', 'planInvalid', 'inputInvalid'];

/**
 * `refused`: certainly nothing was done. An action that is attempted once says so by an error of a kind that is thrown before anything is touched;
 * of one that is tried again an earlier attempt may have done something.
 */
export function outcomeOf(code: string, effect: ActionEffect): 'refused' | 'failed' {
  if (effect !== 'irreversible') return before.includes(code) && code !== 'configMismatch' ? 'refused' : 'failed';
  if (before.includes(code)) return 'refused';
  const kind = isErrorCode(code) ? errors[code].kind : 'bug';
  return kind === 'precondition' || kind === 'conflict' || kind === 'invalid' ? 'refused' : 'failed';
}
