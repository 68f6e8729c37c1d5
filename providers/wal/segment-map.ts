/** Which objects of the archive make up which segment that a recovery may ask for. */
import { formatLsn, parseLsn, segmentFile } from '../../domain/lsn.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { RecoveryPlan } from '../../domain/recovery.ts';
import { cover, sortPieces, type WalPiece } from '../../domain/wal.ts';
import type { ArchivedLineage } from './archive-read.ts';
import { historyFile, timelineName, timelinePrefix } from './layout.ts';

export interface PlannedSegment {
  /** As the server calls it. */
  readonly file: string;
  readonly start: bigint;
  /** What lies behind it is not to be replayed. */
  readonly end: bigint;
  readonly pieces: readonly { readonly key: string; readonly piece: WalPiece }[];
}

interface Of {
  readonly target: string;
  readonly plan: RecoveryPlan;
  readonly lineages: readonly ArchivedLineage[];
}

/** In the order in which they are replayed. @throws walGap */
export function planSegments({ target, plan, lineages }: Of): PlannedSegment[] {
  const bytes = BigInt(plan.segmentBytes);
  const segments = new Map<string, PlannedSegment>();
  // Where a timeline is passed twice, its last end counts.
  const cutAt = new Map(plan.steps.map((step) => [step.timeline, parseLsn(step.to)]));
  for (const step of plan.steps) {
    const keys = piecesOf({ target, plan, lineages }, step.timeline);
    const sorted = sortPieces([...keys.keys()]);
    const to = cutAt.get(step.timeline) as bigint;
    let low = 0;
    let high = 0;
    for (let start = parseLsn(step.from) - (parseLsn(step.from) % bytes); start < to; start += bytes) {
      const end = start + bytes < to ? start + bytes : to;
      while (low < sorted.length && (sorted[low] as WalPiece).end <= start) low++;
      while (high < sorted.length && (sorted[high] as WalPiece).start < end) high++;
      const chosen = cover(sorted.slice(low, high), start, end);
      if (chosen === undefined) throw new ResurgoError('walGap', `WAL ${formatLsn(start)} to ${formatLsn(end)} of timeline ${String(step.timeline)} is not in the archive any more`);
      const file = segmentFile(step.timeline, start, plan.segmentBytes);
      if (!segments.has(file)) segments.set(file, { file, start, end, pieces: chosen.map((piece) => ({ key: keys.get(piece) as string, piece })) });
    }
  }
  return [...segments.values()];
}

/** Of the plan's lineage and those it came from, with their keys. */
function piecesOf({ target, plan, lineages }: Of, timeline: number): Map<WalPiece, string> {
  const found = new Map<WalPiece, string>();
  const seen = new Set<string>();
  for (let at = lineages.find(({ id }) => id === plan.lineage); at !== undefined && !seen.has(at.id); ) {
    seen.add(at.id);
    const prefix = timelinePrefix(target, plan.systemId, at.id, timeline);
    const held = at.timelines.find((one) => one.timeline === timeline);
    for (const piece of held?.pieces ?? []) if (piece.key !== undefined) found.set(piece, `${prefix}${piece.name}`);
    const parent: string | undefined = at.parent?.lineage;
    at = lineages.find(({ id }) => id === parent);
  }
  return found;
}

/** History files by their name for the server. All that are known: a recovered server takes the first number that is free, so none is taken twice. */
export function planHistories({ target, plan, lineages }: Of): Map<string, string> {
  const histories = new Map<string, string>();
  const own = lineages.filter(({ id }) => id === plan.lineage);
  for (const lineage of [...own, ...lineages]) for (const { timeline, hasHistory } of lineage.timelines) {
    const file = `${timelineName(timeline)}.history`;
    if (hasHistory && !histories.has(file)) histories.set(file, `${timelinePrefix(target, plan.systemId, lineage.id, timeline)}${historyFile}`);
  }
  return histories;
}
