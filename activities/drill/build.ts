import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvidencePhase } from '../../domain/evidence.ts';
import type { LogicalFacts } from '../../domain/backup.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { initCluster } from '../../providers/postgres/init-cluster.ts';
import { startLocalServer, type LocalServer } from '../../providers/postgres/local-server.ts';
import type { BuiltRestore } from '../../workflows/restore-flow.ts';
import type { ActivityDeps } from '../deps.ts';
import { engineDefinition } from '../engines/index.ts';
import type { Pulse } from '../engines/restore-engine.ts';
import { withPulse } from '../heartbeat.ts';
import { openChain } from '../restore-plan.ts';
import { targetSettings } from '../target-settings.ts';
import { PhaseClock } from './phase-clock.ts';
import { claimRoot, readDrillMark, writeDrillMark } from './places.ts';
import type { DrillPlan } from './plan.ts';
import { reapDrills, removeDrill } from './remove.ts';

export interface BuiltDrill {
  readonly phases: readonly EvidencePhase[];
  readonly bytes: number;
  readonly files: number;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** What dead drills had left on this host and was removed before. */
  readonly reaped: readonly string[];
}

/**
 * Fetches the backup and builds it in the drill's own place. Effect: the mark of the drill, everything below its root. Idempotency: what an earlier attempt, or
 * a dead drill, left is removed first. Heartbeat: bytes. Failure: by provider code.
 */
export async function buildDrill(deps: ActivityDeps, plan: DrillPlan): Promise<BuiltDrill> {
  const { stateDir } = deps.loaded;
  const settings = targetSettings(deps, plan.target, plan.restore.configHash);
  const mark = { ...plan.places, target: plan.target, startedAt: plan.restore.startedAt };
  return withPulse(async (pulse) => {
    const { removed, problems } = await reapDrills(deps, { target: plan.target, id: plan.id });
    if ((await readDrillMark(stateDir, plan.id)) !== undefined) await removeDrill(deps, mark);
    await writeDrillMark(stateDir, mark);
    await claimRoot(plan.places);
    const clock = new PhaseClock(pulse.report);
    clock.begin('fetch');
    try {
      const chain = await openChain(deps, plan.restore);
      const engine = engineDefinition(settings.engine).restore(deps, settings);
      const clocked = { signal: pulse.signal, report: clock.follow(phaseName) };
      const built = settings.engine === 'logical' ? await buildLogical(deps, plan, chain, clocked, clock) : await engine.build(plan.restore, chain, clocked);
      clock.end();
      return { phases: clock.phases, bytes: built.bytes, files: built.files, checks: built.checks, warnings: [...built.warnings, ...problems], reaped: removed };
    } catch (error) {
      // Nobody is waiting for it any more: a reaper has taken the mark while this attempt was still at work.
      if ((await readDrillMark(stateDir, plan.id)) === undefined) await removeDrill(deps, mark).catch(() => undefined);
      throw error;
    }
  }, deps);
}

/** `fetch` is bringing bytes here; everything after it is making a database of them. */
const phaseName = (phase: string): string => (phase === 'fetch' || phase === 'restore' ? phase : `restore: ${phase}`);

/** A logical backup needs a server: a cluster of its own, made for it. */
async function buildLogical(deps: ActivityDeps, plan: DrillPlan, chain: readonly BackupReader[], pulse: Pulse, clock: PhaseClock): Promise<BuiltRestore> {
  const settings = targetSettings(deps, plan.target, plan.restore.configHash);
  const [reader] = chain;
  if (reader === undefined) throw new ResurgoError('bug', 'a drill without a backup');
  clock.begin('restore: make a cluster');
  const dataDir = join(plan.places.root, 'data');
  await initCluster({ dataDir, serverVersion: (reader.index.engine as LogicalFacts).serverVersion, toolDirs: settings.toolsDirs, signal: pulse.signal });
  return withServer(deps, plan, { signal: pulse.signal }, async (server) => {
    const engine = engineDefinition('logical').restore(deps, settings);
    const placed = placedIn(plan, server);
    const built = await engine.build(placed, chain, pulse);
    await engine.settle(placed);
    return built;
  });
}

/** The plan of a restore into a database of the isolated server. */
export function placedIn(plan: DrillPlan, server: LocalServer): RestorePlan {
  const { host, port, user } = server.connection;
  return { ...plan.restore, mode: 'beside', destination: `postgres:///${encodeURIComponent(plan.database)}?host=${encodeURIComponent(host)}&port=${String(port)}&user=${encodeURIComponent(user)}` };
}

export interface ServerOptions {
  readonly signal: AbortSignal;
  readonly settings?: Readonly<Record<string, string>>;
  readonly hba?: readonly string[];
}

/** Runs `work` on the isolated server of a drill and stops it, whatever happens. */
export async function withServer<T>(deps: ActivityDeps, plan: DrillPlan, options: ServerOptions, work: (server: LocalServer) => Promise<T>): Promise<T> {
  const settings = targetSettings(deps, plan.target, plan.restore.configHash);
  const knownRole = settings.engine === 'logical' ? undefined : await roleOf(settings.endpoints[0]?.url());
  const server = await startLocalServer({ dataDir: await clusterOf(plan), toolDirs: settings.toolsDirs, home: plan.places.home, ...options, ...(knownRole === undefined ? {} : { knownRole }) });
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

/** The data directory below the root: a physical build has a working name. */
async function clusterOf({ places }: DrillPlan): Promise<string> {
  const found = (await readdir(places.root)).find((name) => name === 'data' || name === `data.resurgo-${places.id}`);
  if (found === undefined) throw new ResurgoError('restoreFailed', `what the drill ${places.id} had built is gone from ${places.root}`);
  return join(places.root, found);
}

async function roleOf(url: string | undefined): Promise<string | undefined> {
  if (url === undefined) return undefined;
  const { resolveConnection } = await import('../../providers/postgres/connection.ts');
  return resolveConnection(url).user;
}

