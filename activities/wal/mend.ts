/** Puts whole objects of another repository in the place of damaged and missing ones of the WAL archive. */
import { isResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { coverage } from '../../domain/wal.ts';
import type { ScrubPiece } from '../../domain/wal-scrub.ts';
import { walRepositories } from '../../config/lookup.ts';
import { readArchive, type ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { bringStretch, pieceKey, type ArchivePlace, type OtherArchive, type WalCheck } from '../../providers/wal/read-back.ts';
import type { ActivityDeps } from '../deps.ts';

/** Those that answer; one that does not is told by whoever reads it back itself. */
export async function otherStores(deps: ActivityDeps, { target, repository }: { readonly target: string; readonly repository: string }): Promise<ObjectStore[]> {
  const stores: ObjectStore[] = [];
  for (const { name } of walRepositories(deps.loaded.config, target)) {
    if (name === repository) continue;
    const store = await deps.stores.open(name).catch((error: unknown) => {
      if (!isResurgoError(error)) throw error;
      return undefined;
    });
    if (store !== undefined) stores.push(store);
  }
  return stores;
}

export async function readOthers(stores: readonly ObjectStore[], { target, systemId, trusted }: ArchivePlace, signal: AbortSignal): Promise<OtherArchive[]> {
  const found: OtherArchive[] = [];
  for (const store of stores) {
    try {
      found.push({ store, lineages: await readArchive(store, target, systemId, trusted, signal) });
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
    }
  }
  return found;
}

/** @returns where a whole one came from, `superfluous` where others here hold the same WAL, undefined where nobody has it */
export async function mendPiece(store: ObjectStore, one: ScrubPiece, others: readonly OtherArchive[], place: ArchivePlace, whole: readonly ArchivedLineage[], check: WalCheck, signal: AbortSignal): Promise<string | undefined> {
  const { start, end, name } = one.piece;
  const brought = await bringStretch(store, others, place, { lineage: one.lineage, timeline: one.timeline, start, end, name }, signal);
  if (brought !== undefined) {
    check.forgetKeys();
    for (const piece of brought.pieces) await check.piece({ ...one, piece });
    if (!brought.pieces.some((piece) => piece.name === name)) await store.delete([pieceKey(place, one)], signal);
    return brought.from;
  }
  const beside = whole.find(({ id }) => id === one.lineage)?.timelines.find(({ timeline }) => timeline === one.timeline)?.pieces.filter((piece) => piece.name !== name && piece.start < end && start < piece.end) ?? [];
  if (!coverage(beside).some((stretch) => stretch.start <= start && end <= stretch.end)) return undefined;
  for (const piece of beside) await check.piece({ ...one, piece });
  await store.delete([pieceKey(place, one)], signal);
  return 'superfluous';
}

/** WAL that is missing here and not in another repository; the others are listed only where there is a hole. */
export async function fillHoles(store: ObjectStore, place: ArchivePlace, others: () => Promise<readonly OtherArchive[]>, totals: { healed: number; readonly healedFrom: Set<string> }, signal: AbortSignal): Promise<void> {
  for (const lineage of await readArchive(store, place.target, place.systemId, place.trusted, signal)) for (const { timeline, pieces } of lineage.timelines) {
    const held = coverage(pieces);
    for (const [i, { start: next }] of held.slice(1).entries()) {
      const hole = { start: (held[i] as { end: bigint }).end, end: next };
      const brought = await bringStretch(store, await others(), place, { lineage: lineage.id, timeline, ...hole }, signal);
      if (brought === undefined) continue;
      totals.healed += brought.pieces.length;
      totals.healedFrom.add(brought.from);
    }
  }
}
