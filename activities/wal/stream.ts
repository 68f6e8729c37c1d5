/** Streams timeline after timeline until time is up. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WalSample } from '../../domain/wal.ts';
import { mapPostgresError } from '../../providers/postgres/postgres-error.ts';
import { ReplicationSession } from '../../providers/postgres/replication-session.ts';
import { Archiver } from '../../providers/wal/archiver.ts';
import { readHeader } from '../../providers/wal/archive-read.ts';
import { timelinePrefix } from '../../providers/wal/layout.ts';
import { streamWal, type NextTimeline } from '../../providers/wal/wal-stream.ts';
import { isGone, skipWhatIsGone } from './gaps.ts';
import { loadPieces, storeHistory } from './lanes.ts';
import { blockOf, readHistory, requiredLanes, segmentOf, type WalRun } from './run.ts';
import { tend } from './tend.ts';

/** After a gap the run goes on only for so long: the workflow is to be told soon, which starts a base backup. */
const afterGapMs = 5000;

export async function streamRun(run: WalRun, until: number): Promise<void> {
  let last = until;
  while (Date.now() < last) {
    let next: NextTimeline | undefined;
    try {
      next = await streamTimeline(run, last);
    } catch (error) {
      if (!isGone(error)) throw error;
      await skipWhatIsGone(run);
      last = Math.min(last, Date.now() + afterGapMs);
      continue;
    }
    if (next === undefined) return;
    const session = await ReplicationSession.open(run.source.connection, run.signal);
    try {
      await storeHistory(run, next.timeline, await readHistory(session, next.timeline));
    } finally {
      session.destroy();
    }
    run.timeline = next.timeline;
    // As a server begins it: with the whole segment in which the old one was left.
    run.stored = segmentOf(run, next.start);
    await loadPieces(run);
  }
}

/** @returns the next timeline when this one has ended, undefined when time is up */
async function streamTimeline(run: WalRun, until: number): Promise<NextTimeline | undefined> {
  const { source: { connection, systemId, segmentBytes }, lineage, timeline, blockBytes, lanes, sealer, signal, settings } = run;
  const start = blockOf(run, run.stored);
  const archiver = new Archiver({
    target: settings.name, systemId, lineage, timeline, blockBytes, segmentBytes, stored: run.stored, start, lanes, sealer, signal, openSamples: await openSamples(run, start),
  });
  // What lies before the block is asked for as a whole only.
  for (const lane of lanes) lane.fold(start);
  const session = await ReplicationSession.open(connection, signal);
  const tending = tend(run, archiver, session, until);
  try {
    const next = await Promise.race([
      streamWal({ session, timeline, start, onData: archiver.data, received: () => archiver.received, idleTimeoutMs: 90_000 }),
      tending.failed,
    ]);
    tending.end();
    await archiver.drain();
    run.stored = archiver.stored;
    return next;
  } catch (error) {
    if (tending.timeIsUp) {
      await archiver.drain();
      return undefined;
    }
    throw mapPostgresError(error, 'streaming WAL', connection, 'sourceUnreachable');
  } finally {
    tending.end();
    session.destroy();
    await Promise.race([tending.ended, sleep(3000)]);
  }
}

/** Samples that stand in the pieces of the block the stream begins with: they go into the whole block. */
async function openSamples(run: WalRun, start: bigint): Promise<WalSample[]> {
  const [lane] = requiredLanes(run);
  if (lane === undefined) return [];
  const prefix = timelinePrefix(run.settings.name, run.source.systemId, run.lineage, run.timeline);
  const inside = lane.pieces.filter((piece) => piece.name !== '' && piece.start >= start && piece.start < piece.end);
  const samples: WalSample[] = [];
  for (const piece of inside) {
    const header = await readHeader(lane.store, `${prefix}${piece.name}`, run.trusted, run.signal).catch(() => undefined);
    for (const [time, lsn] of header?.samples ?? []) samples.push({ time, lsn: BigInt(`0x${lsn}`) });
  }
  return samples.sort((a, b) => a.time - b.time);
}
