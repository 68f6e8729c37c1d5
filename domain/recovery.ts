/** Which backup and which WAL lead to a point in time, or why none does. Pure; the archive and the backups are those of one database system. */
import { ResurgoError } from './errors.ts';
import { formatLsn, isLsn, parseLsn } from './lsn.ts';
import { cover, coverage, frontier, newestTime, passesThrough, pathOf, type PathStep, type WalLineage, type WalPiece, type WalTimeline } from './wal.ts';

export interface RecoveryInput {
  /** ISO time, or `latest`: the end of what is archived. */
  readonly time?: string;
  readonly lsn?: string;
  readonly point?: string;
  /** Where several histories fit. */
  readonly timeline?: number;
}

export interface RecoveryBackup {
  readonly id: string;
  readonly name: string;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly timeline: number;
  /** By the clock of the host that took it; only where no sample of the database's clock tells. */
  readonly endedAt: string;
  /** The restore in place whose data it holds, `''`: of none. Absent: not known. */
  readonly history?: string;
  /** That restore, where it was rolled back. */
  readonly givenUp?: string;
}

export const recoveryBackup = (ref: Pick<RecoveryBackup, 'id' | 'name' | 'history' | 'givenUp'>, wal: Pick<RecoveryBackup, 'startLsn' | 'stopLsn' | 'timeline'>, endedAt: string): RecoveryBackup => ({
  id: ref.id, name: ref.name, ...wal, endedAt, ...(ref.history === undefined ? {} : { history: ref.history }), ...(ref.givenUp === undefined ? {} : { givenUp: ref.givenUp }),
});

export interface RecoveryStep {
  readonly lineage: string;
  readonly timeline: number;
  readonly from: string;
  readonly to: string;
}

/** Everything a recovery needs to know, JSON-safe. */
export interface RecoveryPlan {
  readonly target: { readonly kind: 'time' | 'lsn' | 'point' | 'latest'; readonly value: string };
  readonly backup: string;
  readonly systemId: string;
  readonly lineage: string;
  readonly timeline: number;
  readonly segmentBytes: number;
  /** WAL is replayed up to here; nothing behind it is given to the server. */
  readonly endLsn: string;
  /** The moment reached, by the database's clock; undefined where no sample tells. */
  readonly endTime?: string;
  /** Replay stops before what was committed after. */
  readonly stopTime?: string;
  /** The stretches of WAL to be read, in order. */
  readonly steps: readonly RecoveryStep[];
  readonly segments: number;
  readonly storedBytes: number;
  readonly window: RecoveryWindow;
}

export interface RecoveryWindow {
  readonly from: string | null;
  readonly fromLsn: string | null;
  readonly to: string | null;
  readonly toLsn: string | null;
  /** WAL that lies behind a hole after `toLsn`: it is archived, and nothing leads to it. */
  readonly behindHole?: { readonly to: string; readonly toLsn: string };
}

type Pieces = readonly WalPiece[];

interface Branch {
  readonly lineage: WalLineage;
  readonly timeline: WalTimeline;
  readonly path: readonly (PathStep & { readonly pieces: Pieces })[];
  /** Where the archive of its last timeline ends, and when. */
  readonly end: bigint;
  readonly newest: number | undefined;
}

const unreachable = (message: string): ResurgoError => new ResurgoError('recoveryTargetUnreachable', message);

function branches(lineages: readonly WalLineage[]): Branch[] {
  return lineages.flatMap((lineage) => lineage.timelines.map((timeline): Branch => {
    const path = pathOf(lineages, lineage, timeline);
    const end = coverage(timeline.pieces).at(-1)?.end ?? path.at(-1)?.start ?? 0n;
    const times = timeline.pieces.flatMap(({ time }) => (time === undefined ? [] : [time]));
    return { lineage, timeline, path, end, newest: times.length === 0 ? undefined : Math.max(...times) };
  }));
}

const isTip = (branch: Branch): boolean => branch.lineage.timelines.at(-1) === branch.timeline;

/** A backup lies on a branch when the branch passed through its stop. */
export const liesOn = ({ path }: Pick<Branch, 'path'>, { stopLsn, timeline, history }: RecoveryBackup): boolean =>
  passesThrough(path, { lsn: parseLsn(stopLsn), timeline, ...(history === undefined ? {} : { history }) });

/** What was given up counts only for whom a backup of it, or its timeline, was named; and then alone. */
function isMeant({ timeline }: Branch, backups: readonly RecoveryBackup[]): boolean {
  if (timeline.givenUp === true) return backups.some(({ givenUp }) => givenUp === timeline.history);
  return backups.length === 0 || backups.some(({ givenUp }) => givenUp === undefined);
}

