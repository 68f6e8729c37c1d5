/** Which archived WAL is due to be read back, what was, and what is lost where some of it is damaged or missing. Pure. */
import { formatLsn, parseLsn } from './lsn.ts';
import type { WalLoss } from './operations.ts';
import type { RecoveryBackup } from './recovery.ts';
import { coverage, gapsOf, newestTime, pathOf, type WalLineage, type WalPiece } from './wal.ts';

/** Read back whole at `at` (ms). */
export interface ReadStretch {
  readonly start: bigint;
  readonly end: bigint;
  readonly at: number;
}

export interface DamagedPiece {
  readonly name: string;
  readonly at: number;
  readonly code: string;
  readonly message: string;
}

/** What is remembered of one timeline in one repository. */
export interface TimelineReadBack {
  readonly read: readonly ReadStretch[];
  readonly damaged: readonly DamagedPiece[];
}

/** When the part of a piece that waited longest was read; undefined: some of it never was. */
export function readAt(piece: Pick<WalPiece, 'start' | 'end'>, read: readonly ReadStretch[]): number | undefined {
  let at = piece.start;
  let oldest: number | undefined;
  // Disjoint and ascending, as addRead leaves them.
  for (const stretch of read) {
    if (stretch.end <= at) continue;
    if (stretch.start > at) return undefined;
    oldest = Math.min(oldest ?? stretch.at, stretch.at);
    at = stretch.end;
    if (at >= piece.end) return oldest;
  }
  return undefined;
}

const minuteMs = 60_000;

