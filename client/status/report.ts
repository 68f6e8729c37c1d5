import { pingName, readPings, type PingNote } from '../../activities/deadman.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { IncidentView } from '../../domain/incident.ts';
import { replicationOf, watchedClusters } from '../../config/lookup.ts';
import type { WatchReport } from '../../domain/monitor.ts';
import { watchReport } from '../monitors/report.ts';
import { lastDrills } from './drills.ts';
import { replicationStatus, type ReplicationStatus } from './replication.ts';
import { gatherFacts, withSchedules, type RepositoryStatus } from './gather.ts';
import { judge, type ScheduleFacts, type TargetStatus } from './judge.ts';
import { scheduleFacts } from './schedules.ts';

export interface StatusReport {
  readonly schemaVersion: 1;
  readonly at: string;
  readonly targets: readonly TargetStatus[];
  readonly incidents: readonly IncidentView[];
  readonly repositories: readonly RepositoryStatus[];
  /** The last dead-man ping of each that this host has sent. */
  readonly pings: readonly PingNote[];
  readonly temporal: { readonly reachable: boolean; readonly error?: string };
}

/** Backups are told without Temporal too; asking it is given up after this. */
const patienceMs = 5000;

/** Readiness of every target (or of those named). Reads only. */
export async function statusReport(loaded: LoadedConfig, only?: readonly string[], now = Date.now()): Promise<StatusReport> {
  const [gathered, asked, drills, pings] = await Promise.all([gatherFacts(loaded, only), askTemporal(loaded, now), lastDrills(loaded), readPings(loaded.stateDir)]);
  const replicationFor = (name: string): { replication?: ReplicationStatus } => {
    if (asked.watch === undefined || replicationOf(loaded.config, name) === undefined) return {};
    const its = asked.watch?.clusters?.find(({ target }) => target === name);
    return { replication: its === undefined ? null : replicationStatus(its) };
  };
  return {
    schemaVersion: 1,
    at: new Date(now).toISOString(),
    targets: gathered.targets.map((facts) => ({ ...judge({ ...withSchedules(facts, asked.schedules), ...replicationFor(facts.name) }, now), lastDrill: drills.get(facts.name) ?? null })),
    incidents: asked.incidents ?? [],
    repositories: gathered.repositories,
    pings: pings.filter(({ name }) => loaded.config.deadman?.some((one) => pingName(one) === name) === true),
    temporal: { reachable: asked.schedules !== undefined, ...(asked.error === undefined ? {} : { error: asked.error }) },
  };
}

/** 6 when an objective of any target is missed. */
export const statusExitCode = (report: StatusReport): number | undefined =>
  report.targets.some(({ problems }) => problems.some(({ severity }) => severity === 'objective')) ? 6 : undefined;

async function askTemporal(loaded: LoadedConfig, now: number): Promise<{ readonly schedules?: Map<string, ScheduleFacts>; readonly incidents?: readonly IncidentView[]; readonly watch?: WatchReport | null; readonly error?: string }> {
  const timer = Promise.withResolvers<{ error: string }>();
  const timeout = setTimeout(() => { timer.resolve({ error: `no answer within ${String(patienceMs / 1000)} s` }); }, patienceMs);
  try {
    return await Promise.race([ask(loaded, now), timer.promise]);
  } catch (error) {
    return { error: isResurgoError(error) || error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timeout);
  }
}

async function ask(loaded: LoadedConfig, now: number): Promise<{ schedules: Map<string, ScheduleFacts>; incidents: readonly IncidentView[]; watch: WatchReport | null }> {
  const [{ resolveTemporal }, { connect }, { openIncidents }] = await Promise.all([import('../temporal-address.ts'), import('../connect.ts'), import('./incidents.ts')]);
  const connected = await connect(await resolveTemporal(loaded.stateDir, { waitMs: 0 }));
  try {
    const [schedules, incidents, watch] = await Promise.all([
      scheduleFacts(connected.client, loaded.config, now), openIncidents(connected.client),
      watchedClusters(loaded.config).length === 0 ? undefined : watchReport(connected.client, null),
    ]);
    return { schedules, incidents, watch: watch ?? null };
  } finally {
    await connected.connection.close();
  }
}