/** What is to be read between a backup and `end`; the hole where there is one. */
function stepsTo(branch: Branch, backup: RecoveryBackup, end: bigint): { steps: RecoveryStep[]; pieces: WalPiece[] } | { hole: string } {
  const stop = parseLsn(backup.stopLsn);
  const steps: RecoveryStep[] = [];
  const pieces: WalPiece[] = [];
  for (const step of branch.path) {
    const from = step.start > stop ? step.start : stop;
    const to = step.end < end ? step.end : end;
    if (step.end <= stop && step !== branch.path.at(-1)) continue;
    if (from >= to) continue;
    const chosen = cover(step.pieces, from, to);
    if (chosen === undefined) {
      const held = coverage(step.pieces);
      const reached = held.find((one) => one.start <= from && from <= one.end)?.end ?? from;
      const next = held.find((one) => one.start > reached)?.start;
      return { hole: `WAL from ${formatLsn(reached)}${next === undefined ? ' on' : ` to ${formatLsn(next < to ? next : to)}`} of timeline ${String(step.timeline)} is missing` };
    }
    pieces.push(...chosen);
    steps.push({ lineage: step.lineage, timeline: step.timeline, from: formatLsn(from), to: formatLsn(to) });
  }
  return { steps, pieces };
}

/** The newest position known to have been written by `time`, on the branch. */
function writtenBy(branch: Branch, time: number): bigint | undefined {
  let found: bigint | undefined;
  for (const { pieces, end } of branch.path) for (const piece of pieces) {
    if (piece.time === undefined || piece.time > time) continue;
    const lsn = piece.end < end ? piece.end : end;
    if (found === undefined || lsn > found) found = lsn;
  }
  return found;
}

/** The first position behind which lies everything that was committed by `time`. */
function holdsAll(branch: Branch, time: number): { lsn: bigint; at: number } | undefined {
  let found: { lsn: bigint; at: number } | undefined;
  for (const { pieces, end: left } of branch.path) for (const { time: at, end } of pieces) {
    if (at === undefined || at < time || end > left) continue;
    if (found === undefined || end < found.lsn || (end === found.lsn && at < found.at)) found = { lsn: end, at };
  }
  return found;
}

/** How far the branch can be followed without a hole from its newest backup; objects are stored several at once, so behind that end some may lie that nothing leads to yet. */
function reachOf(branch: Branch, backups: readonly RecoveryBackup[]): bigint {
  const entered = branch.path.at(-1)?.start ?? 0n;
  const stops = backups.filter((backup) => liesOn(branch, backup)).map(({ stopLsn }) => parseLsn(stopLsn)).sort((a, b) => (a < b ? 1 : -1));
  const [newest] = stops;
  if (newest === undefined) return branch.end;
  // Where the newest backup lies behind the end of the archive, it is the end itself.
  return frontier(branch.timeline.pieces, newest > entered ? newest : entered);
}

/** What is stored out of order is in order again after this. */
const transientMs = 20_000;

/** Of the history people mean when they name none: the newest timeline of the present lineage, which is the first. */
export function windowOf(lineages: readonly WalLineage[], backups: readonly RecoveryBackup[]): RecoveryWindow {
  const branch = branches(lineages).find((one) => isTip(one) && isMeant(one, backups));
  if (branch === undefined) return { from: null, fromLsn: null, to: null, toLsn: null };
  const usable = backups.filter((backup) => liesOn(branch, backup));
  const end = reachOf(branch, backups);
  const oldest = usable.filter((backup) => parseLsn(backup.stopLsn) <= end && 'steps' in stepsTo(branch, backup, end)).sort((a, b) => (parseLsn(a.stopLsn) < parseLsn(b.stopLsn) ? -1 : 1))[0];
  if (oldest === undefined) return { from: null, fromLsn: null, to: null, toLsn: null };
  const newest = newestTime(branch.timeline.pieces, end);
  const behind = newestTime(branch.timeline.pieces);
  const far = branch.timeline.pieces.reduce((most, piece) => (piece.end > most ? piece.end : most), end);
  // Objects are stored several at once: what is only seconds ahead will be led to in a moment.
  const cut = far > end && behind !== undefined && behind - (newest ?? Date.parse(oldest.endedAt)) > transientMs ? { behindHole: { to: new Date(behind).toISOString(), toLsn: formatLsn(far) } } : {};
  return { from: oldest.endedAt, fromLsn: oldest.stopLsn, to: newest === undefined ? null : new Date(newest).toISOString(), toLsn: formatLsn(end), ...cut };
}

