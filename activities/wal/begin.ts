/** Decides where a run goes on: in which lineage, on which timeline, from which position. */
import { ResurgoError } from '../../domain/errors.ts';
import { formatLsn, hexLsn, parseLsn } from '../../domain/lsn.ts';
import { coverage } from '../../domain/wal.ts';
import { mapPostgresError } from '../../providers/postgres/postgres-error.ts';
import { ReplicationSession } from '../../providers/postgres/replication-session.ts';
import { listBackups, readManifestBytes } from '../../providers/repository/catalogue.ts';
import { parseManifest } from '../../providers/vault/publish.ts';
import { readArchive, type ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { presentHistory } from '../../domain/swaps.ts';
import { readSwaps } from '../../providers/repository/swap-notes.ts';
import { copyArchive } from '../../providers/wal/copy-archive.ts';
import { lineageFile, lineagePrefix } from '../../providers/wal/layout.ts';
import { formatLineage, lineageId } from '../../providers/wal/lineage-file.ts';
import { decidePosition, type ServerPosition } from '../../providers/wal/position.ts';
import type { RepositoryLane } from '../../providers/wal/repository-lane.ts';
import { ensureSlot, readSlot } from '../../providers/wal/slots.ts';
import { stretchWithoutBackup, type BareStretch } from './gaps.ts';
import { loadPieces, putOnce, storeHistory } from './lanes.ts';
import { requiredLanes, segmentOf, serverPosition, type WalRun } from './run.ts';

/** @returns the stretch that has no base backup, where one is to be taken */
export async function beginRun(run: WalRun, asked: readonly string[]): Promise<BareStretch | undefined> {
  const { connection } = run.source;
  const session = await ReplicationSession.open(connection, run.signal);
  try {
    const server = await serverPosition(run, session);
    const slotBefore = await ensureSlot(run.client, run.slot, connection);
    const lead = await leading(run);
    await alignLanes(run, lead.lane);
    await takePosition(run, lead.archive, server, presentHistory(await readSwaps(lead.lane.store, run.settings.name, run.source.systemId, run.signal)));
    await loadPieces(run);
    if (slotBefore.walStatus === 'lost') run.problems.push(`the server gave up the slot ${run.slot}: it held more WAL than max_slot_wal_keep_size allows; it was made anew`);
    return await stretchWithoutBackup(run, lead.archive, asked);
  } catch (error) {
    throw mapPostgresError(error, 'finding where to go on with WAL', connection, 'sourceUnreachable');
  } finally {
    session.destroy();
  }
}

/** Of the required repositories the one whose archive reaches furthest. */
async function leading(run: WalRun): Promise<{ lane: RepositoryLane; archive: ArchivedLineage[] }> {
  let best: { lane: RepositoryLane; archive: ArchivedLineage[]; end: bigint } | undefined;
  for (const lane of requiredLanes(run)) {
    const archive = await readArchive(lane.store, run.settings.name, run.source.systemId, run.trusted, run.signal);
    const end = coverage(archive[0]?.timelines.at(-1)?.pieces ?? []).at(-1)?.end ?? 0n;
    if (best === undefined || archive.length > best.archive.length || (archive.length === best.archive.length && end > best.end)) best = { lane, archive, end };
  }
  if (best === undefined) throw new ResurgoError('configInvalid', `target ${run.settings.name} has no repository for WAL`);
  return best;
}

async function alignLanes(run: WalRun, lead: RepositoryLane): Promise<void> {
  for (const lane of run.lanes) {
    if (lane === lead) continue;
    if (lane.required) await copyArchive(lead.store, lane.store, run.settings.name, run.source.systemId, run.trusted, run.signal);
    // What it lacks comes by copy, beside the stream: it must not hold that up.
    else lane.late = true;
  }
}

async function takePosition(run: WalRun, archive: readonly ArchivedLineage[], server: ServerPosition, present: string | undefined): Promise<void> {
  const decision = decidePosition(archive, server, present);
  if (decision.kind === 'continue') {
    run.lineage = decision.lineage.id;
    run.timeline = decision.timeline;
    run.stored = await unbroken(run, decision.lineage, decision.timeline, decision.stored);
    return;
  }
  await newLineage(run, decision, server);
  run.timeline = server.timeline;
  if (server.history !== undefined) await storeHistory(run, server.timeline, server.history);
}

/**
 * Objects are stored several at once: a crash may leave one stored and the one before it not. The slot has never moved beyond what is there without a hole, so
 * the server still has what is missing: archiving goes on at the end of the stretch the slot points into, not at the end of the last.
 */
async function unbroken(run: WalRun, lineage: ArchivedLineage, timeline: number, end: bigint): Promise<bigint> {
  const { restartLsn } = await readSlot(run.client, run.slot);
  if (restartLsn === undefined) return end;
  const held = coverage(lineage.timelines.find((one) => one.timeline === timeline)?.pieces ?? []);
  return held.find((stretch) => stretch.start <= restartLsn && restartLsn <= stretch.end)?.end ?? end;
}

async function newLineage(run: WalRun, decision: Extract<ReturnType<typeof decidePosition>, { kind: 'begin' }>, server: ServerPosition): Promise<void> {
  const { restartLsn } = await readSlot(run.client, run.slot);
  const start = segmentOf(run, decision.start ?? (await backupStart(run, server)) ?? restartLsn ?? server.flushLsn);
  const { name } = run.settings;
  const { systemId, segmentBytes, version } = run.source;
  run.lineage = lineageId([name, systemId, String(server.timeline), server.historySha256 ?? '', decision.parent === null ? '' : JSON.stringify([decision.parent.lineage, decision.parent.timeline, formatLsn(decision.parent.lsn)]), hexLsn(start)]);
  run.stored = start;
  const facts = {
    format: 1 as const, id: run.lineage, target: name, systemId, createdAt: new Date().toISOString(), segmentBytes, version, timeline: server.timeline, start: hexLsn(start),
    parent: decision.parent === null ? null : { lineage: decision.parent.lineage, timeline: decision.parent.timeline, lsn: formatLsn(decision.parent.lsn) }, reason: decision.reason,
  };
  const file = formatLineage(facts, await run.deps.keys.hostKey());
  const key = `${lineagePrefix(name, systemId, run.lineage)}${lineageFile}`;
  for (const lane of run.lanes) await putOnce(run, lane, key, file);
}

/** WAL from the newest backup on is worth having too, if the server still has it. */
async function backupStart(run: WalRun, server: ServerPosition): Promise<bigint | undefined> {
  for (const lane of requiredLanes(run)) {
    const newest = (await listBackups(lane.store, run.settings.name, run.signal)).find((ref) => ref.published && ref.systemId === run.source.systemId && ref.givenUp === undefined);
    if (newest === undefined) continue;
    const { wal } = parseManifest(await readManifestBytes(lane.store, newest), { ref: newest, trusted: run.trusted });
    if (wal?.timeline === server.timeline) return parseLsn(wal.startLsn);
  }
  return undefined;
}
