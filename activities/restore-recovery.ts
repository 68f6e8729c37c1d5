/** The point in time of a restore: which backup, which WAL, from where. */
import type { Manifest } from '../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { RestoreInput, RestorePlan } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { planRecovery, recoveryBackup, type RecoveryBackup, type RecoveryPlan } from '../domain/recovery.ts';
import { withHistories } from '../domain/swaps.ts';
import { presentFirst, sortPieces, type WalPiece } from '../domain/wal.ts';
import { walRepositories } from '../config/lookup.ts';
import { mapBounded } from '../providers/repository/bounded.ts';
import { givenUpIn, listBackups, readManifestBytes, type ListedBackup } from '../providers/repository/catalogue.ts';
import { readSwapsOf } from '../providers/repository/swap-notes.ts';
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
  const all = await Promise.all([...merged].map(async ([systemId, lineages]): Promise<System> => ({ systemId, lineages: withHistories([...lineages.values()], await readSwapsOf(stores, target, systemId)) })));
  const systems = all.filter(({ lineages }) => lineages.length > 0);
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

/** Physical backups that any repository holds undamaged, newest first. */
export async function backupsOf(deps: ActivityDeps, repositories: readonly string[], target: string, systemId: string): Promise<RecoveryBackup[]> {
  const trusted = await deps.keys.trusted();
  const found = new Map<string, RecoveryBackup>();
  const listed: { store: ObjectStore; refs: readonly ListedBackup[] }[] = [];
  const reachable = async (name: string, work: (store: ObjectStore) => Promise<void>): Promise<void> => {
    await deps.stores.open(name).then(work).catch((error: unknown) => {
      if (!isResurgoError(error)) throw error;
    });
  };
  for (const name of repositories) await reachable(name, async (store) => void listed.push({ store, refs: await listBackups(store, target) }));
  const known = givenUpIn(listed.flatMap(({ refs }) => refs));
  for (const { store, refs } of listed) {
    await reachable(store.name, async () => {
      for (const ref of known(refs)) {
        if (!ref.published || ref.systemId !== systemId || ref.state.includes('damaged') || found.has(ref.id)) continue;
        try {
          const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
          if (manifest.wal !== undefined) found.set(ref.id, recoveryBackup(ref, manifest.wal, manifest.endedAt));
        } catch (error) {
          if (!isResurgoError(error) || error.definition.retryable) throw error;
        }
      }
    });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? 1 : -1));
}

/** Those that were given up only when named. */
const choosable = (backups: readonly RecoveryBackup[], which: string | undefined): RecoveryBackup[] =>
  which === undefined || which === 'latest' ? backups.filter(({ givenUp }) => givenUp === undefined) : backups.filter((one) => one.id === which || one.name === which);

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
    // Who names the timeline may mean one that was given up.
    const chosen = input.timeline !== undefined && (backup ?? 'latest') === 'latest' ? backups : choosable(backups, backup);
    if (chosen.length === 0 && backups.some(({ givenUp }) => givenUp === undefined)) throw new ResurgoError('backupUnknown', `backup ${backup ?? ''} is none of ${settings.name} from which WAL can be replayed`);
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

/** Up to when the archived WAL goes on from a backup, where it does so beyond the end of the backup; undefined where nothing leads further. */
export async function goesOnTo(deps: ActivityDeps, settings: TargetSettings, ref: ListedBackup, manifest: Pick<Manifest, 'wal' | 'endedAt'>): Promise<string | undefined> {
  if (settings.engine !== 'physical' || manifest.wal === undefined || ref.givenUp !== undefined) return undefined;
  const { systems } = await readSystems(deps, settings.name, ref.systemId);
  try {
    const { endTime } = planRecovery(systems[0]?.lineages ?? [], [recoveryBackup(ref, manifest.wal, manifest.endedAt)], { time: 'latest' });
    return endTime === undefined || endTime <= manifest.endedAt ? undefined : endTime;
  } catch (error) {
    if (!isResurgoError(error, 'recoveryTargetUnreachable')) throw error;
    return undefined;
  }
}
