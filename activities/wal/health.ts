import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn } from '../../domain/lsn.ts';
import type { WalSample } from '../../domain/wal.ts';
import type { Archiver } from '../../providers/wal/archiver.ts';
import type { SlotState } from '../../providers/wal/slots.ts';
import type { WalRun } from './run.ts';

/** Above this share of what the server lets the slot hold, people are told. */
const alarmShare = 0.7;

/** What `resurgo status` reads of a running archive. */
export interface WalHealth {
  readonly at: string;
  readonly target: string;
  readonly lineage: string;
  readonly timeline: number;
  readonly server: string;
  readonly flushLsn: string;
  readonly storedLsn: string;
  readonly storedTime: string | null;
  /** By the database's clock. */
  readonly rpoMs: number | null;
  readonly lagBytes: number;
  readonly slot: { readonly name: string; readonly status: string | null; readonly retainedBytes: number | null; readonly safeBytes: number | null };
  readonly repositories: readonly { readonly name: string; readonly required: boolean; readonly late: boolean; readonly problem: string | null }[];
  readonly problems: readonly string[];
}

export const walHealthPath = (stateDir: string, target: string): string => join(stateDir, 'wal', `${target}.json`);

/** Effect: heartbeat and health file say how far it is and what is wrong. */
export async function tellHealth(run: WalRun, archiver: Archiver, sample: WalSample, slot: SlotState): Promise<void> {
  const health = healthOf(run, archiver, sample, slot);
  const { problems, rpoMs } = health;
  run.report({ phase: `WAL of timeline ${String(run.timeline)}`, note: `stored ${health.storedLsn}, ${String(Math.round(health.lagBytes / 1024))} KiB behind${rpoMs === null ? '' : `, ${(rpoMs / 1000).toFixed(1)} s`}${problems.length === 0 ? '' : `; ${problems.join('; ')}`}` });
  await writeHealth(run.deps.loaded.stateDir, health);
}

function healthOf(run: WalRun, archiver: Archiver, sample: WalSample, slot: SlotState): WalHealth {
  const retained = slot.restartLsn === undefined ? null : Number(sample.lsn - slot.restartLsn);
  return {
    at: new Date().toISOString(), target: run.settings.name, lineage: run.lineage, timeline: run.timeline, server: run.source.connection.redacted,
    flushLsn: formatLsn(sample.lsn), storedLsn: formatLsn(archiver.stored), storedTime: archiver.storedTime === undefined ? null : new Date(archiver.storedTime).toISOString(),
    rpoMs: archiver.storedTime === undefined ? null : Math.max(0, sample.time - archiver.storedTime),
    lagBytes: Number(sample.lsn > archiver.stored ? sample.lsn - archiver.stored : 0n),
    slot: { name: run.slot, status: slot.walStatus ?? null, retainedBytes: retained, safeBytes: slot.safeBytes ?? null },
    repositories: run.lanes.map((lane) => ({ name: lane.store.name, required: lane.required, late: lane.late, problem: lane.problem?.message ?? null })),
    problems: problemsOf(run, slot, retained),
  };
}

function problemsOf(run: WalRun, slot: SlotState, retained: number | null): string[] {
  const share = retained === null || slot.safeBytes === undefined ? 0 : retained / Math.max(1, retained + slot.safeBytes);
  return [
    ...run.problems,
    ...run.lanes.flatMap((lane) => (lane.problem === undefined ? [] : [`repository ${lane.store.name}${lane.required ? ' (required)' : ''} takes no WAL: ${lane.problem.message}`])),
    ...(slot.walStatus === 'lost' || slot.walStatus === 'unreserved' ? [`slot ${run.slot} is ${slot.walStatus === 'lost' ? 'lost' : 'about to be lost'}: the server holds no more WAL for it`] : []),
    ...(share > alarmShare ? [`slot ${run.slot} holds ${String(Math.round(share * 100))} % of the WAL that max_slot_wal_keep_size allows`] : []),
  ];
}

async function writeHealth(stateDir: string, health: WalHealth): Promise<void> {
  const path = walHealthPath(stateDir, health.target);
  try {
    await mkdir(join(stateDir, 'wal'), { recursive: true, mode: 0o700 });
    const temporary = `${path}.${String(process.pid)}.tmp`;
    await writeFile(temporary, `${JSON.stringify(health, null, 1)}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch {
    // A full state directory must not stop the archive.
  }
}
