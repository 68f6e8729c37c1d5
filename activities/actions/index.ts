/** All actions; docs/reference/actions.md is made from them. A line each. */
import type { Action } from '../../domain/action.ts';
import type { ActivityDeps } from '../deps.ts';
import { dnsSwitch } from './dns/switch.ts';
import { backup, restore, restoreConfirm } from './data/backup.ts';
import { approve } from './generic/approve.ts';
import { ecsRestart, ecsRollback, ecsScale } from './aws/ecs.ts';
import { rdsFailover, rdsPromoteReplica } from './aws/rds.ts';
import { redisPurge } from './redis/purge.ts';
import { hostCleanLogs, hostEndProcesses, hostProcesses } from './host/host.ts';
import { postgresFailover, postgresSwitchover } from './postgres/failover.ts';
import { postgresEndSessions, postgresValidate } from './postgres/sessions.ts';
import { exec } from './generic/exec.ts';
import { httpCall, httpOk } from './generic/http.ts';
import { notify } from './generic/notify.ts';
import { wait } from './generic/wait.ts';
import { ActionRegistry } from './registry.ts';
import { serviceRestart, serviceStart, serviceStop } from './service/actions.ts';

/** An action, or what makes it where it needs configuration or stores. */
type Entry = Action | ((deps: ActivityDeps) => Action);

// prettier-ignore
const builtIn: readonly Entry[] = [
  approve,
  dnsSwitch,
  ecsRestart,
  ecsRollback,
  ecsScale,
  exec,
  httpCall,
  httpOk,
  hostCleanLogs,
  hostEndProcesses,
  hostProcesses,
  postgresEndSessions,
  postgresFailover,
  postgresSwitchover,
  postgresValidate,
  notify,
  rdsFailover,
  rdsPromoteReplica,
  redisPurge,
  backup,
  restore,
  restoreConfirm,
  serviceRestart,
  serviceStart,
  serviceStop,
  wait,
];

/** Resurgo's own. */
export const builtInActions = (deps: ActivityDeps): Action[] => builtIn.map((entry) => (typeof entry === 'function' ? entry(deps) : entry));

/** Only Resurgo's own. */
export const registryOf = (deps: ActivityDeps): ActionRegistry => makeRegistry(builtInActions(deps));
export const makeRegistry = (actions: readonly Action[]): ActionRegistry => new ActionRegistry(actions);

const registries = new WeakMap<ActivityDeps, () => Promise<ActionRegistry>>();

/** The actions a worker has: Resurgo's own and those of files named in the configuration. Made once. */
export function actionsOf(deps: ActivityDeps): Promise<ActionRegistry> {
  if (!registries.has(deps)) useActions(deps, () => allActions(deps));
  return (registries.get(deps) as () => Promise<ActionRegistry>)();
}

/** Other actions stand in for them: those of a sandbox. Made when they are first needed. */
export function useActions(deps: ActivityDeps, make: () => Promise<ActionRegistry>): void {
  let made: Promise<ActionRegistry> | undefined;
  registries.set(deps, () => (made ??= make()));
}

async function allActions(deps: ActivityDeps): Promise<ActionRegistry> {
  const { loadUserActions } = await import('../plan/user-actions.ts');
  return makeRegistry([...builtInActions(deps), ...(await loadUserActions(deps.loaded))]);
}
