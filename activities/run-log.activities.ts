import type { ActivityDeps } from './deps.ts';
import { recordRun, type RecordRunInput } from './run-log.ts';

export function runLogActivities(deps: ActivityDeps) {
  return {
    /** Effect: the run in the log of its target and operation. Idempotency: one entry per run. Failure: none; what cannot be counted is not. */
    recordRun: (input: RecordRunInput): Promise<void> => recordRun(deps, input),
  };
}
