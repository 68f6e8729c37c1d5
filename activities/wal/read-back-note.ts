/** What a run of reading back notes in the repository. */
import type { ObjectStore } from '../../domain/ports.ts';
import { addRead, keepRead, type DamagedPiece, type ReadStretch } from '../../domain/wal-scrub.ts';
import type { ArchivedLineage } from '../../providers/wal/archive-read.ts';
import type { ArchivePlace } from '../../providers/wal/read-back.ts';
import { readBackName, readReadBack, writeReadBack } from '../../providers/wal/read-back-state.ts';

/** Of one timeline. */
export interface Reading {
  readonly read: ReadStretch[];
  readonly damaged: DamagedPiece[];
  /** Names of what is whole. */
  readonly good: Set<string>;
}

/** Effect: the note of what was read and what is damaged, merged into what others noted meanwhile. */
export async function noteReading(store: ObjectStore, place: ArchivePlace, reading: ReadonlyMap<string, Reading>, whole: readonly ArchivedLineage[], signal: AbortSignal): Promise<void> {
  if (reading.size === 0) return;
  const state = new Map(await readReadBack(store, place.target, place.systemId, signal));
  const there = new Set<string>();
  for (const lineage of whole) for (const { timeline, pieces } of lineage.timelines) {
    const name = readBackName(lineage.id, timeline);
    there.add(name);
    const before = state.get(name);
    const now = reading.get(name);
    const names = new Set(pieces.map((piece) => piece.name));
    const bad = new Set(now?.damaged.map((one) => one.name));
    state.set(name, {
      read: keepRead(addRead(before?.read ?? [], now?.read ?? []), pieces),
      damaged: [...(before?.damaged ?? []).filter((one) => names.has(one.name) && !bad.has(one.name) && now?.good.has(one.name) !== true), ...(now?.damaged ?? [])],
    });
  }
  for (const name of state.keys()) if (!there.has(name)) state.delete(name);
  await writeReadBack(store, place.target, place.systemId, state, signal);
}
