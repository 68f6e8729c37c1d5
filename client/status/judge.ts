/** What is good and what is not about the backups of one target. Pure. */
import { formatBytes, formatDuration } from '../../config/units.ts';
import type { BackupKind, Engine } from '../../domain/backup.ts';
import { engineTraits } from '../../domain/engines.ts';
import type { OperationHealth } from '../../domain/run-log.ts';
import { healthLine } from './health.ts';
import { replicationProblems, type ReplicationStatus } from './replication.ts';

export interface KnownBackup {
  readonly id: string;
  readonly kind: BackupKind;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly engine: Engine | null;
  /** Of the source; null where the manifest cannot be read. */
  readonly sourceBytes: number | null;
  /** What it builds on, oldest first. */
  readonly chain?: readonly string[];
  /** Repositories that hold it, verified. */
  readonly repositories: readonly string[];
}

export interface TargetFacts {
  readonly name: string;
  readonly rpoMs: number;
  readonly maxDurationMs: number;
  readonly newest: KnownBackup | null;
  /** Verified full backups, newest first, at most six. */
  readonly fulls: readonly KnownBackup[];
  /** Repositories the newest is to be in. */
  readonly wanted: readonly string[];
  readonly unreachable: readonly { readonly name: string; readonly message: string }[];
  /** Room in its repositories, where they can tell. */
  readonly space?: readonly { readonly name: string; readonly freeBytes: number }[];
  readonly damaged: number;
  /** Of runs that failed since the newest verified backup began, newest first. */
  readonly failedRuns: readonly { readonly startedAt: string; readonly message: string }[];
  readonly schedules: ScheduleFacts | null;
  /** Of the runs of 30 days. */
  readonly health?: readonly OperationHealth[];
  /** Percent that have to end well. */
  readonly minSuccess?: number;
  /** Absent: no WAL archive. */
  readonly wal?: WalFacts;
  /** The newest backup leads to the end of the archived WAL without a hole. */
  readonly walReachable?: boolean;
  /** Where a hole cuts it off: the newest time before the hole (null: the backup itself), and what lies behind it in vain. */
  readonly walCut?: { readonly to: string | null; readonly behind: string };
  /** Absent: not watched, or Temporal could not be asked. */
  readonly replication?: ReplicationStatus;
}

export interface WalFacts {
  /** The moment up to which WAL is archived; null: none is. */
  readonly newest: string | null;
  /** The present history is archived since then: a backup before may not lead to its end. */
  readonly lineageSince: string | null;
  readonly gaps: readonly string[];
  /** Told by the archive itself, where it runs on this host. */
  readonly problems: readonly string[];
  /** Null: not known on this host. */
  readonly running: boolean | null;
}

export interface ScheduleFacts {
  readonly next: string | null;
  readonly last: string | null;
  /** Of the configuration, not in Temporal. */
  readonly notApplied: number;
  readonly paused: readonly { readonly id: string; readonly note?: string }[];
  /** A time at which one should have started, and did not. */
  readonly missed: readonly { readonly id: string; readonly due: string }[];
}

export type ProblemCode = 'rpo' | 'noBackup' | 'unknown' | 'empty' | 'shrunk' | 'slow' | 'failedRuns' | 'unreachable' | 'degraded' | 'damaged' | 'notScheduled' | 'paused' | 'missed' | 'headroom' | 'successRate' | 'wal' | 'walGap' | 'replication';

export interface Problem {
  readonly code: ProblemCode;
  /** `objective`: what was promised is missed; the exit code is 6. */
  readonly severity: 'objective' | 'warning';
  readonly message: string;
}

export interface TargetStatus {
  readonly name: string;
  /** Data that would be lost now; null when nothing can be restored, or that is not known. */
  readonly rpoMs: number | null;
  readonly objectives: { readonly rpoMs: number };
  readonly newestVerifiedBackup: string | null;
  readonly newest: KnownBackup | null;
  readonly lastDrill: { readonly id: string; readonly at: string; readonly status: string } | null;
  readonly schedules: ScheduleFacts | null;
  /** Success rates of 30 days, by operation and kind. */
  readonly health: readonly OperationHealth[];
  readonly wal?: WalFacts;
  readonly replication?: ReplicationStatus;
  readonly problems: readonly Problem[];
}

/** The moment a restore of a backup leads to: a dump shows the data of its beginning, a base backup that of its end. */
export const recoversTo = (backup: KnownBackup): number => Date.parse(backup.engine !== null && engineTraits[backup.engine].pointInTime === 'end' ? backup.endedAt : backup.startedAt);

