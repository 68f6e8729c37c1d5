/** Makes the sandbox of a game day out of what a drill builds, looks at it afterwards, and closes it. */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GroupedCheck } from '../../domain/drill.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { Sandbox } from '../../domain/gameday.ts';
import { identify, sweepProcesses } from '../../providers/host/processes.ts';
import { clusterProcesses } from '../../providers/postgres/cluster-processes.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { settleBuild } from '../../providers/postgres/in-place-physical.ts';
import { superuserName } from '../../providers/postgres/local-server.ts';
import type { RestorePlaces } from '../../providers/postgres/restore-places.ts';
import type { ActivityDeps } from '../deps.ts';
import type { DrillPlan } from '../drill/plan.ts';
import { ownsRoot, readDrillMark, sandboxStateDir } from '../drill/places.ts';
import { withPulse } from '../heartbeat.ts';
import { targetSettings } from '../target-settings.ts';
import { controlServer, sandboxConnection, silence, writeControl } from './server.ts';

export interface OpenSandboxInput {
  readonly plan: DrillPlan;
  readonly services: readonly string[];
  readonly run: readonly string[];
}

/** What a sandbox cannot be made of. @throws unsupported */
export function assertSandboxable({ restore }: Pick<DrillPlan, 'restore'>): void {
  if (restore.engine !== 'physical' && restore.engine !== 'logical') throw new ResurgoError('unsupported', `a game day needs a PostgreSQL target; ${restore.target} is ${restore.engine}`, { details: { hint: 'Drill it instead: resurgo drill.' } });
  const places = restore.engineState as RestorePlaces | undefined;
  if (restore.engine === 'physical' && (places?.tablespaces ?? []).length > 0) throw new ResurgoError('unsupported', `${restore.target} has tablespaces: a restore in place would work beside those of production, so there is no game day of it`, { details: { hint: 'Drill it instead: resurgo drill.' } });
}

/** Effect: a server runs in the sandbox. Idempotency: one that runs is left running. @throws restoreFailed, toolFailed, unsupported */
export async function openSandbox(deps: ActivityDeps, { plan, services, run }: OpenSandboxInput): Promise<Sandbox> {
  return withPulse(async ({ signal, report }) => {
    assertSandboxable(plan);
    const settings = targetSettings(deps, plan.target, plan.restore.configHash);
    const dataDir = join(plan.places.root, 'data');
    report({ phase: 'start the sandbox' });
    if (settings.engine === 'physical' && !existsSync(dataDir)) await settleBuild(plan.restore.engineState as RestorePlaces);
    const stateDir = sandboxStateDir(deps.loaded.stateDir, plan.id);
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const control = join(stateDir, 'server');
    const { home } = plan.places;
    const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'), 10);
    await writeControl({ dataDir, home, control, major, toolDirs: settings.toolsDirs });
    await controlServer({ control }, 'start', signal);
    const url = settings.endpoints[0]?.url();
    const known = settings.engine === 'logical' || url === undefined ? undefined : resolveConnection(url).user;
    const superuser = await superuserName((role) => sandboxConnection({ home, superuser: role, database: 'template1' }), known, signal);
    return { id: plan.id, target: plan.target, host: deps.host, root: plan.places.root, dataDir, home, stateDir, control, superuser, database: plan.database, engine: settings.engine as 'physical' | 'logical', services, run };
  }, deps);
}

/**
 * Whatever a sandbox is said to be, it is believed only where this host has made it: under a drill's mark, with every path where it belongs.
 * @throws unsafePath
 */
export async function assertSandbox({ loaded, host }: Pick<ActivityDeps, 'loaded' | 'host'>, sandbox: Sandbox): Promise<void> {
  const mark = /^[0-9a-z]{1,32}$/.test(sandbox.id) ? await readDrillMark(loaded.stateDir, sandbox.id) : undefined;
  const stateDir = sandboxStateDir(loaded.stateDir, sandbox.id);
  const good = mark !== undefined && mark.root === sandbox.root && mark.home === sandbox.home && mark.target === sandbox.target && sandbox.host === host
    && sandbox.dataDir === join(mark.root, 'data') && sandbox.stateDir === stateDir && sandbox.control === join(stateDir, 'server') && (await ownsRoot(mark)) === true;
  if (!good) throw new ResurgoError('unsafePath', `there is no sandbox ${JSON.stringify(sandbox.id)} of a game day at ${JSON.stringify(sandbox.root)} on this host`, { details: { hint: 'Nothing was touched. Sandboxes are made by `resurgo gameday`, and are gone with it.' } });
}

/** After the plan: does the service answer? Then the server is stopped, so that the data can be looked at in isolation. Effect: no server runs in the sandbox. */
export async function closeSandbox(sandbox: Sandbox): Promise<GroupedCheck> {
  return withPulse(async ({ signal, report }) => {
    report({ phase: 'look whether the service answers' });
    const said = await silence(sandbox, signal);
    report({ phase: 'stop the sandbox' });
    await endServer(sandbox);
    return said === undefined
      ? { group: 'function', name: 'the database answers after the plan', outcome: 'passed', detail: `answers as ${sandbox.database}` }
      : { group: 'function', name: 'the database answers after the plan', outcome: 'failed', detail: said };
  });
}

export async function endServer(sandbox: Sandbox): Promise<void> {
  await controlServer(sandbox, 'stop').catch(() => undefined);
  const left = await Promise.all((await clusterProcesses(sandbox.dataDir)).map(({ pid }) => identify(pid)));
  await sweepProcesses(left.flatMap((identity) => identity ?? []));
}
