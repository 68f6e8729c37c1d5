/**
 * Restores in place swap the data below a database system whose identity stays: its histories. Each is named by the restore that began it; the first by `''`.
 * A rollback gives up the history of its restore, and the one before goes on. Pure.
 */
import { presentFirst, type WalLineage, type WalTimeline } from './wal.ts';

export interface Swap {
  readonly restore: string;
  /** ms since the epoch */
  readonly at: number;
  readonly way: 'in' | 'back';
}

/** What several repositories, or several attempts, have noted: the data was the restore's from the first `in` to the last `back`. */
export function mergeSwaps(swaps: readonly Swap[]): Swap[] {
  const merged = new Map<string, Swap>();
  for (const swap of swaps) {
    const key = `${swap.way} ${swap.restore}`;
    const known = merged.get(key);
    if (known === undefined || (swap.way === 'in' ? swap.at < known.at : swap.at > known.at)) merged.set(key, swap);
  }
  return [...merged.values()].sort((a, b) => a.at - b.at);
}

const backOf = (swaps: readonly Swap[], restore: string): Swap | undefined => swaps.find((swap) => swap.restore === restore && swap.way === 'back');

/** The history that what began between two moments (known to a second, say) belongs to. In doubt it is the younger one: nothing else is combined with it. */
export function historyAt(swaps: readonly Swap[], from: number, to = from): string {
  let found: Swap | undefined;
  for (const swap of swaps) {
    if (swap.way !== 'in' || to <= swap.at || from > (backOf(swaps, swap.restore)?.at ?? Infinity)) continue;
    if (found === undefined || swap.at > found.at) found = swap;
  }
  return found?.restore ?? '';
}

/** What the server holds now, as far as is known; nothing where no data was ever swapped. */
export const presentHistory = (swaps: readonly Swap[]): string | undefined => (swaps.length === 0 ? undefined : historyAt(swaps, Infinity));

/** A rollback ended it. */
export const isGivenUp = (swaps: readonly Swap[], history: string): boolean => history !== '' && backOf(swaps, history) !== undefined;

/** What a backup's name tells: its second. Nothing where no data was ever swapped. */
export function historyOfBackup(swaps: readonly Swap[], startedAt: string): { readonly history?: string; readonly givenUp?: string } {
  if (swaps.length === 0) return {};
  const second = Math.floor(Date.parse(startedAt) / 1000) * 1000;
  const history = historyAt(swaps, second, second + 999);
  return isGivenUp(swaps, history) ? { history, givenUp: history } : { history };
}

export const whyGivenUp = (restore: string): string => `it holds the data of restore ${restore}, which was rolled back`;

/** Why what the server holds now did not grow from a backup begun at `startedAt`; undefined where it did, as far as is known. */
export function swappedSince(swaps: readonly Swap[], startedAt: string): string | undefined {
  const begun = Date.parse(startedAt);
  for (const { restore, at } of swaps.filter(({ way }) => way === 'in')) {
    const back = backOf(swaps, restore);
    if (back === undefined && begun <= at) return `the data was replaced by restore ${restore} since`;
    if (back !== undefined && begun > at && begun <= back.at) return whyGivenUp(restore);
  }
  return undefined;
}

/** Lineages with the history that they and each of their timelines are of, those that were given up last. */
export function withHistories<L extends WalLineage>(lineages: readonly L[], swaps: readonly Swap[]): L[] {
  const labelled = swaps.length === 0 ? [...lineages] : lineages.map((lineage): L => {
    const own = labelAt(swaps, Date.parse(lineage.createdAt));
    // A lineage begins with its first timeline; a later one may have begun with a restore that went on where the archive ended.
    const timelines = lineage.timelines.map((timeline, i): WalTimeline => ({ ...timeline, ...(i === 0 ? own : labelAt(swaps, beginOf(timeline))) }));
    return { ...lineage, ...own, timelines };
  });
  return labelled.sort((a, b) => Number(wasGivenUp(a)) - Number(wasGivenUp(b)) || presentFirst(a, b));
}

const wasGivenUp = (lineage: WalLineage): boolean => (lineage.timelines.at(-1) ?? lineage).givenUp === true;
const beginOf = ({ pieces }: WalTimeline): number => pieces.reduce((first, { time }) => Math.min(first, time ?? Infinity), Infinity);

function labelAt(swaps: readonly Swap[], begun: number): Pick<WalTimeline, 'history' | 'givenUp'> {
  if (!Number.isFinite(begun)) return {};
  const history = historyAt(swaps, begun);
  return isGivenUp(swaps, history) ? { history, givenUp: true } : { history };
}
