/** Which WAL a repository may let go. Pure. Whatever a point in the window needs stays, from the backup before the window on; without a backup all stays. */
import { parseLsn } from './lsn.ts';
import { liesOn, type RecoveryBackup } from './recovery.ts';
import { newestTime, pathOf, type WalLineage, type WalPiece } from './wal.ts';

/** Where no rule says how long points in time are to be reachable. */
export const defaultPitrMs = 7 * 24 * 3_600_000;

export interface WalRemoval {
  readonly lineage: string;
  readonly timeline: number;
  readonly piece: WalPiece;
}

export interface WalDecision {
  readonly remove: readonly WalRemoval[];
  readonly kept: number;
  /** In words, where something keeps more than the window asks for. */
  readonly reasons: readonly string[];
}

/**
 * @param backups those that stay, of this system, with the WAL they need to be consistent inside themselves
 * @param cutoff ms: points before need not be reachable
 */
export function decideWal(lineages: readonly WalLineage[], backups: readonly RecoveryBackup[], cutoff: number): WalDecision {
  if (backups.length === 0) return { remove: [], kept: lineages.reduce((sum, { timelines }) => sum + timelines.reduce((inner, { pieces }) => inner + pieces.length, 0), 0), reasons: ['there is no backup: all WAL stays'] };
  const needed = new Set<WalPiece>();
  const reasons = new Set<string>();
  for (const lineage of lineages) {
    for (const timeline of lineage.timelines) {
      const isTip = lineage === lineages[0] && timeline === lineage.timelines.at(-1);
      const newest = newestTime(timeline.pieces);
      // A history that ended before the window is in nobody's way; the present one always counts.
      if (!isTip && newest !== undefined && newest < cutoff) continue;
      const path = pathOf(lineages, lineage, timeline);
      const on = backups.filter((backup) => liesOn({ path }, backup)).sort((a, b) => (parseLsn(a.stopLsn) < parseLsn(b.stopLsn) ? 1 : -1));
      let written = 0n;
      for (const { pieces, end } of path) for (const piece of pieces) if (piece.time !== undefined && piece.time <= cutoff && piece.end <= end && piece.end > written) written = piece.end;
      const anchor = on.find((backup) => parseLsn(backup.stopLsn) <= written) ?? on.at(-1);
      if (anchor === undefined) {
        for (const { pieces } of path) for (const piece of pieces) needed.add(piece);
        reasons.add(`no backup belongs to timeline ${String(timeline.timeline)} of lineage ${lineage.id.slice(0, 8)}: all its WAL stays`);
        continue;
      }
      const start = parseLsn(anchor.startLsn);
      const from = start - (start % BigInt(lineage.segmentBytes));
      for (const { pieces, start: entered, end } of path) {
        if (end <= from) continue;
        for (const piece of pieces) if (piece.end > from && piece.start < end && piece.end > entered - (entered % BigInt(lineage.segmentBytes))) needed.add(piece);
      }
    }
  }
  const all = lineages.flatMap((lineage) => lineage.timelines.flatMap((timeline) => timeline.pieces.map((piece): WalRemoval => ({ lineage: lineage.id, timeline: timeline.timeline, piece }))));
  const remove = all.filter(({ piece }) => !needed.has(piece));
  return { remove, kept: all.length - remove.length, reasons: [...reasons] };
}
