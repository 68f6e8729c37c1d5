/** The point in time of a restore: which backup, which WAL, from where. */
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { RestoreInput, RestorePlan } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { planRecovery, type RecoveryBackup, type RecoveryPlan } from '../domain/recovery.ts';
import { newestTime, presentFirst, sortPieces, type WalPiece } from '../domain/wal.ts';
import { walRepositories } from '../config/lookup.ts';
import { mapBounded } from '../providers/repository/bounded.ts';
import { listBackups, readManifestBytes } from '../providers/repository/catalogue.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import { listWalSystems, readArchive, WalReader, type ArchivedLineage, type ArchivedTimeline } from '../providers/wal/archive-read.ts';
import { planSegments } from '../providers/wal/segment-map.ts';
import { dropOwnWal, recoverCluster } from '../providers/wal/recover.ts';
import { parseLsn, segmentFile } from '../domain/lsn.ts';
import type { ActivityDeps } from './deps.ts';
import type { Pulse } from './heartbeat.ts';
import type { TargetSettings } from './target-settings.ts';

export const wantsPoint = (input: Pick<RestoreInput, 'time' | 'lsn' | 'point'>): boolean => input.time !== undefined || input.lsn !== undefined || input.point !== undefined;

interface System {
  readonly systemId: string;
  readonly lineages: ArchivedLineage[];
}

/** What all repositories that answer hold together, newest system first. */
async function readSystems(deps: ActivityDeps, target: string, onlySystem?: string): Promise<{ systems: System[]; stores: ObjectStore[]; problems: unknown[] }> {
  const trusted = await deps.keys.trusted();
  const stores: ObjectStore[] = [];
  const problems: unknown[] = [];
  const merged = new Map<string, Map<string, ArchivedLineage>>();
  for (const { name } of walRepositories(deps.loaded.config, target)) {
    try {
      const store = await deps.stores.open(name);
      for (const systemId of onlySystem === undefined ? await listWalSystems(store, target) : [onlySystem]) {
        const known = merged.get(systemId) ?? new Map<string, ArchivedLineage>();
        merged.set(systemId, known);
        for (const lineage of await readArchive(store, target, systemId, trusted)) known.set(lineage.id, merge(known.get(lineage.id), lineage));
      }
      stores.push(store);
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      problems.push(error);
    }
  }
  const systems = [...merged].map(([systemId, lineages]): System => ({ systemId, lineages: [...lineages.values()].sort(presentFirst) })).filter(({ lineages }) => lineages.length > 0);
  systems.sort((a, b) => presentFirst(a.lineages[0] as ArchivedLineage, b.lineages[0] as ArchivedLineage));
  return { systems, stores, problems };
}

function merge(known: ArchivedLineage | undefined, more: ArchivedLineage): ArchivedLineage {
  if (known === undefined) return more;
  const timelines = new Map<number, ArchivedTimeline>(known.timelines.map((one) => [one.timeline, one]));
  for (const other of more.timelines) {
    const own = timelines.get(other.timeline);
    if (own === undefined) {
      timelines.set(other.timeline, other);
      continue;
    }
    const pieces = new Map<string, WalPiece>([...own.pieces, ...other.pieces].map((piece) => [piece.name, piece]));
    const points = new Map([...own.points, ...other.points].map((point) => [`${String(point.lsn)} ${point.name}`, point]));
    const withHistory = own.hasHistory ? own : other;
    timelines.set(other.timeline, { ...withHistory, pieces: sortPieces([...pieces.values()]), points: [...points.values()] });
  }
  return { ...known, timelines: [...timelines.values()].sort((a, b) => a.timeline - b.timeline) };
}

/** Physical backups that any repository holds undamaged. */
export async function backupsOf(deps: ActivityDeps, repositories: readonly string[], target: string, systemId: string): Promise<RecoveryBackup[]> {
  const trusted = await deps.keys.trusted();
  const found = new Map<string, RecoveryBackup>();
  for (const name of repositories) {
    try {
      const store = await deps.stores.open(name);
      for (const ref of await listBackups(store, target)) {
        if (!ref.published || ref.systemId !== systemId || ref.state.includes('damaged') || found.has(ref.id)) continue;
        try {
          const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
          if (manifest.wal !== undefined) found.set(ref.id, { id: ref.id, name: ref.name, ...manifest.wal, endedAt: manifest.endedAt });
        } catch (error) {
          if (!isResurgoError(error) || error.definition.retryable) throw error;
        }
      }
    } catch (error) {
      if (!isResurgoError(error)) throw error;
    }
  }
  return [...found.values()];
}

