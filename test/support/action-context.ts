import type { Action, ActionContext } from '../../domain/action.ts';

/** A context for calling the phases of an action by hand; the input as a plan would give it. */
export const contextOf = (action: Action, input: unknown, more: Partial<ActionContext<unknown>> = {}): ActionContext<never> =>
  ({ runId: 'run', plan: 'plan', stepId: 'step', attempt: 1, fence: '1', mode: 'graceful', dryRun: false, signal: new AbortController().signal, report: () => undefined, input: action.parse(input), ...more }) as unknown as ActionContext<never>;