export function describeWindow(window: RecoveryWindow): string {
  if (window.fromLsn === null) return 'no point can be reached: there is no backup with WAL behind it';
  return `reachable: ${window.from ?? '?'} (LSN ${window.fromLsn}) to ${window.to ?? '?'} (LSN ${window.toLsn ?? '?'})`;
}

interface Goal {
  readonly branch: Branch;
  readonly end: bigint;
  readonly endTime: number | undefined;
  /** As it was asked for: it may have more digits than `endTime`. */
  readonly stopTime?: string;
  /** A backup must have ended by here. */
  readonly backupBy: bigint;
}

/**
 * @param backups published, undamaged, of this system, any order; those that were given up only when they were asked for
 * @throws recoveryTargetUnreachable, recoveryTargetAmbiguous, inputInvalid
 */
export function planRecovery(lineages: readonly WalLineage[], backups: readonly RecoveryBackup[], input: RecoveryInput): RecoveryPlan {
  const window = windowOf(lineages, backups);
  const said = [input.time, input.lsn, input.point].filter((one) => one !== undefined).length;
  if (said !== 1) throw new ResurgoError('inputInvalid', 'a point in time is named by exactly one of time, lsn and point');
  const named = branches(lineages).filter((branch) => input.timeline === undefined || branch.timeline.timeline === input.timeline);
  const meant = named.filter((branch) => isMeant(branch, backups));
  const all = input.timeline !== undefined && meant.length === 0 ? named : meant;
  if (all.length === 0) throw unreachable(input.timeline === undefined ? `no WAL is archived${named.length === 0 ? '' : ' but of restores that were rolled back'}` : `no WAL of timeline ${String(input.timeline)} is archived`);
  const { kind, value, goals } = goalsOf(all, backups, input, window);
  // Of two ways to the same place one is enough: a branch that only goes on from another says nothing new.
  const distinct = goals.filter((goal, i) => !goals.some((other, j) => i !== j && other.end === goal.end && sameWay(other, goal) && (j < i)));
  if (distinct.length > 1) {
    throw new ResurgoError('recoveryTargetAmbiguous', `${kind} ${value} fits ${String(distinct.length)} histories: ${distinct.map((goal) => `timeline ${String(goal.branch.timeline.timeline)} of lineage ${goal.branch.lineage.id.slice(0, 8)} at LSN ${formatLsn(goal.end)}`).join(', ')}`);
  }
  const [goal] = distinct;
  if (goal === undefined) throw unreachable(`${kind} ${value} cannot be reached; ${describeWindow(window)}`);
  return { target: { kind, value }, ...choose(goal, backups, `${kind} ${value}`, window), window };
}

/** Both lead through the same timeline of the same lineage at their end. */
function sameWay(a: Goal, b: Goal): boolean {
  const at = (goal: Goal): PathStep | undefined => goal.branch.path.find(({ start, end }) => goal.end > start && goal.end <= end) ?? goal.branch.path.at(-1);
  const [x, y] = [at(a), at(b)];
  return x?.timeline === y?.timeline && x?.lineage === y?.lineage;
}

function latest(branch: Branch, backups: readonly RecoveryBackup[]): Goal {
  const end = reachOf(branch, backups);
  return { branch, end, endTime: newestTime(branch.timeline.pieces, end), backupBy: end };
}

function goalsOf(all: readonly Branch[], backups: readonly RecoveryBackup[], input: RecoveryInput, window: RecoveryWindow): { kind: RecoveryPlan['target']['kind']; value: string; goals: Goal[] } {
  if (input.time === 'latest') {
    const branch = all.find(isTip) ?? all[0];
    return { kind: 'latest', value: 'latest', goals: branch === undefined ? [] : [latest(branch, backups)] };
  }
  if (input.time !== undefined) return { kind: 'time', value: input.time, goals: byTime(all, input.time, window) };
  if (input.lsn !== undefined) {
    if (!isLsn(input.lsn)) throw new ResurgoError('inputInvalid', `${JSON.stringify(input.lsn)} is not an LSN (like 16/B374D848)`);
    const lsn = parseLsn(input.lsn);
    // On each timeline's own stretch; older stretches belong to the timelines that wrote them.
    const goals = all.filter(({ path, end }) => lsn > (path.at(-1)?.start ?? 0n) && lsn <= end).map((branch): Goal => ({ branch, end: lsn, endTime: undefined, backupBy: lsn }));
    return { kind: 'lsn', value: input.lsn, goals };
  }
  const name = input.point ?? '';
  const goals = all.flatMap((branch) => branch.timeline.points.filter((point) => point.name === name && point.lsn > (branch.path.at(-1)?.start ?? 0n)).map(({ lsn }): Goal => ({ branch, end: lsn, endTime: undefined, backupBy: lsn })));
  if (goals.length === 0) {
    const known = [...new Set(all.flatMap(({ timeline }) => timeline.points.map((point) => point.name)))];
    throw unreachable(`there is no restore point ${JSON.stringify(name)} in the archive${known.length === 0 ? ', nor any other' : `; there are ${known.slice(-10).map((one) => JSON.stringify(one)).join(', ')}`}`);
  }
  return { kind: 'point', value: name, goals };
}