/** @throws recoveryTargetUnreachable, recoveryTargetAmbiguous, inputInvalid, wrongKey; nothing was touched */
export async function planPoint(deps: ActivityDeps, settings: TargetSettings, input: RestoreInput): Promise<RecoveryPlan> {
  if (settings.engine !== 'physical') throw new ResurgoError('unsupported', `target ${settings.name} is ${settings.engine}; a point in time is for engine: physical with a WAL archive`);
  const { systems, stores, problems } = await readSystems(deps, settings.name);
  if (systems.length === 0) {
    throw (problems[0] as Error | undefined) ?? new ResurgoError('recoveryTargetUnreachable', `no WAL of ${settings.name} is archived in ${stores.map(({ name }) => name).join(', ')}`, { details: { hint: `Without it a restore ends where a backup ended: choose one with --backup. To archive WAL: targets.${settings.name}.wal: true.` } });
  }
  let refused: unknown;
  for (const { systemId, lineages } of systems) {
    const backups = await backupsOf(deps, settings.repositories, settings.name, systemId);
    const { backup } = input;
    const chosen = backup === undefined || backup === 'latest' ? backups : backups.filter((one) => one.id === backup || one.name === backup);
    if (chosen.length === 0 && backups.length > 0) throw new ResurgoError('backupUnknown', `backup ${backup ?? ''} is none of ${settings.name} from which WAL can be replayed`);
    try {
      const plan = planRecovery(lineages, chosen, input);
      await unlockPlan(deps, settings.name, { plan, lineages, stores });
      return plan;
    } catch (error) {
      if (!isResurgoError(error, 'recoveryTargetUnreachable')) throw error;
      refused ??= error;
    }
  }
  throw refused as Error;
}

/**
 * A wrong or missing key is said now, and not in the middle of the replay. Only the keys of what the plan reads count: older WAL may have been sealed for
 * an identity that is lost, and a backup behind it does not need it.
 * @throws wrongKey, keyMissing, objectMissing, walGap
 */
async function unlockPlan(deps: ActivityDeps, target: string, { plan, lineages, stores }: { readonly plan: RecoveryPlan; readonly lineages: ArchivedLineage[]; readonly stores: ObjectStore[] }): Promise<void> {
  const credentials = await deps.keys.credentials();
  const reader = new WalReader({ stores, trusted: await deps.keys.trusted(), credentials });
  const read = planSegments({ target, plan, lineages }).flatMap(({ pieces }) => pieces.flatMap(({ piece: { key } }) => (key === undefined ? [] : [key])));
  const needed = [...new Set(read)];
  // One passphrase is for all of them, and trying it takes a second each time.
  await mapBounded(credentials.passphrase === undefined ? needed : needed.slice(0, 1), 8, (id) => reader.unlock(id));
}

/** Replays the WAL of a plan onto what was built. */
export async function replayTo(deps: ActivityDeps, settings: TargetSettings, plan: RestorePlan, places: { readonly dataDir: string; readonly spool: string; readonly knownRole?: string }, { signal, report }: Pulse): Promise<{ checks: readonly string[] }> {
  const { recovery } = plan;
  if (recovery === undefined) return { checks: [] };
  const { systems, stores } = await readSystems(deps, settings.name, recovery.systemId);
  const lineages = systems[0]?.lineages ?? [];
  const own = new Set<string>();
  for (const step of recovery.steps) own.add(segmentFile(step.timeline, parseLsn(step.from), recovery.segmentBytes));
  await dropOwnWal(places.dataDir, own);
  const reader = new WalReader({ stores, trusted: await deps.keys.trusted(), credentials: await deps.keys.credentials(), signal });
  return recoverCluster({ ...places, target: settings.name, plan: recovery, lineages, reader, toolDirs: settings.toolsDirs, signal, onProgress: report });
}

/** What a restore without a point in time leaves out, where WAL is archived; undefined where none is. */
export async function newestArchived(deps: ActivityDeps, settings: TargetSettings): Promise<string | undefined> {
  if (settings.engine !== 'physical') return undefined;
  const { systems } = await readSystems(deps, settings.name);
  const newest = Math.max(0, ...(systems[0]?.lineages ?? []).flatMap(({ timelines }) => timelines.map(({ pieces }) => newestTime(pieces) ?? 0)));
  return newest === 0 ? undefined : new Date(newest).toISOString();
}
