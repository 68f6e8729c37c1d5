import type { FaultRule } from '../../../providers/repository/decorators/fault-injecting.ts';

/** Where a worker process kills itself. Read from a file whenever something happens, so that a running worker can be given the next one. */
export type CrashOperation = 'put' | 'get' | 'list' | 'head' | 'delete' | 'sql' | 'spawn' | 'rename' | 'rm' | 'mkdir' | 'symlink' | 'unlink' | 'rmdir' | 'open';

export interface CrashPlan {
  readonly activity: string;
  readonly when: 'before' | 'inside' | 'after';
  /** After: also when the activity has failed; nobody hears of its error. */
  readonly failed?: boolean;
  /** Inside: what is counted. Default: everything. */
  readonly operation?: CrashOperation;
  /** Inside: only operations whose key, path or text fits. */
  readonly match?: string;
  /** Inside: only of this store. */
  readonly store?: string;
  /** Inside: the n-th of them, from 1. Default 1. */
  readonly at?: number;
  /** Inside: at the activity's end when it came near that place; runs differ a little. */
  readonly orAtEnd?: boolean;
  /** Inside: once it has taken effect instead of before. */
  readonly afterwards?: boolean;
  /** Then so much later, milliseconds. */
  readonly delayMs?: number;
  /** Default SIGKILL. SIGSTOP makes a zombie. */
  readonly signal?: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP';
  /** Nobody dies: the activity waits there (before its effect) until it is cancelled or the test lets it go on (`Stack.release`). */
  readonly hold?: boolean;
}

/** A rule for a store of the worker, as JSON takes it. */
export interface StoreFault extends Omit<FaultRule, 'key'> {
  readonly store: string;
  /** Keys that fit this expression. */
  readonly key?: string;
}

/** What the test's ledger holds, one JSON line each. */
export interface Effect {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Set on the line of an activity's start. */
  readonly started?: string;
  readonly attempt?: number;
  /** Workflow id of the run the activity belongs to. */
  readonly run?: string;
  readonly activity?: string;
  readonly operation?: CrashOperation;
  readonly store?: string;
  readonly key?: string;
  readonly bytes?: number;
  /** A call of a store, or a file operation, that ended with an error. */
  readonly failed?: boolean;
}

export const describePlan = (plan: CrashPlan): string =>
  plan.when !== 'inside'
    ? `${plan.when} ${plan.activity}`
    : [
        `inside ${plan.activity}`,
        `${plan.afterwards === true ? 'after' : 'at'} ${plan.operation ?? 'operation'} ${String(plan.at ?? 1)}`,
        ...(plan.match === undefined ? [] : [`of ${plan.match}`]),
        ...(plan.store === undefined ? [] : [`in ${plan.store}`]),
        ...(plan.delayMs === undefined ? [] : [`+ ${String(plan.delayMs)} ms`]),
        ...(plan.hold === true ? ['held'] : []),
        ...(plan.signal === undefined || plan.signal === 'SIGKILL' ? [] : [plan.signal]),
      ].join(' ');
