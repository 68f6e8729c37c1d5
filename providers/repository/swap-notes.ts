/**
 * Notes in a repository about data directories that were swapped: by a restore in place, or back by its rollback. The database system stays the same, so
 * nothing else tells a later backup that what was taken before is not what this server grew from. Names only: `<target>/<system>/swapped/<time>-<in|back>-<restore>`.
 */
import type { ObjectStore } from '../../domain/ports.ts';
import { mergeSwaps, type Swap } from '../../domain/swaps.ts';
import { isSafeSegment } from './safe-key.ts';
import { systemPrefix } from './layout.ts';

export const swapsPrefix = (target: string, systemId: string): string => `${systemPrefix(target, systemId)}swapped/`;
const pattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-(in|back)-([0-9a-z]{1,64})$/;

export async function writeSwap(store: ObjectStore, target: string, systemId: string, swap: { readonly restore: string; readonly at: string; readonly way: 'in' | 'back' }): Promise<void> {
  await store.put(`${swapsPrefix(target, systemId)}${new Date(swap.at).toISOString().replaceAll(/[-:.]/g, '')}-${swap.way}-${swap.restore}`, new Uint8Array(0));
}

export async function readSwaps(store: ObjectStore, target: string, systemId: string, signal?: AbortSignal): Promise<Swap[]> {
  if (!isSafeSegment(systemId)) return [];
  const prefix = swapsPrefix(target, systemId);
  const swaps: Swap[] = [];
  for await (const { key } of store.list(prefix, signal)) {
    const [, y, mo, d, h, mi, s, ms, way, restore] = pattern.exec(key.slice(prefix.length)) ?? [];
    if (y !== undefined && restore !== undefined) swaps.push({ restore, at: Date.parse(`${y}-${mo ?? ''}-${d ?? ''}T${h ?? ''}:${mi ?? ''}:${s ?? ''}.${ms ?? ''}Z`), way: way === 'in' ? 'in' : 'back' });
  }
  return mergeSwaps(swaps);
}

/** What any of the repositories knows of; one that does not answer says nothing. */
export async function readSwapsOf(stores: readonly ObjectStore[], target: string, systemId: string): Promise<Swap[]> {
  const found = await Promise.all(stores.map((store) => readSwaps(store, target, systemId).catch(() => [])));
  return mergeSwaps(found.flat());
}

/** Every repository comes to know what any knows: one that was away during a swap. Effect: notes. Idempotency: what is there is not written again. */
export async function spreadSwaps(stores: readonly ObjectStore[], target: string, systemId: string): Promise<Swap[]> {
  const all = await readSwapsOf(stores, target, systemId);
  if (stores.length < 2) return all;
  for (const store of stores) {
    const own = await readSwaps(store, target, systemId);
    for (const swap of all) if (!own.some((one) => one.restore === swap.restore && one.way === swap.way && one.at === swap.at)) await writeSwap(store, target, systemId, { ...swap, at: new Date(swap.at).toISOString() });
  }
  return all;
}
