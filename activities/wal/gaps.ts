/** WAL that the server removed before it was stored, and what can be restored behind it. */
import { ResurgoError } from '../../domain/errors.ts';
import { formatLsn, hexLsn, parseLsn } from '../../domain/lsn.ts';
import { coverage } from '../../domain/wal.ts';
import { ReplicationSession } from '../../providers/postgres/replication-session.ts';
import { listBackups, readManifestBytes } from '../../providers/repository/catalogue.ts';
import { parseManifest } from '../../providers/vault/publish.ts';
import type { ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { timelineName } from '../../providers/wal/layout.ts';
import { parseHistory } from '../../providers/wal/position.ts';
import { ensureSlot, readSlot } from '../../providers/wal/slots.ts';
import { loadPieces, storeHistory } from './lanes.ts';
import { readHistory, requiredLanes, segmentOf, serverPosition, type WalRun } from './run.ts';

/** A stretch of WAL in front of which no base backup stands, and why it began. */
export interface BareStretch {
  readonly stretch: string;
  readonly reason: string;
}

/** undefined_file: the segment was removed. */
export const isGone = (error: unknown): boolean => (error as { code?: unknown } | undefined)?.code === '58P01' || ((error as Error | undefined)?.cause as { code?: unknown } | undefined)?.code === '58P01';

/** Where the server has removed what comes next, archiving goes on behind the gap. @throws walGap */
export async function skipWhatIsGone(run: WalRun): Promise<void> {
  if (await skipToNewTimeline(run)) return;
  const { connection } = run.source;
  await ensureSlot(run.client, run.slot, connection);
  const { restartLsn } = await readSlot(run.client, run.slot);
  const next = segmentOf(run, restartLsn ?? run.stored);
  if (next <= run.stored) throw new ResurgoError('walGap', `WAL ${formatLsn(run.stored)} of timeline ${String(run.timeline)} is gone from ${connection.redacted}, and the slot ${run.slot} holds nothing newer`);
  run.problems.push(`WAL ${formatLsn(run.stored)} to ${formatLsn(next)} was removed by the server before it was stored: a gap`);
  run.stored = next;
}

/** The rest of the old timeline is gone from this server: the new one begins where it was left. */
async function skipToNewTimeline(run: WalRun): Promise<boolean> {
  const session = await ReplicationSession.open(run.source.connection, run.signal);
  try {
    const { timeline } = await serverPosition(run, session);
    if (timeline === run.timeline) return false;
    const text = await readHistory(session, timeline);
    run.problems.push(`WAL from ${formatLsn(run.stored)} on of timeline ${String(run.timeline)} is not on the new primary any more`);
    await storeHistory(run, timeline, text);
    run.timeline = timeline;
    run.stored = segmentOf(run, parseHistory(text).at(-1)?.lsn ?? run.stored);
    await loadPieces(run);
    return true;
  } finally {
    session.destroy();
  }
}

/** After a gap, or in a lineage that left another, nothing can be reached until there is a base backup behind its beginning. */
export async function stretchWithoutBackup(run: WalRun, archive: readonly ArchivedLineage[], asked: readonly string[]): Promise<BareStretch | undefined> {
  const stretches = coverage(requiredLanes(run)[0]?.pieces ?? []);
  const known = archive.find(({ id }) => id === run.lineage);
  const last = stretches.at(-1);
  const behindGap = stretches.length > 1 || (stretches.length === 1 && (stretches[0]?.end ?? 0n) < run.stored);
  const begins = behindGap ? ((last?.end ?? 0n) >= run.stored ? (last?.start ?? run.stored) : run.stored) : undefined;
  const left = archive.length > 0 && (known === undefined || known.parent !== null || archive.length > 1);
  if (begins === undefined && !left) return undefined;
  const from = begins ?? stretches[0]?.start ?? run.stored;
  const stretch = `${run.lineage.slice(0, 8)}-${timelineName(run.timeline)}-${hexLsn(from)}`;
  if (asked.includes(stretch) || (await hasBackupFrom(run, from))) return undefined;
  return { stretch, reason: begins === undefined ? 'another history began: no backup belongs to it yet' : `there is a gap in the WAL before ${formatLsn(from)}` };
}

async function hasBackupFrom(run: WalRun, lsn: bigint): Promise<boolean> {
  for (const lane of run.lanes) {
    for (const ref of await listBackups(lane.store, run.settings.name, run.signal).catch(() => [])) {
      if (!ref.published || ref.systemId !== run.source.systemId || ref.givenUp !== undefined) continue;
      const { wal } = parseManifest(await readManifestBytes(lane.store, ref), { ref, trusted: run.trusted });
      if (wal !== undefined && parseLsn(wal.startLsn) >= lsn && wal.timeline >= run.timeline) return true;
      // Older ones are not behind it either.
      if (wal !== undefined && parseLsn(wal.stopLsn) < lsn) break;
    }
  }
  return false;
}
