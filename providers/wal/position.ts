/** Decides where archiving goes on: in which lineage, on which timeline, from which position. Pure. */
import type { Ancestor } from '../../domain/wal.ts';
import { coverage, sameHistory } from '../../domain/wal.ts';
import { formatLsn } from '../../domain/lsn.ts';
import type { ArchivedLineage, ArchivedTimeline } from './archive-read.ts';

export interface ServerPosition {
  readonly timeline: number;
  readonly flushLsn: bigint;
  /** Text of the present timeline's history file; undefined on timeline 1. */
  readonly history: string | undefined;
  readonly historySha256: string | undefined;
}

/** `parentTLI  switchpoint  reason`, one a line; `#` begins a comment. */
export function parseHistory(text: string): Ancestor[] {
  return text.split('\n').flatMap((line) => {
    const [, timeline, high, low] = /^\s*(\d+)\s+([0-9A-Fa-f]+)\/([0-9A-Fa-f]+)/.exec(line) ?? [];
    return timeline === undefined || high === undefined || low === undefined ? [] : [{ timeline: Number(timeline), lsn: (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`) }];
  });
}

export type Decision =
  /** The server goes on where the archive ends. */
  | { readonly kind: 'continue'; readonly lineage: ArchivedLineage; readonly timeline: number; readonly stored: bigint; readonly leavesAt: bigint | undefined }
  /** Another history begins: the first of all, or one that left a known one earlier than the archive reaches. */
  | { readonly kind: 'begin'; readonly parent: { readonly lineage: string; readonly timeline: number; readonly lsn: bigint } | null; readonly start: bigint | undefined; readonly reason: string };

/** @param present the history the server is of: a timeline of another is not gone on with, whatever its number and position say */
export function decidePosition(lineages: readonly ArchivedLineage[], server: ServerPosition, present?: string): Decision {
  const ancestors = server.history === undefined ? [] : parseHistory(server.history);
  for (const lineage of lineages) {
    const last = lineage.timelines.at(-1);
    if (last === undefined) {
      if (lineage.facts.timeline === server.timeline && sameHistory(lineage.history, present)) return { kind: 'continue', lineage, timeline: server.timeline, stored: startOf(lineage), leavesAt: undefined };
      continue;
    }
    const stored = coverage(last.pieces).at(-1)?.end ?? beginningOf(lineage, last);
    if (last.timeline === server.timeline) {
      if (last.historySha256 !== server.historySha256 || !sameHistory(last.history, present)) continue;
      if (server.flushLsn >= stored) return { kind: 'continue', lineage, timeline: server.timeline, stored, leavesAt: undefined };
      continue;
    }
    const left = ancestors.find(({ timeline }) => timeline === last.timeline);
    if (left === undefined || !sameAncestors(ancestors, last.ancestors)) continue;
    if (left.lsn >= stored) return { kind: 'continue', lineage, timeline: last.timeline, stored, leavesAt: left.lsn };
  }
  return begin(lineages, server, ancestors);
}

const startOf = (lineage: ArchivedLineage): bigint => BigInt(`0x${lineage.facts.start}`);

/** A timeline of which only the history is stored begins with the segment in which the older one was left. */
function beginningOf(lineage: ArchivedLineage, timeline: ArchivedTimeline): bigint {
  const left = timeline.ancestors.at(-1)?.lsn;
  if (left === undefined || timeline.timeline === lineage.facts.timeline) return startOf(lineage);
  return left - (left % BigInt(lineage.segmentBytes));
}

const sameAncestors = (all: readonly Ancestor[], some: readonly Ancestor[]): boolean => some.every(({ timeline, lsn }) => all.some((other) => other.timeline === timeline && other.lsn === lsn));

function begin(lineages: readonly ArchivedLineage[], server: ServerPosition, ancestors: readonly Ancestor[]): Decision {
  for (const { timeline, lsn } of [...ancestors].reverse()) {
    for (const lineage of lineages) {
      const held = lineage.timelines.find((one) => one.timeline === timeline);
      if (held === undefined || !sameAncestors(ancestors, held.ancestors)) continue;
      const end = coverage(held.pieces).at(-1)?.end ?? 0n;
      return { kind: 'begin', parent: { lineage: lineage.id, timeline, lsn }, start: lsn, reason: `timeline ${String(server.timeline)} left timeline ${String(timeline)} at ${formatLsn(lsn)}; the archive had it up to ${formatLsn(end)}` };
    }
  }
  const [newest] = lineages;
  if (newest === undefined) return { kind: 'begin', parent: null, start: undefined, reason: 'the first' };
  const same = newest.timelines.find((one) => one.timeline === server.timeline && one.historySha256 === server.historySha256);
  if (same !== undefined) {
    const end = coverage(same.pieces).at(-1)?.end ?? 0n;
    return { kind: 'begin', parent: { lineage: newest.id, timeline: server.timeline, lsn: server.flushLsn }, start: server.flushLsn, reason: `the server is at ${formatLsn(server.flushLsn)} of timeline ${String(server.timeline)}, behind the ${formatLsn(end)} stored before: it was set back without a new timeline` };
  }
  return { kind: 'begin', parent: null, start: undefined, reason: `timeline ${String(server.timeline)} does not descend from any that is stored` };
}
