/**
 * The WAL archive of one database system in one repository, as its listing tells it: which stretches of which timeline are there, up to which
 * moment, and what can be reached from which backup. Pure. Names and layout: docs/repository-format.md.
 */
import { hexLsn } from './lsn.ts';

/** A stored stretch of WAL, or (`start` = `end`) a mark that nothing was written up to `time`. Told by its name alone. */
export interface WalPiece {
  readonly start: bigint;
  readonly end: bigint;
  /** ms: whatever was committed before, by the database's clock, lies below `end`. Undefined: not known. */
  readonly time: number | undefined;
  /** Id of the key it is sealed under; undefined for a mark. */
  readonly key: string | undefined;
  readonly name: string;
  readonly bytes: number;
}

/** (time, position): what was acknowledged before `time` lies below `lsn`. */
export interface WalSample {
  readonly time: number;
  readonly lsn: bigint;
}

/** Where a timeline left an older one, newest last, as its history file says. */
export interface Ancestor {
  readonly timeline: number;
  /** Position at which it was left. */
  readonly lsn: bigint;
}

export interface RestorePoint {
  readonly name: string;
  /** End of its record: replay up to here shows the database as it was then. */
  readonly lsn: bigint;
}

export interface WalTimeline {
  readonly timeline: number;
  readonly ancestors: readonly Ancestor[];
  /** By start, then the longer first. */
  readonly pieces: readonly WalPiece[];
  readonly points: readonly RestorePoint[];
  /** The restore in place whose data it is, `''`: of none. Absent: not known, or no data was ever swapped. */
  readonly history?: string;
  /** That restore was rolled back. */
  readonly givenUp?: true;
}

/** One unbroken line of history of a cluster, with the timelines it passed through. */
export interface WalLineage {
  readonly id: string;
  readonly systemId: string;
  readonly createdAt: string;
  readonly segmentBytes: number;
  /** The lineage this one left, and where: a restore to an earlier point, or a failover that lost a tail. */
  readonly parent: { readonly lineage: string; readonly timeline: number; readonly lsn: bigint } | null;
  /** Ascending. */
  readonly timelines: readonly WalTimeline[];
  /** As of a timeline: what it was when the lineage began. */
  readonly history?: string;
  readonly givenUp?: true;
}

const compactTime = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})(\d{3})Z$/;
const piecePattern = /^([0-9A-F]{16})-([0-9A-F]{16})-(\d{8}T\d{9}Z|none)-([0-9a-z]{1,40})$/;

export function pieceName(piece: Pick<WalPiece, 'start' | 'end' | 'time' | 'key'>): string {
  const time = piece.time === undefined ? 'none' : new Date(piece.time).toISOString().replaceAll(/[-:.]/g, '');
  return `${hexLsn(piece.start)}-${hexLsn(piece.end)}-${time}-${piece.key ?? '0'}`;
}

export function parsePieceName(name: string, bytes = 0): WalPiece | undefined {
  const [, start, end, time, key] = piecePattern.exec(name) ?? [];
  if (start === undefined || end === undefined || time === undefined) return undefined;
  const [, y, mo, d, h, mi, s, ms] = compactTime.exec(time) ?? [];
  const at = y === undefined ? undefined : Date.parse(`${y}-${mo ?? ''}-${d ?? ''}T${h ?? ''}:${mi ?? ''}:${s ?? ''}.${ms ?? ''}Z`);
  const piece = { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), time: at === undefined || Number.isNaN(at) ? undefined : at, key: key === '0' ? undefined : key, name, bytes };
  return piece.end < piece.start ? undefined : piece;
}

export const sortPieces = (pieces: readonly WalPiece[]): WalPiece[] =>
  [...pieces].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : a.end > b.end ? -1 : a.end < b.end ? 1 : 0));

export interface Stretch {
  readonly start: bigint;
  readonly end: bigint;
}

/** Stretches without a hole, ascending. */
export function coverage(pieces: readonly WalPiece[]): Stretch[] {
  const found: { start: bigint; end: bigint }[] = [];
  for (const { start, end } of sortPieces(pieces)) {
    const last = found.at(-1);
    if (last !== undefined && start <= last.end) {
      if (end > last.end) last.end = end;
    } else if (start < end) found.push({ start, end });
  }
  return found;
}

/** How far it goes on without a hole from `from`; `from` itself where nothing begins there. */
export function frontier(pieces: readonly WalPiece[], from: bigint): bigint {
  const stretch = coverage(pieces).find(({ start, end }) => start <= from && from <= end);
  return stretch === undefined ? from : stretch.end;
}

