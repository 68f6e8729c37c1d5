/** What the repositories of a run hold, and what goes into them beside the stream. */
import { isResurgoError } from '../../domain/errors.ts';
import { hexLsn } from '../../domain/lsn.ts';
import { readArchive } from '../../providers/wal/archive-read.ts';
import { copyArchive } from '../../providers/wal/copy-archive.ts';
import { historyFile, timelinePrefix } from '../../providers/wal/layout.ts';
import { parseHistory } from '../../providers/wal/position.ts';
import type { RepositoryLane } from '../../providers/wal/repository-lane.ts';
import { plainAt, roomFor } from '../../providers/wal/sealer.ts';
import { requiredLanes, sha256, type WalRun } from './run.ts';

/** Reads what each lane holds of the present timeline. Where a required one ends earlier than another, the run goes on there. */
export async function loadPieces(run: WalRun): Promise<void> {
  const stretches: bigint[] = [];
  for (const lane of run.lanes) {
    await loadLane(run, lane).catch((error: unknown) => {
      if (lane.required) throw error;
      lane.late = true;
    });
    if (lane.required) stretches.push(lane.reach(run.stored));
  }
  const [least] = stretches.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  if (least !== undefined) run.stored = least;
}

async function loadLane(run: WalRun, lane: RepositoryLane): Promise<void> {
  const archive = await readArchive(lane.store, run.settings.name, run.source.systemId, run.trusted, run.signal);
  const held = archive.find((one) => one.id === run.lineage)?.timelines.find((one) => one.timeline === run.timeline);
  lane.pieces.splice(0, lane.pieces.length, ...(held?.pieces ?? []));
}

/** What is there already stays; a repository that is not required and does not take it is left behind. */
export async function putOnce(run: WalRun, lane: RepositoryLane, key: string, body: Buffer): Promise<void> {
  try {
    await lane.store.put(key, body, { ifAbsent: true, signal: run.signal });
  } catch (error) {
    if (isResurgoError(error, 'objectExists')) return;
    if (lane.required) throw error;
    lane.late = true;
  }
}

export async function storeHistory(run: WalRun, timeline: number, text: string): Promise<void> {
  const { settings: { name }, source: { systemId }, lineage } = run;
  const plain = Buffer.from(text, 'utf8');
  const slot = new ArrayBuffer(roomFor(plain.length));
  Buffer.from(slot, plainAt).set(plain);
  const key = `${timelinePrefix(name, systemId, lineage, timeline)}${historyFile}`;
  const sealed = await run.sealer.seal({
    kind: 'history', target: name, systemId, lineage, timeline, start: hexLsn(0n), end: hexLsn(0n),
    ancestors: parseHistory(text).map((one): [number, string] => [one.timeline, hexLsn(one.lsn)]), sha256: sha256(text),
  }, slot, plain.length);
  for (const lane of run.lanes) {
    if (sealed.key !== undefined) await run.sealer.storeKey(lane.store, sealed.key, run.signal).catch((error: unknown) => { if (lane.required) throw error; });
    await putOnce(run, lane, key, sealed.object);
  }
}

/** Brings repositories that were left behind up to the others. */
export async function catchUp(run: WalRun): Promise<void> {
  const [from] = requiredLanes(run);
  if (from === undefined) return;
  const copy = (lane: RepositoryLane): Promise<number> => copyArchive(from.store, lane.store, run.settings.name, run.source.systemId, run.trusted, run.signal);
  for (const lane of run.lanes.filter((one) => one.late)) {
    try {
      // Twice: the second round takes what came during the first, and from then on it is fed directly.
      await copy(lane);
      await loadLane(run, lane);
      lane.late = false;
      lane.problem = undefined;
      await copy(lane);
    } catch (error) {
      lane.late = true;
      if (isResurgoError(error)) lane.problem = error;
    }
  }
}
