/** Rolls a restored cluster forward to its point in time, in isolation, and leaves it cleanly shut down on a new timeline. */
import { chown, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn, parseLsn } from '../../domain/lsn.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { OnProgress } from '../../domain/ports.ts';
import type { RecoveryPlan } from '../../domain/recovery.ts';
import { startLocalServer, type LocalServer } from '../postgres/local-server.ts';
import { withClient } from '../postgres/postgres-client.ts';
import { ownerOf, WalSpool, type SpoolOptions } from './wal-spool.ts';

export interface RecoverOptions extends Pick<SpoolOptions, 'target' | 'plan' | 'lineages' | 'reader' | 'signal'> {
  readonly dataDir: string;
  /** Removed at the end. */
  readonly spool: string;
  readonly toolDirs: readonly string[];
  readonly knownRole?: string;
  readonly onProgress: OnProgress;
  /** Called when the server has replayed everything and is up. */
  readonly onReady?: () => void;
  /** More settings for the recovering server: benchmarks. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Recovered {
  readonly lsn: string;
  /** Commit time of the last transaction that was replayed. */
  readonly lastCommit: string | undefined;
  readonly timeline: number;
  readonly checks: readonly string[];
}

const weekMs = 7 * 24 * 3600_000;

/** @throws restoreMismatch when the server stopped before the end of what it was given, walDamaged, walGap, restoreFailed, cancelled */
export async function recoverCluster(options: RecoverOptions): Promise<Recovered> {
  const { dataDir, plan, signal, onProgress } = options;
  const owner = await ownerOf(dataDir);
  const spool = new WalSpool({
    ...options, directory: options.spool, owner,
    onProgress: (segments) => { onProgress({ phase: 'replay WAL', note: `segment ${String(segments)} of ${String(plan.segments)}`, doneBytes: segments * plan.segmentBytes, totalBytes: plan.segments * plan.segmentBytes }); },
  });
  await spool.start();
  try {
    onProgress({ phase: 'replay WAL', note: `${String(plan.segments)} segments` });
    const { server, atTarget } = await startRecovery(options, spool, owner);
    options.onReady?.();
    let recovered: Recovered;
    try {
      recovered = await readEnd(server);
    } finally {
      await server.stop();
    }
    const end = atTarget ? 'up to the first commit after it' : await explainEnd(spool, plan, recovered);
    // The server that is started next must not find WAL of before that it could replay.
    await rm(join(dataDir, 'recovery.signal'), { force: true });
    return { ...recovered, checks: [`WAL replayed to ${recovered.lsn} (${end})`, ...(recovered.lastCommit === undefined ? [] : [`last commit ${recovered.lastCommit}`]), `timeline ${String(recovered.timeline)}`] };
  } catch (error) {
    // What the spool could not get is the reason; that the server then stopped is not.
    if (signal.aborted || spool.failure === undefined) throw error;
    throw spool.failure;
  } finally {
    await spool.close();
  }
}

async function startRecovery(options: RecoverOptions, spool: WalSpool, owner: { uid: number; gid: number }): Promise<{ server: LocalServer; atTarget: boolean }> {
  const { dataDir, plan, signal } = options;
  const marker = join(dataDir, 'recovery.signal');
  await writeFile(marker, '', { mode: 0o600 });
  if (process.getuid?.() === 0) await chown(marker, owner.uid, owner.gid);
  const start = (target: Record<string, string>): Promise<LocalServer> =>
    startLocalServer({
      dataDir, toolDirs: options.toolDirs, signal, startTimeoutMs: weekMs, ...(options.knownRole === undefined ? {} : { knownRole: options.knownRole }),
      settings: { restore_command: spool.restoreCommand, recovery_target_timeline: String(plan.timeline), recovery_target_action: 'promote', ...options.settings, ...target },
    });
  if (plan.stopTime === undefined) return { server: await start({}), atTarget: false };
  try {
    // It comes up only when it met a commit behind that time; else it says that it did not, also where damage ended its WAL.
    return { atTarget: true, server: await start({ recovery_target_time: serverTime(plan.stopTime) }) };
  } catch (error) {
    // Nothing was committed after that time in what is archived up to it: then its end is the point.
    const log = isResurgoError(error) ? (error.details['log'] as readonly string[] | undefined) : undefined;
    if (log?.some((line) => line.includes('recovery ended before configured recovery target was reached')) !== true) throw error;
    return { server: await start({}), atTarget: false };
  }
}

/** With an offset in digits: the server does not know the word `Z` yet when it reads its settings. All digits behind the second are kept. */
function serverTime(text: string): string {
  const utc = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)\d*Z$/.exec(text);
  const [date, time] = utc === null ? new Date(text).toISOString().slice(0, -1).split('T') : [utc[1], utc[2]];
  return `${date ?? ''} ${time ?? ''}+00`;
}

async function readEnd(server: LocalServer): Promise<Recovered> {
  return withClient(server.connection, async (client) => {
    const { rows: [row] } = await client.query<{ lsn: string | null; last: Date | null; timeline: number }>(
      `select pg_last_wal_replay_lsn()::text as lsn, pg_last_xact_replay_timestamp() as last, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as timeline`);
    if (row?.lsn == null) throw new ResurgoError('restoreMismatch', 'the recovered server does not say how far it replayed');
    return { lsn: row.lsn, lastCommit: row.last?.toISOString(), timeline: row.timeline, checks: [] };
  });
}

/**
 * A server takes damage for the end of its WAL and starts. So: where it stopped, there must be nothing more to replay, or no whole record.
 * @throws restoreMismatch
 */
async function explainEnd(spool: WalSpool, plan: RecoveryPlan, recovered: Recovered): Promise<string> {
  const end = parseLsn(plan.endLsn);
  const at = parseLsn(recovered.lsn);
  if (at >= end) return 'all of it';
  const rest = await spool.bytesAt(at, Number(end - at < 16_777_216n ? end - at : 16_777_216n));
  const next = nextRecord(rest, at, plan.segmentBytes);
  if (next === undefined) return 'all of it';
  if (next.needed > Number(end - at)) return 'all whole records';
  throw new ResurgoError('restoreMismatch', `the server stopped replaying at ${recovered.lsn}, though the archive holds whole records up to ${formatLsn(end)}: the WAL there is damaged, or was written by another history`, { details: { hint: 'Nothing was swapped in. Restore to a point before that, or from another repository.' } });
}

/** The record that begins behind `at`: how many bytes from there it takes; undefined where only zeros follow. */
function nextRecord(bytes: Buffer, at: bigint, segmentBytes: number): { needed: number } | undefined {
  let offset = 0;
  const position = Number(at % 8192n);
  // At the beginning of a page its header comes first.
  if (position === 0) offset = at % BigInt(segmentBytes) === 0n ? 40 : 24;
  if (bytes.length < offset + 4) return undefined;
  const length = bytes.readUInt32LE(offset);
  if (length === 0) return bytes.every((byte) => byte === 0) || bytes.subarray(offset, offset + 8192).every((byte) => byte === 0) ? undefined : { needed: 0 };
  const pages = Math.floor((((position + offset) % 8192) + length) / 8192);
  return { needed: offset + length + pages * 24 };
}

/** Segments of the backup's own WAL that the archive has too would be read in its place where it is cut off. */
export async function dropOwnWal(dataDir: string, files: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(join(dataDir, 'pg_wal')).catch(() => [] as string[])) if (files.has(name)) await rm(join(dataDir, 'pg_wal', name), { force: true });
}