export function judge(facts: TargetFacts, now: number): TargetStatus {
  const { newest } = facts;
  const { wal } = facts;
  const end = facts.walCut === undefined ? wal?.newest : facts.walCut.to;
  const archived = newest !== null && facts.walReachable === true && end != null ? Date.parse(end) : 0;
  const rpoMs = newest === null ? null : Math.max(0, now - Math.max(archived, recoversTo(newest)));
  const problems: Problem[] = [];
  const objective = (code: ProblemCode, message: string): void => void problems.push({ code, severity: 'objective', message });
  const warn = (code: ProblemCode, message: string): void => void problems.push({ code, severity: 'warning', message });

  if (rpoMs === null && facts.unreachable.length > 0) objective('unknown', 'no repository that answers has a verified backup');
  else if (rpoMs === null) objective('noBackup', 'there is no verified backup');
  else if (rpoMs > facts.rpoMs) objective('rpo', `${formatDuration(rpoMs)} of data would be lost now; the RPO is ${formatDuration(facts.rpoMs)}`);

  for (const one of facts.unreachable) warn('unreachable', `repository ${one.name}: ${one.message}`);
  if (newest !== null) {
    const away = new Set(facts.unreachable.map(({ name }) => name));
    const missing = facts.wanted.filter((name) => !newest.repositories.includes(name) && !away.has(name));
    if (missing.length > 0) warn('degraded', `the newest backup ${newest.id} is not in ${missing.join(', ')}`);
    if (newest.sourceBytes === 0) warn('empty', `the newest backup ${newest.id} is empty`);
    if (newest.durationMs > facts.maxDurationMs) warn('slow', `the newest backup took ${formatDuration(newest.durationMs)}, more than ${formatDuration(facts.maxDurationMs)}`);
  }
  if (wal !== undefined) {
    if (wal.newest === null) warn('wal', 'no WAL is archived yet: resurgo wal start');
    else if (newest !== null && facts.walReachable !== true) warn('wal', 'the archived WAL does not go on from the newest backup: take a full one');
    if (facts.walCut !== undefined) warn('wal', `the WAL archived up to ${facts.walCut.behind} lies behind a hole and cannot be reached: take a full backup`);
    if (wal.running === false && (wal.newest === null || now - Date.parse(wal.newest) > 120_000)) warn('wal', `the WAL archive does not run${wal.newest === null ? '' : `; it ends at ${wal.newest}`}`);
    for (const problem of wal.problems) warn('wal', problem);
    for (const gap of wal.gaps.slice(0, 3)) warn('walGap', gap);
  }
  if (facts.replication !== undefined) problems.push(...replicationProblems(facts.replication, now));
  const shrunk = shrinkage(facts.fulls);
  if (shrunk !== undefined) warn('shrunk', shrunk);
  const full = facts.fulls[0]?.sourceBytes ?? null;
  for (const { name, freeBytes } of facts.space ?? []) if (full !== null && freeBytes < full) warn('headroom', `repository ${name} has ${formatBytes(freeBytes)} free; the newest full backup is of ${formatBytes(full)}`);
  if (facts.damaged > 0) warn('damaged', `${String(facts.damaged)} ${facts.damaged === 1 ? 'backup has' : 'backups have'} lost the manifest`);
  const [failed] = facts.failedRuns;
  if (failed !== undefined) warn('failedRuns', `${String(facts.failedRuns.length)} failed since the newest verified backup, last ${failed.startedAt}: ${failed.message}`);
  const { health = [], minSuccess = 95 } = facts;
  for (const one of health) if (one.rate !== null && one.rate * 100 < minSuccess) warn('successRate', healthLine(one));
  if (facts.schedules !== null) judgeSchedules(facts.schedules, warn);
  return { name: facts.name, rpoMs, objectives: { rpoMs: facts.rpoMs }, newestVerifiedBackup: newest?.id ?? null, newest, lastDrill: null, schedules: facts.schedules, health, ...(wal === undefined ? {} : { wal }), ...(facts.replication === undefined ? {} : { replication: facts.replication }), problems };
}

/** A full that is less than half of what the five before it were (their median). Incrementals are as small as the day was quiet. */
function shrinkage(fulls: readonly KnownBackup[]): string | undefined {
  const [last, ...before] = fulls.filter((full) => full.sourceBytes !== null);
  const sizes = before.slice(0, 5).map((full) => full.sourceBytes ?? 0).sort((a, b) => a - b);
  if (last === undefined || sizes.length < 3) return undefined;
  const half = Math.floor(sizes.length / 2);
  const median = sizes.length % 2 === 1 ? (sizes[half] ?? 0) : ((sizes[half - 1] ?? 0) + (sizes[half] ?? 0)) / 2;
  const bytes = last.sourceBytes ?? 0;
  return bytes < median / 2 ? `the newest full backup ${last.id} has ${formatBytes(bytes)}, the ${String(sizes.length)} before it ${formatBytes(median)} (median)` : undefined;
}

function judgeSchedules(schedules: ScheduleFacts, warn: (code: ProblemCode, message: string) => void): void {
  if (schedules.notApplied > 0) warn('notScheduled', `${String(schedules.notApplied)} schedules of the configuration are not in Temporal: resurgo schedules apply`);
  for (const one of schedules.paused) warn('paused', `schedule ${one.id} is paused${one.note === undefined ? '' : `: ${one.note}`}`);
  for (const one of schedules.missed) warn('missed', `schedule ${one.id} did not start at ${one.due}`);
}