/** The fewest objects that together hold [from, to), in order; undefined where there is a hole. */
export function cover(pieces: readonly WalPiece[], from: bigint, to: bigint): WalPiece[] | undefined {
  const chosen: WalPiece[] = [];
  const sorted = sortPieces(pieces);
  let at = from;
  let i = 0;
  while (at < to) {
    let best: WalPiece | undefined;
    for (; i < sorted.length; i++) {
      const piece = sorted[i] as WalPiece;
      if (piece.start > at) break;
      if (piece.end > at && (best === undefined || piece.end > best.end)) best = piece;
    }
    if (best === undefined) return undefined;
    chosen.push(best);
    at = best.end;
  }
  return chosen;
}

/** A stretch of a timeline on the way from a backup to a target. */
export interface PathStep extends Stretch {
  readonly lineage: string;
  readonly timeline: number;
  /** As of its timeline. */
  readonly history?: string;
}

/** The timelines a branch consists of, oldest first, each from where it was entered to where it was left; the last is open. */
export function pathOf(lineages: readonly WalLineage[], lineage: WalLineage, timeline: WalTimeline): (PathStep & { readonly pieces: readonly WalPiece[] })[] {
  const steps: (PathStep & { pieces: readonly WalPiece[] })[] = [];
  let start = 0n;
  const all = [...timeline.ancestors, { timeline: timeline.timeline, lsn: (1n << 64n) - 1n }];
  for (const { timeline: number, lsn } of all) {
    const held = timelineIn(lineages, lineage, number, lsn);
    steps.push({ lineage: held?.lineage ?? lineage.id, timeline: number, start, end: lsn, pieces: held?.pieces ?? [], ...(held?.history === undefined ? {} : { history: held.history }) });
    start = lsn;
  }
  return steps;
}

/** An older timeline may lie in the lineage itself or in one it came from, where it is the same only up to the point of leaving. */
function timelineIn(lineages: readonly WalLineage[], from: WalLineage, timeline: number, upTo: bigint): { lineage: string; pieces: readonly WalPiece[]; history: string | undefined } | undefined {
  const seen = new Set<string>();
  let pieces: readonly WalPiece[] = [];
  let owner: { lineage: string; history: string | undefined } | undefined;
  for (let at: WalLineage | undefined = from; at !== undefined && !seen.has(at.id); ) {
    seen.add(at.id);
    const held = at.timelines.find((one) => one.timeline === timeline);
    owner ??= held && { lineage: at.id, history: held.history };
    // A restore that made no timeline of its own left that of its parent nobody knows where: only its own bytes are its own.
    if (held !== undefined && sameHistory(held.history, owner?.history)) {
      // Beyond the point of leaving it is another history; below it the bytes are the same.
      pieces = [...pieces, ...held.pieces.filter((piece) => piece.start < upTo)];
    }
    const parent: string | undefined = at.parent?.lineage;
    at = lineages.find((one) => one.id === parent);
  }
  return owner === undefined ? undefined : { ...owner, pieces };
}

/** What is not known of may be the same. */
export const sameHistory = (a: string | undefined, b: string | undefined): boolean => a === undefined || b === undefined || a === b;

/** Whether a branch passed through the end of a backup: its timeline, its position, and in the history it is of. */
export const passesThrough = (path: readonly PathStep[], at: { readonly timeline: number; readonly lsn: bigint; readonly history?: string }): boolean =>
  path.some((step) => step.timeline === at.timeline && at.lsn >= step.start && at.lsn <= step.end && sameHistory(step.history, at.history));

/** The newest known moment of a timeline: mark or piece, at or below `upTo`. */
export function newestTime(pieces: readonly WalPiece[], upTo?: bigint): number | undefined {
  let newest: number | undefined;
  for (const { time, end } of pieces) if (time !== undefined && (upTo === undefined || end <= upTo) && (newest === undefined || time > newest)) newest = time;
  return newest;
}

/**
 * The history that is the present one first: whose last moment is the newest. Not the one that began last: a restore that was rolled back leaves a younger
 * lineage behind, and the older one goes on.
 */
export function presentFirst(a: WalLineage, b: WalLineage): number {
  const last = ({ createdAt, timelines }: WalLineage): number => Math.max(Date.parse(createdAt) || 0, ...timelines.map(({ pieces }) => newestTime(pieces) ?? 0));
  return last(b) - last(a) || (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : a.id < b.id ? 1 : -1);
}

export interface Gap extends Stretch {
  readonly lineage: string;
  readonly timeline: number;
}

/** Holes between stretches of a timeline: WAL that was never stored, or lost since. */
export function gapsOf(lineages: readonly WalLineage[]): Gap[] {
  return lineages.flatMap((lineage) => lineage.timelines.flatMap((timeline) => {
    const stretches = coverage(timeline.pieces);
    return stretches.slice(1).map((next, i): Gap => ({ lineage: lineage.id, timeline: timeline.timeline, start: (stretches[i] as Stretch).end, end: next.start }));
  }));
}
