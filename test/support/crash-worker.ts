/**
 * A worker process that kills itself at a named place (see crash/plan.ts), once per plan. Environment: `CRASH_PLAN_FILE` (may come and change
 * while it runs), `CRASH_MARK` (what the plan becomes when it is carried out), `EFFECT_LOG` (the ledger tests count by).
 */
import { existsSync, readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { createActivities, type Activities } from '../../activities/index.ts';
import { currentContext } from '../../activities/failure-mapping.ts';
import { Stores, type StorePool } from '../../activities/stores.ts';
import { loadConfig } from '../../config/load.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../domain/ports.ts';
import { FaultInjectingStore } from '../../providers/repository/decorators/fault-injecting.ts';
import { ForwardingStore } from '../../providers/repository/decorators/forwarding.ts';
import { createLogger, installRuntime } from '../../workers/telemetry.ts';
import { runWorkerProcess } from '../../workers/main.ts';
import { effect, inActivity } from './crash/effects.ts';
import { patchEffects } from './crash/patches.ts';
import type { StoreFault } from './crash/plan.ts';

export type { CrashPlan, Effect, StoreFault } from './crash/plan.ts';

class NotedStore extends ForwardingStore {
  override put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    return effect('put', key, () => super.put(key, body, options), { store: this.name, bytes: body.length });
  }

  override get(key: string, options?: Parameters<ObjectStore['get']>[1]): Promise<Buffer> {
    return effect('get', key, () => super.get(key, options), { store: this.name });
  }

  override head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    return effect('head', key, () => super.head(key, signal), { store: this.name });
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    await effect('list', prefix, () => Promise.resolve(), { store: this.name });
    yield* super.list(prefix, signal);
  }

  override delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    return effect('delete', keys.join(','), () => super.delete(keys, signal), { store: this.name });
  }
}

/** Rules of `STORE_FAULTS`, a file that may change while the worker runs. */
let faultText = '';
const faulty = new Map<string, FaultInjectingStore>();

function applyFaults(): void {
  const file = process.env['STORE_FAULTS'];
  const text = file !== undefined && existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (text === faultText) return;
  faultText = text;
  for (const store of faulty.values()) store.clear();
  for (const { store, key, ...rule } of text === '' ? [] : (JSON.parse(text) as StoreFault[])) {
    faulty.get(store)?.add({ ...rule, ...(key === undefined ? {} : { key: new RegExp(key) }) });
  }
}

class NotedStores implements StorePool {
  private readonly inner: Stores;
  private readonly noted = new WeakMap<ObjectStore, ObjectStore>();

  constructor(inner: Stores) {
    this.inner = inner;
  }

  names(): string[] {
    return this.inner.names();
  }

  spoolPath(backup: string): string {
    return this.inner.spoolPath(backup);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  async spool(backup: string): Promise<ObjectStore> {
    return new NotedStore(await this.inner.spool(backup));
  }

  async open(name: string, options?: { create?: boolean }): Promise<ObjectStore> {
    const store = await this.inner.open(name, options);
    let known = this.noted.get(store);
    if (known === undefined) {
      const breakable = new FaultInjectingStore(store);
      faulty.set(name, breakable);
      faultText = '';
      known = new NotedStore(breakable);
      this.noted.set(store, known);
    }
    applyFaults();
    return known;
  }
}

function noted(activities: Activities): Activities {
  const wrapped: Record<string, unknown> = {};
  for (const [name, run] of Object.entries(activities) as [string, (input: never) => Promise<unknown>][]) {
    wrapped[name] = (input: never) => {
      const info = currentContext()?.info;
      // What every run begins with costs nothing and touches nothing; waiting for a lock is no work.
      if (info === undefined || info.isLocal || name === 'waitForOperation') return run(input);
      // Phases of plans are told apart by their step.
      const step = (input as { step?: unknown } | undefined)?.step;
      return inActivity({ activity: typeof step === 'string' ? `${name}:${step}` : name, attempt: info.attempt, run: info.workflowExecution?.workflowId ?? '' }, () => run(input));
    };
  }
  return wrapped as unknown as Activities;
}

patchEffects();
const configPath = process.argv[2] as string;
const logger = createLogger('info');
installRuntime(logger);
const stop = new AbortController();
process.once('SIGTERM', () => {
  stop.abort();
});
await runWorkerProcess({
  configPath,
  logger,
  signal: stop.signal,
  ...(process.env['WORKER_HOST'] === undefined ? {} : { host: process.env['WORKER_HOST'] }),
  makeActivities: (deps) => noted(createActivities({ ...deps, stores: new NotedStores(new Stores(loadConfig(configPath))) })),
  onReady: () => {
    // It will be killed: what it compiled is kept for the next one now.
    flushCompileCache();
    process.stderr.write('worker is polling\n');
  },
});
process.exit(0);
