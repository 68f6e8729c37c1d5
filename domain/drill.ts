/** Words and arithmetic of restore drills: what is asked, what a drill measured, what follows from it. Pure. */
import type { EvidenceCheck, EvidencePhase } from './evidence.ts';

export interface DrillInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** Backup id, `latest` (default) or a date. */
  readonly backup?: string;
  /** Point in time (physical with a WAL archive): ISO time, or `latest`, the end of the archived WAL; the default where WAL is archived. */
  readonly time?: string;
  readonly startedBy?: string;
}

/** Parts of the recovery time, in their order. */
export type RtoPart = 'detect' | 'decide' | 'fetch' | 'restore' | 'verify';
export type RtoSplit = Readonly<Record<RtoPart, number>>;

export interface Latencies {
  readonly runs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface PerformanceResult extends Latencies {
  readonly name: string;
  /** What `p95Ms` of the configuration allows. */
  readonly limitP95Ms: number | null;
  /** Median p95 of earlier drills; null without any. */
  readonly baselineP95Ms: number | null;
}

/** What the source said at the moment the drill takes for the disaster. Null: not asked, or it did not answer. */
export interface SourceMoment {
  /** By the database's clock where it answered, else by ours. */
  readonly at: string;
  readonly reachable: boolean;
  /** Newest marker, ISO. */
  readonly marker: string | null;
  readonly records: number | null;
  readonly problem?: string;
}

export interface RestoredData {
  readonly marker: string | null;
  readonly records: number | null;
  /** Time of the newest commit that recovery replayed, ISO. */
  readonly lastCommit: string | null;
}

export interface RpoResult {
  /** Null: the data does not tell. */
  readonly rpoMs: number | null;
  readonly basis: 'marker' | 'commit-time' | 'backup-time' | 'none';
  /** Where the data stands, ISO. */
  readonly recoveredTo: string | null;
  /** Share of the source's records that the restored data lacks, 0–1; null where it was not measured. */
  readonly dataLossRatio: number | null;
  readonly detail: string;
}

/** What a drill and a game day tell alike. */
export interface ExerciseResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly backup: string | null;
  readonly status: 'passed' | 'failed';
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly rtoMs: number | null;
  readonly rpoMs: number | null;
  readonly rpoBasis: RpoResult['basis'];
  readonly objectives: { readonly rtoMs: number; readonly rpoMs: number };
  readonly missed: readonly ('rto' | 'rpo')[];
  readonly checks: readonly EvidenceCheck[];
  readonly phases: readonly EvidencePhase[];
  /** The monthly list: what this exercise has proven. */
  readonly checklist: Checklist;
  readonly recommendations: readonly string[];
  readonly warnings: readonly string[];
  readonly cleanedUp: boolean;
  /** Key of the signed document in the repositories; null where none took it. */
  readonly evidence: string | null;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

export interface DrillResult extends ExerciseResult {
  readonly engine: string;
  readonly rto: RtoSplit | null;
  readonly recoveredTo: string | null;
  readonly dataLossRatio: number | null;
  readonly performance: readonly PerformanceResult[];
  /** The backup got the fact `proven`. */
  readonly proven: boolean;
}

export type ChecklistItem = 'passed' | 'failed' | 'not covered';
export interface Checklist {
  readonly integrity: ChecklistItem;
  readonly databaseRestore: ChecklistItem;
  readonly fileRestore: ChecklistItem;
  readonly applicationFunction: ChecklistItem;
  readonly performance: ChecklistItem;
}

/** Kinds of checks: `checklistOf` counts by them. */
export type CheckGroup = 'restore' | 'integrity' | 'function' | 'performance' | 'files';
export interface GroupedCheck extends EvidenceCheck {
  readonly group: CheckGroup;
}

/** Nearest-rank percentiles. @throws RangeError without a value */
export function latencies(durationsMs: readonly number[]): Latencies {
  const sorted = [...durationsMs].sort((a, b) => a - b);
  const max = sorted.at(-1);
  if (max === undefined) throw new RangeError('no durations');
  const rank = (share: number): number => round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? max);
  return { runs: sorted.length, p50Ms: rank(0.5), p95Ms: rank(0.95), p99Ms: rank(0.99), maxMs: round(max) };
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;

/** Middle value; undefined without any. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : sorted.length === 0 ? undefined : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/**
 * How much time of data is lost. The data itself tells where it can: a marker that is as new as the source's has lost nothing, however old it is (an idle
 * database loses nothing); else the time from the newest marker to the disaster. Without a marker, from the newest commit that was recovered, or the moment the
 * backup is consistent at, whichever is later.
 */
export function rpoOf(source: SourceMoment, restored: RestoredData, consistentAt: string | null): RpoResult {
  const disaster = Date.parse(source.at);
  const dataLossRatio = source.records === null || restored.records === null ? null : source.records <= 0 ? 0 : Math.max(0, (source.records - restored.records) / source.records);
  const since = (iso: string): number => Math.max(0, disaster - Date.parse(iso));
  if (restored.marker !== null) {
    if (source.marker !== null && Date.parse(restored.marker) >= Date.parse(source.marker))
      return { rpoMs: 0, basis: 'marker', recoveredTo: restored.marker, dataLossRatio, detail: `the newest marker, ${restored.marker}, is there: nothing is lost` };
    const why = source.marker === null ? 'what the source had then is not known' : `the source had ${source.marker}`;
    return { rpoMs: since(restored.marker), basis: 'marker', recoveredTo: restored.marker, dataLossRatio, detail: `the newest marker is ${restored.marker}; ${why}` };
  }
  const times = [...(restored.lastCommit === null ? [] : [{ iso: restored.lastCommit, basis: 'commit-time' as const }]), ...(consistentAt === null ? [] : [{ iso: consistentAt, basis: 'backup-time' as const }])];
  const newest = times.sort((a, b) => Date.parse(b.iso) - Date.parse(a.iso))[0];
  if (newest === undefined) return { rpoMs: null, basis: 'none', recoveredTo: null, dataLossRatio, detail: 'neither a marker nor a commit time tells where the data stands' };
  return { rpoMs: since(newest.iso), basis: newest.basis, recoveredTo: newest.iso, dataLossRatio, detail: newest.basis === 'commit-time' ? `the newest recovered commit is of ${newest.iso}` : `the backup is consistent at ${newest.iso}; a marker query would measure it in the data` };
}

/** Judged against limit and baseline: above the limit fails, much slower than before warns. */
export function judgePerformance(result: PerformanceResult): GroupedCheck {
  const { name, p50Ms, p95Ms, p99Ms, runs, limitP95Ms, baselineP95Ms } = result;
  const said = `p50 ${ms(p50Ms)}, p95 ${ms(p95Ms)}, p99 ${ms(p99Ms)} over ${runs} runs`;
  if (limitP95Ms !== null && p95Ms > limitP95Ms) return { group: 'performance', name, outcome: 'failed', detail: `${said}; p95 may be ${ms(limitP95Ms)}` };
  // A machine is never twice the same: half as much again, and more than a few milliseconds, is a sign.
  if (baselineP95Ms !== null && p95Ms > baselineP95Ms * 1.5 && p95Ms - baselineP95Ms > 5) return { group: 'performance', name, outcome: 'warning', detail: `${said}; p95 of earlier drills was ${ms(baselineP95Ms)}` };
  return { group: 'performance', name, outcome: 'passed', detail: `${said}${limitP95Ms === null ? '' : `; p95 may be ${ms(limitP95Ms)}`}${baselineP95Ms === null ? '' : `; before: ${ms(baselineP95Ms)}`}` };
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;

/** A group that has no check is not covered; one that failed is failed. */
export function checklistOf(checks: readonly GroupedCheck[]): Checklist {
  const of = (group: CheckGroup): ChecklistItem => {
    const all = checks.filter((check) => check.group === group && check.outcome !== 'skipped');
    return all.length === 0 ? 'not covered' : all.some((check) => check.outcome === 'failed') ? 'failed' : 'passed';
  };
  return { integrity: of('integrity'), databaseRestore: of('restore'), fileRestore: of('files'), applicationFunction: of('function'), performance: of('performance') };
}
