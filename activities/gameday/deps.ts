/** What activities are given inside a sandbox: the target is its server, repositories are views that keep changes to themselves, state lies apart. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sandbox } from '../../domain/gameday.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { targetOf } from '../../config/lookup.ts';
import { LiteralSecret } from '../../config/secret.ts';
import type { Config, PostgresTargetConfig, TargetConfig } from '../../config/schema.ts';
import { CopyOnWriteStore } from '../../providers/repository/decorators/copy-on-write.ts';
import { DiskStore } from '../../providers/repository/disk-store.ts';
import { useActions } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import type { StorePool } from '../stores.ts';
import { sandboxActions } from './actions.ts';

/** URL of the sandbox's server for its superuser, by its socket. */
export const sandboxUrl = ({ home, superuser, database }: Pick<Sandbox, 'home' | 'superuser' | 'database'>): string =>
  `postgres:///${encodeURIComponent(database)}?host=${encodeURIComponent(home)}&port=${String(sandboxPort)}&user=${encodeURIComponent(superuser)}`;
/** Of the socket's name; nothing listens on it. */
export const sandboxPort = 5432;

/** For programs that the configuration allows to run in a game day. */
export const sandboxEnvironment = (sandbox: Sandbox): Record<string, string> => ({
  RESURGO_GAMEDAY: sandbox.id,
  PGHOST: sandbox.home,
  PGPORT: String(sandboxPort),
  PGUSER: sandbox.superuser,
  PGDATABASE: sandbox.database,
  DATABASE_URL: sandboxUrl(sandbox),
});

const known = new WeakMap<ActivityDeps, Map<string, ActivityDeps>>();

/**
 * @param step of the plan; decides whether what it does outside the database is really done
 */
export function sandboxDeps(deps: ActivityDeps, sandbox: Sandbox, step?: string): ActivityDeps {
  const real = step !== undefined && sandbox.run.includes(step);
  const all = known.get(deps) ?? new Map<string, ActivityDeps>();
  known.set(deps, all);
  const key = `${sandbox.id} ${String(real)}`;
  const made = all.get(key) ?? makeDeps(deps, sandbox, real);
  all.delete(key);
  all.set(key, made);
  // A worker lives for years; a sandbox for an hour.
  if (all.size > 20) for (const old of [...all.keys()].slice(0, -20)) all.delete(old);
  return made;
}

function makeDeps(deps: ActivityDeps, sandbox: Sandbox, real: boolean): ActivityDeps {
  const { loaded } = deps;
  const inSandbox = (config: Config): Config => ({ ...config, targets: { ...config.targets, [sandbox.target]: sandboxTarget(config, sandbox) } });
  const made: ActivityDeps = {
    loaded: { ...loaded, config: inSandbox(loaded.config), source: inSandbox(loaded.source), stateDir: sandbox.stateDir },
    host: deps.host,
    version: deps.version,
    stores: new SandboxStores(deps.stores, sandbox.stateDir),
    keys: deps.keys,
    searchAttributes: deps.searchAttributes,
    ...(deps.onProgress === undefined ? {} : { onProgress: deps.onProgress }),
    ...(deps.signal === undefined ? {} : { signal: deps.signal }),
  };
  // Neither alerts nor messages, and no other run, can be reached from a sandbox: those functions are left out.
  useActions(made, async () => sandboxActions({ production: deps, sandboxed: made, sandbox, real, environment: sandboxEnvironment(sandbox) }));
  return made;
}

/** The target as it is, but its server. Hooks that stop and start it stand where the target has such; others would reach production. */
function sandboxTarget(config: Config, sandbox: Sandbox): TargetConfig {
  const target = targetOf(config, sandbox.target);
  if (target.type !== 'postgres') throw new ResurgoError('bug', `a sandbox of ${sandbox.target}, which is ${target.type}`);
  const { members, standbys: _s, password: _p, service, staging: _g, tablespaceMap: _t, failover: _f, dataDir: _d, ...rest } = target;
  const hooks = service ?? members?.find((member) => member.service !== undefined)?.service;
  const made: PostgresTargetConfig = {
    ...rest,
    backupFrom: 'primary',
    connection: new LiteralSecret(sandboxUrl(sandbox)),
    ...(sandbox.engine === 'physical' ? { dataDir: sandbox.dataDir } : {}),
    host: sandbox.host,
    ...(hooks === undefined ? {} : {
      service: { timeout: Math.max(hooks.timeout, 300_000), ...(hooks.stop === undefined || sandbox.engine === 'logical' ? {} : { stop: [sandbox.control, 'stop'] }), ...(hooks.start === undefined || sandbox.engine === 'logical' ? {} : { start: [sandbox.control, 'start'] }) },
    }),
  };
  return made;
}

/** Every repository as a view of its own. */
class SandboxStores implements StorePool {
  private readonly production: StorePool;
  private readonly stateDir: string;
  private readonly opened = new Map<string, Promise<ObjectStore>>();

  constructor(production: StorePool, stateDir: string) {
    this.production = production;
    this.stateDir = stateDir;
  }

  names(): string[] {
    return this.production.names();
  }

  open(name: string): Promise<ObjectStore> {
    const opening = this.opened.get(name) ?? this.reallyOpen(name);
    this.opened.set(name, opening);
    opening.catch(() => this.opened.delete(name));
    return opening;
  }

  private async reallyOpen(name: string): Promise<ObjectStore> {
    const below = await this.production.open(name);
    const own = async (what: string): Promise<DiskStore> => {
      const path = join(this.stateDir, 'repositories', name, what);
      await mkdir(path, { recursive: true, mode: 0o700 });
      return new DiskStore({ name, path });
    };
    return new CopyOnWriteStore(below, await own('written'), await own('gone'));
  }

  async spool(): Promise<ObjectStore> {
    throw new ResurgoError('unsupported', 'no backup is taken in a game day');
  }

  spoolPath(backup: string): string {
    return join(this.stateDir, 'spool', backup);
  }

  async close(): Promise<void> {
    for (const store of await Promise.allSettled(this.opened.values())) if (store.status === 'fulfilled') await store.value.close();
    this.opened.clear();
  }
}
