import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { LogicalFacts, PhysicalFacts } from '../../domain/backup.ts';
import type { DrillInput } from '../../domain/drill.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { canonicalJson } from '../../config/canonical.ts';
import { drillOf } from '../../config/lookup.ts';
import { longestWait } from '../../config/longest-wait.ts';
import type { DrillConfig } from '../../config/schema-drill.ts';
import { freeBytes } from '../../providers/host/space.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { planPlaces } from '../../providers/postgres/restore-places.ts';
import type { ActivityDeps } from '../deps.ts';
import type { DestinationFacts, RestoreEngine } from '../engines/restore-engine.ts';
import { planRestore } from '../restore-plan.ts';
import { targetSettings, type TargetSettings } from '../target-settings.ts';
import { drillPlaces, type DrillPlaces } from './places.ts';

export interface DrillPlan {
  readonly id: string;
  readonly target: string;
  readonly restore: RestorePlan;
  readonly places: DrillPlaces;
  /** Of the drill's configuration: a worker with another one must not run its commands. */
  readonly drillHash: string;
  /** Added to the measured recovery time. */
  readonly detectMs: number;
  readonly scheduleGapMs: number | null;
  /** When the restored data is consistent at, ISO. */
  readonly consistentAt: string | null;
  /** Where checks are run; empty for what is no database. */
  readonly database: string;
  /** Why the archived WAL could not be replayed, though the target archives it. */
  readonly walProblem?: string;
  /** The point in time that was asked for: the loss is counted from it. */
  readonly wanted?: string;
  readonly has: { readonly marker: boolean; readonly functionChecks: boolean; readonly performance: boolean };
}

export const drillHash = (drill: DrillConfig | undefined): string => createHash('sha256').update(canonicalJson(drill ?? null)).digest('hex').slice(0, 16);

/** The drill of the configuration, the same as when the drill was planned. @throws configMismatch */
export function currentDrill(deps: Pick<ActivityDeps, 'loaded'>, plan: Pick<DrillPlan, 'target' | 'drillHash'>): DrillConfig | undefined {
  const drill = drillOf(deps.loaded.config, plan.target);
  if (drillHash(drill) !== plan.drillHash) throw new ResurgoError('configMismatch', `the drill of ${plan.target} is configured differently on this worker than where it was planned`);
  return drill;
}

/** What no drill can be made of is refused before it begins: a failed drill is evidence that a target cannot be recovered, and that would be a lie. @throws unsupported */
export function assertDrillable({ engine }: Pick<TargetSettings, 'engine'>): void {
  if (engine !== 'group' && engine !== 'rds' && engine !== 'dataset') return;
  throw new ResurgoError('unsupported', `a ${engine} target cannot be drilled`, { details: { hint: engine === 'group' ? 'Drill its members.' : 'Drill the database target it belongs to.' } });
}

/**
 * Decides which backup is drilled and where it is built, before anything is touched. Needs nothing of production: only repositories, keys and this host.
 * @throws like planRestore
 */
export async function planDrill(deps: ActivityDeps, input: DrillInput & { readonly id: string; readonly startedAt: string }): Promise<DrillPlan> {
  const settings = targetSettings(deps, input.target);
  assertDrillable(settings);
  const { config } = deps.loaded;
  const drill = drillOf(config, input.target);
  const places = drillPlaces(settings, drill, input.id);
  const restored = { target: input.target, id: input.id, startedAt: input.startedAt, ...(input.backup === undefined ? {} : { backup: input.backup }) };
  // Where WAL is archived a recovery goes to its end, so a drill does, unless told otherwise.
  const byDefault = settings.config.type === 'postgres' && settings.config.wal === true && input.time === undefined && (input.backup ?? 'latest') === 'latest';
  const time = input.time ?? (byDefault ? 'latest' : undefined);
  const inspected: Inspected = {};
  const isDatabase = settings.engine === 'physical' || settings.engine === 'logical';
  const restore = isDatabase
    ? await planRestore(deps, { ...restored, mode: 'scratch', ...(time === undefined ? {} : { time }) }, isolatedPlace(settings, places, inspected)).catch((error: unknown) => {
        if (!byDefault || !isResurgoError(error, 'recoveryTargetUnreachable')) throw error;
        // The archive does not serve: that is a finding of the drill, which shows what the backup alone is good for.
        inspected.walProblem = error.message;
        return planRestore(deps, { ...restored, mode: 'scratch' }, isolatedPlace(settings, places, inspected));
      })
    : await planRestore(deps, { ...restored, mode: 'beside', to: join(places.root, 'files') });
  return {
    id: input.id,
    target: input.target,
    restore,
    places,
    drillHash: drillHash(drill),
    detectMs: drill?.detect ?? 0,
    scheduleGapMs: longestWait(config, input.target) ?? null,
    consistentAt: inspected.consistentAt ?? restore.recoversTo.time,
    database: isDatabase ? (inspected.database ?? drill?.database ?? databaseOf(settings)) : '',
    ...(inspected.walProblem === undefined ? {} : { walProblem: inspected.walProblem }),
    ...(input.time === undefined || input.time === 'latest' ? {} : { wanted: input.time }),
    has: { marker: drill?.marker !== undefined, functionChecks: drill?.checks !== undefined, performance: drill?.performance !== undefined },
  };
}

interface Inspected {
  database?: string;
  consistentAt?: string;
  walProblem?: string;
}

/** A place of the drill's own, which asks the source's server nothing: it may well be down. */
function isolatedPlace(settings: TargetSettings, places: DrillPlaces, inspected: Inspected): Pick<RestoreEngine, 'inspect'> {
  const destination = join(places.root, 'data');
  return {
    async inspect(input, chain, open): Promise<DestinationFacts> {
      const { engine } = (await open()).index;
      const source = chain.reduce((sum, manifest) => sum + manifest.bytes.source, 0);
      const shared = { destination, stopsServices: false, replaces: false, freeBytes: await freeBytes(places.root), warnings: [] };
      if (settings.engine === 'logical') {
        const facts = engine as LogicalFacts;
        inspected.database = facts.database;
        if (facts.snapshot !== undefined) inspected.consistentAt = facts.snapshot.at;
        // The dump, then the tables and indexes made of it, and a cluster of its own.
        return { ...shared, requiredBytes: source * 3 + 64 * 1024 ** 2 };
      }
      const { tablespaces } = engine as PhysicalFacts;
      const engineState = await planPlaces({ destination, id: input.id, tablespaces, mode: 'new', tablespaceRoot: join(places.root, 'tablespaces') });
      return { ...shared, requiredBytes: source, engineState };
    },
  };
}

function databaseOf(settings: TargetSettings): string {
  const url = settings.endpoints[0]?.url();
  return url === undefined ? 'postgres' : resolveConnection(url).database;
}