/** Disjoint, ascending; what touches and was read in the same minute is one. */
export function addRead(read: readonly ReadStretch[], more: readonly ReadStretch[]): ReadStretch[] {
  const cuts = [...new Set([...read, ...more].flatMap(({ start, end }) => [start, end]))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const all = [...read, ...more].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const merged: { start: bigint; end: bigint; at: number }[] = [];
  let from = 0;
  let open: ReadStretch[] = [];
  for (const [i, start] of cuts.slice(0, -1).entries()) {
    const end = cuts[i + 1] as bigint;
    while (from < all.length && (all[from] as ReadStretch).start <= start) open.push(all[from++] as ReadStretch);
    open = open.filter((stretch) => stretch.end > start);
    if (open.length === 0) continue;
    // The newest reading counts.
    const at = Math.max(...open.map((stretch) => stretch.at - (stretch.at % minuteMs)));
    const last = merged.at(-1);
    if (last?.end === start && last.at === at) last.end = end;
    else merged.push({ start, end, at });
  }
  return merged;
}

/** What is gone from the archive need not be remembered. */
export const keepRead = (read: readonly ReadStretch[], pieces: readonly WalPiece[]): ReadStretch[] => {
  const held = coverage(pieces);
  return read.filter((stretch) => held.some(({ start, end }) => start < stretch.end && stretch.start < end));
};

export interface DueOptions {
  readonly now: number;
  /** Everything is read back once in this time, ms. */
  readonly scrubMs: number;
  /** Time between two runs, ms. */
  readonly everyMs: number;
  readonly all?: boolean;
}

export interface ScrubPiece {
  readonly lineage: string;
  readonly timeline: number;
  readonly piece: WalPiece;
  readonly readAt: number | undefined;
}

/**
 * Never read first: all that came since the last run or two, of an archive that is older than its reading back a few shares each time. Then the longest unread, as
 * much as this run's share of the whole; twice that while something is overdue.
 */
export function dueWal(pieces: readonly ScrubPiece[], { now, scrubMs, everyMs, all }: DueOptions): ScrubPiece[] {
  const sorted = [...pieces].sort((a, b) => (a.readAt ?? 0) - (b.readAt ?? 0) || (a.piece.start < b.piece.start ? -1 : a.piece.start > b.piece.start ? 1 : 0));
  if (all === true) return sorted;
  const sizeOf = (some: readonly ScrubPiece[]): number => some.reduce((sum, { piece }) => sum + piece.bytes, 0);
  const share = (sizeOf(sorted) * everyMs) / scrubMs;
  const fresh = sizeOf(sorted.filter(({ piece }) => (piece.time ?? 0) > now - 2 * everyMs));
  const most = Math.max(4 * share, fresh);
  const due: ScrubPiece[] = [];
  let bytes = 0;
  for (const one of sorted) {
    const age = one.readAt === undefined ? Infinity : now - one.readAt;
    if (age < scrubMs / 10 || bytes >= (age === Infinity ? most : age < scrubMs ? share : 2 * share)) break;
    due.push(one);
    bytes += one.piece.bytes;
  }
  return due;
}

const iso = (time: number | undefined): string | null => (time === undefined ? null : new Date(time).toISOString());

/**
 * The holes of an archive from which what is damaged was taken out, and where points can be reached again.
 * @param whole the same archive with what is damaged still in it: a hole of this too is missing, not damaged
 * @param backups undamaged ones of this system
 */
export function lossesOf(lineages: readonly WalLineage[], whole: readonly WalLineage[], backups: readonly RecoveryBackup[], now: number): WalLoss[] {
  const losses: WalLoss[] = [];
  for (const lineage of lineages) for (const timeline of lineage.timelines) {
    const known = whole.find(({ id }) => id === lineage.id)?.timelines.find((one) => one.timeline === timeline.timeline)?.pieces ?? [];
    const ends = coverage(timeline.pieces).at(-1)?.end;
    const stored = coverage(known);
    const wasStored = (hole: { start: bigint; end: bigint }): boolean => stored.some(({ start, end }) => start < hole.end && hole.start < end);
    const holes = gapsOf([{ ...lineage, timelines: [timeline] }]).filter((gap) => wasStored(gap) || !isUnderWay(timeline.pieces, gap, now)).map(({ start, end }) => ({ start, end }));
    // What lies behind the last whole piece is no hole, but lost all the same.
    const beyond = stored.at(-1)?.end;
    if (beyond !== undefined && (ends === undefined || beyond > ends)) holes.push({ start: ends ?? (stored[0]?.start as bigint), end: beyond });
    for (const hole of holes) {
      const behind = timeline.pieces.filter(({ start }) => start >= hole.end).flatMap(({ time }) => (time === undefined ? [] : [time]));
      losses.push({
        lineage: lineage.id, timeline: timeline.timeline, fromLsn: formatLsn(hole.start), toLsn: formatLsn(hole.end), why: wasStored(hole) ? 'damaged' : 'missing',
        from: iso(newestTime(timeline.pieces, hole.start)), to: behind.length === 0 ? null : iso(Math.min(...behind)),
        reachableAgainFrom: backupBehind(lineages, lineage, timeline.timeline, hole.end, backups),
      });
    }
  }
  return losses;
}

function backupBehind(lineages: readonly WalLineage[], lineage: WalLineage, timeline: number, lsn: bigint, backups: readonly RecoveryBackup[]): string | null {
  const tip = lineage.timelines.at(-1);
  const on = tip === undefined ? [] : pathOf(lineages, lineage, tip).map((step) => step.timeline);
  const behind = backups.filter((backup) => on.includes(backup.timeline) && (backup.timeline > timeline || (backup.timeline === timeline && parseLsn(backup.startLsn) >= lsn)));
  return behind.sort((a, b) => (parseLsn(a.startLsn) < parseLsn(b.startLsn) ? -1 : 1))[0]?.id ?? null;
}

/** Objects are stored several at once: a hole right behind which something has just been stored is filled in a moment. */
export function isUnderWay(pieces: readonly WalPiece[], gap: { readonly start: bigint; readonly end: bigint }, now: number): boolean {
  const behind = newestTime(pieces.filter(({ start, end }) => start >= gap.end && start < end));
  const before = newestTime(pieces, gap.start);
  return behind !== undefined && before !== undefined && now - behind < 30_000 && now - before < 60_000;
}

/** In words, for people. */
export function describeHole({ fromLsn, toLsn, timeline, why, from }: WalLoss): string {
  const kib = (parseLsn(toLsn) - parseLsn(fromLsn)) / 1024n;
  return `WAL ${fromLsn} to ${toLsn} of timeline ${String(timeline)} is ${why} (${String(kib)} KiB${from === null ? '' : `, after ${from}`})`;
}

/** With what it means for restores. */
export function describeLoss(loss: WalLoss): string {
  const from = loss.from === null ? 'points in it' : `points after ${loss.from}`;
  return `${describeHole(loss)}: ${from} cannot be reached ${loss.reachableAgainFrom === null ? 'any more; take a full backup now' : `up to the end of backup ${loss.reachableAgainFrom}`}`;
}
