/**
 * Which runs of an operation there were, and which there should have been: success rates over time that count what never started. One log per target and
 * operation, in every repository of the target; written under the lock of the operation, so there is one writer. Pure.
 */
import type { BackupKind } from './backup.ts';

export const loggedOperations = ['backup', 'drill', 'prune', 'upkeep', 'archive'] as const;
export type LoggedOperation = (typeof loggedOperations)[number];

export interface LoggedRun {
  readonly id: string;
  /** As it was asked for: a full taken instead of an incremental is an incremental here. */
  readonly kind?: BackupKind;
  /** ISO. */
  readonly at: string;
  readonly ms: number;
  readonly ok: boolean;
  /** A schedule started it. */
  readonly scheduled: boolean;
}

/** A schedule of the configuration. */
export interface ExpectedRuns {
  readonly kind?: BackupKind;
  readonly cron: string;
  readonly timezone: string;
  readonly jitterMs: number;
}

/** How long a schedule was in force, as far as the runs tell. */
export interface Expectation extends ExpectedRuns {
  readonly since: string;
  readonly until?: string;
}

export interface RunLog {
  readonly schemaVersion: 1;
  readonly runs: readonly LoggedRun[];
  readonly expects: readonly Expectation[];
}

export const emptyRunLog: RunLog = { schemaVersion: 1, runs: [], expects: [] };

/** Rates look back so far. */
export const healthWindowMs = 30 * 86_400_000;
const keptMs = 36 * 86_400_000;
/** Whatever their age: one that fails every minute must not grow without end. */
const keptRuns = 4000;

const sameSchedule = (a: ExpectedRuns, b: ExpectedRuns): boolean => a.kind === b.kind && a.cron === b.cron && a.timezone === b.timezone && a.jitterMs === b.jitterMs;

/** The log with a run added (once per id), and what is expected from now on. */
export function noteRun(log: RunLog, run: LoggedRun, expected: readonly ExpectedRuns[], now: number): RunLog {
  const oldest = new Date(now - keptMs).toISOString();
  const at = new Date(now).toISOString();
  const runs = [...log.runs.filter(({ id }) => id !== run.id), run].filter((one) => one.at >= oldest).sort((a, b) => (a.at < b.at ? -1 : 1));
  // What a person starts does not begin the count of a schedule that may not be applied yet.
  const begun = expected.filter((one) => (run.scheduled && one.kind === run.kind) || log.expects.some((known) => known.kind === one.kind));
  const open = log.expects.filter(({ until }) => until === undefined);
  return {
    schemaVersion: 1,
    runs: runs.slice(-keptRuns),
    expects: [
      ...log.expects.filter(({ until }) => until === undefined || until >= oldest).map((one) => (one.until !== undefined || expected.some((other) => sameSchedule(one, other)) ? one : { ...one, until: at })),
      ...begun.filter((one) => !open.some((known) => sameSchedule(known, one))).map((one) => ({ ...one, since: run.at < at ? run.at : at })),
    ],
  };
}

/** What two repositories know, together: one that was away lacks some runs. */
export function mergeRunLogs(logs: readonly RunLog[]): RunLog {
  const [only = emptyRunLog, ...more] = logs;
  if (more.length === 0) return only;
  const runs = new Map(logs.flatMap((log) => log.runs.map((run): [string, LoggedRun] => [run.id, run])));
  const expects: Expectation[] = [];
  for (const one of logs.flatMap((log) => log.expects).sort((a, b) => (a.since < b.since ? -1 : 1))) {
    const i = expects.findIndex((known) => sameSchedule(known, one) && (known.until === undefined || one.since <= known.until));
    const known = expects[i];
    if (known === undefined) expects.push(one);
    // Whoever knows that it ended knows more than one that was away since.
    else if (one.until !== undefined && (known.until === undefined || one.until > known.until)) expects[i] = { ...known, until: one.until };
  }
  return { schemaVersion: 1, runs: [...runs.values()].sort((a, b) => (a.at < b.at ? -1 : 1)), expects };
}

export interface OperationHealth {
  readonly operation: LoggedOperation;
  readonly kind?: BackupKind;
  /** Start of what is counted: 30 days ago, or the first run known. */
  readonly since: string;
  readonly succeeded: number;
  readonly failed: number;
  /** Due by a schedule, and never started (a skipped run did not start). */
  readonly missed: number;
  /** Succeeded of all that ran or should have, 0–1; null: none. */
  readonly rate: number | null;
  readonly lastSuccess: string | null;
  readonly lastFailure: string | null;
}

/** All times at which a schedule was due in (from, to], ascending. */
export type DueTimes = (cron: string, timezone: string, from: number, to: number) => readonly number[];

/** A run is not missed while it may still start. */
const lateMs = 10 * 60_000;
/** Clocks of servers differ. */
const earlyMs = 60_000;

/** Health of an operation of a target, by kind where runs have one. */
export function healthOf(operation: LoggedOperation, log: RunLog, now: number, due: DueTimes): OperationHealth[] {
  const from = now - healthWindowMs;
  const oldest = new Date(from).toISOString();
  const kinds = new Set<BackupKind | undefined>([...log.runs, ...log.expects].map(({ kind }) => kind));
  return [...kinds].flatMap((kind) => {
    const all = log.runs.filter((run) => run.kind === kind);
    const runs = all.filter(({ at }) => at > oldest);
    const missed = missedRuns(log.expects.filter((one) => one.kind === kind), runs.filter(({ scheduled }) => scheduled), from, now, due);
    const succeeded = runs.filter(({ ok }) => ok).length;
    const total = runs.length + missed;
    if (total === 0 && all.length === 0) return [];
    const last = (ok: boolean): string | null => all.findLast((run) => run.ok === ok)?.at ?? null;
    const first = [...all.map(({ at }) => at), ...log.expects.filter((one) => one.kind === kind).map(({ since }) => since)].sort()[0] ?? new Date(from).toISOString();
    return [{
      operation, ...(kind === undefined ? {} : { kind }), since: new Date(Math.max(from, Date.parse(first))).toISOString(),
      succeeded, failed: runs.length - succeeded, missed, rate: total === 0 ? null : succeeded / total, lastSuccess: last(true), lastFailure: last(false),
    }];
  });
}

function missedRuns(expects: readonly Expectation[], runs: readonly LoggedRun[], from: number, now: number, due: DueTimes): number {
  const slots: { at: number; end: number }[] = [];
  for (const { cron, timezone, jitterMs, since, until } of expects) {
    const begin = Math.max(from, Date.parse(since));
    const end = until === undefined ? now : Math.min(now, Date.parse(until));
    const times = due(cron, timezone, begin, end);
    for (const [i, at] of times.entries()) if (at + jitterMs + lateMs < now) slots.push({ at, end: (times[i + 1] ?? Infinity) + jitterMs });
  }
  // Each run stands for one time it was due, the earliest it can.
  const free = runs.map(({ at }) => Date.parse(at));
  let missed = 0;
  for (const slot of slots.sort((a, b) => a.at - b.at)) {
    const i = free.findIndex((at) => at >= slot.at - earlyMs);
    if (i >= 0 && (free[i] as number) < slot.end - earlyMs) free.splice(0, i + 1);
    else missed++;
  }
  return missed;
}
