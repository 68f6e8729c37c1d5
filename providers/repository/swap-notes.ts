/**
 * Notes in a repository about data directories that were swapped: by a restore in place, or back by its rollback. The database system stays the same, so
 * nothing else tells a later backup that what was taken before is not what this server grew from. Names only: `<target>/<system>/swapped/<time>-<in|back>-<restore>`.
 */
import type { ObjectStore } from '../../domain/ports.ts';
import { isSafeSegment } from './safe-key.ts';
import { systemPrefix } from './layout.ts';

export interface Swap {
  readonly restore: string;
  /** ms since the epoch */
  readonly at: number;
  readonly way: 'in' | 'back';
}

export const swapsPrefix = (target: string, systemId: string): string => `${systemPrefix(target, systemId)}swapped/`;
const pattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-(in|back)-([0-9a-z]{1,64})$/;

export async function writeSwap(store: ObjectStore, target: string, systemId: string, swap: { readonly restore: string; readonly at: string; readonly way: 'in' | 'back' }): Promise<void> {
  await store.put(`${swapsPrefix(target, systemId)}${new Date(swap.at).toISOString().replaceAll(/[-:.]/g, '')}-${swap.way}-${swap.restore}`, new Uint8Array(0));
}

export async function readSwaps(store: ObjectStore, target: string, systemId: string): Promise<Swap[]> {
  if (!isSafeSegment(systemId)) return [];
  const prefix = swapsPrefix(target, systemId);
  const swaps: Swap[] = [];
  for await (const { key } of store.list(prefix)) {
    const [, y, mo, d, h, mi, s, ms, way, restore] = pattern.exec(key.slice(prefix.length)) ?? [];
    if (y !== undefined && restore !== undefined) swaps.push({ restore, at: Date.parse(`${y}-${mo ?? ''}-${d ?? ''}T${h ?? ''}:${mi ?? ''}:${s ?? ''}.${ms ?? ''}Z`), way: way === 'in' ? 'in' : 'back' });
  }
  return swaps;
}

/** Why what the server holds now did not grow from a backup begun at `startedAt`; undefined where it did, as far as is known. */
export function swappedSince(swaps: readonly Swap[], startedAt: string): string | undefined {
  const begun = Date.parse(startedAt);
  for (const { restore, at } of swaps.filter(({ way }) => way === 'in')) {
    const back = swaps.find((other) => other.restore === restore && other.way === 'back');
    if (back === undefined && begun <= at) return `the data was replaced by restore ${restore} since`;
    if (back !== undefined && begun > at && begun <= back.at) return `it holds the data of restore ${restore}, which was rolled back`;
  }
  return undefined;
}