function byTime(all: readonly Branch[], text: string, window: RecoveryWindow): Goal[] {
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new ResurgoError('inputInvalid', `${JSON.stringify(text)} is not a time (like 2026-11-25T14:03:00Z)`);
  // A timeline was the database from its first moment to its last; of those that were it at this time the newest is meant, unless two were at once.
  const live = all.filter((branch) => (branch.newest ?? 0) >= time && firstMoment(branch) <= time);
  const later = all.filter((branch) => (branch.newest ?? 0) >= time);
  const chosen = live.length > 0 ? live : later.slice(-1);
  const goals = chosen.flatMap((branch): Goal[] => {
    const all_ = holdsAll(branch, /\.\d{3}\d*[1-9]/.test(text) ? time + 1 : time);
    return all_ === undefined ? [] : [{ branch, end: all_.lsn, endTime: time, stopTime: text, backupBy: writtenBy(branch, time) ?? 0n }];
  });
  if (goals.length === 0) {
    const newest = Math.max(...all.map((branch) => branch.newest ?? 0));
    throw unreachable(newest === 0 ? `time ${text} cannot be reached: no moment is known for the archived WAL` : `time ${text} lies behind the end of the archived WAL, ${new Date(newest).toISOString()}; ${describeWindow(window)}`);
  }
  return goals;
}

const firstMoment = (branch: Branch): number => {
  const own = branch.timeline.pieces.flatMap(({ time }) => (time === undefined ? [] : [time]));
  const first = own.length === 0 ? 0 : Math.min(...own);
  // The first timeline of all reaches back to its oldest backup.
  return branch.path.length === 1 && branch.lineage.parent === null ? 0 : first;
};

function choose(goal: Goal, backups: readonly RecoveryBackup[], what: string, window: RecoveryWindow): Omit<RecoveryPlan, 'target' | 'window'> {
  const on = backups.filter((backup) => liesOn(goal.branch, backup)).sort((a, b) => (parseLsn(a.stopLsn) < parseLsn(b.stopLsn) ? 1 : -1));
  if (on.length === 0) throw unreachable(`${what} cannot be reached: no backup belongs to timeline ${String(goal.branch.timeline.timeline)} of lineage ${goal.branch.lineage.id.slice(0, 8)}`);
  const before = on.filter((backup) => parseLsn(backup.stopLsn) <= goal.backupBy || (goal.stopTime !== undefined && parseLsn(backup.stopLsn) <= goal.end && Date.parse(backup.endedAt) + clockSlackMs <= Date.parse(goal.stopTime)));
  if (before.length === 0) throw unreachable(`${what} lies before the end of the first backup (${on.at(-1)?.id ?? ''}, LSN ${on.at(-1)?.stopLsn ?? ''}, ${on.at(-1)?.endedAt ?? ''}); ${describeWindow(window)}`);
  let hole = '';
  for (const backup of before) {
    const found = stepsTo(goal.branch, backup, goal.end);
    if ('hole' in found) {
      hole ||= found.hole;
      continue;
    }
    const { segmentBytes, systemId } = goal.branch.lineage;
    const bytes = BigInt(segmentBytes);
    const segments = found.steps.reduce((sum, { from, to }) => sum + Number((parseLsn(to) - 1n) / bytes - parseLsn(from) / bytes + 1n), 0);
    return {
      backup: backup.id, systemId, lineage: goal.branch.lineage.id, timeline: goal.branch.timeline.timeline, segmentBytes, endLsn: formatLsn(goal.end), steps: found.steps, segments,
      storedBytes: found.pieces.reduce((sum, piece) => sum + piece.bytes, 0),
      ...(goal.endTime === undefined ? {} : { endTime: new Date(goal.endTime).toISOString() }),
      ...(goal.stopTime === undefined ? {} : { stopTime: goal.stopTime }),
    };
  }
  throw unreachable(`${what} cannot be reached from ${String(before.length)} backup(s) before it: ${hole}; ${describeWindow(window)}`);
}

/** A backup's end is told by the clock of its host; so much it may differ from the database's. */
const clockSlackMs = 5000;
