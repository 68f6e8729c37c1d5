/**
 * A worker process that kills itself (SIGKILL) at a named place, once: before, after or inside an activity, or at the n-th call of a store.
 * `CRASH_PLAN` is `{ activity, when: 'before'|'after' }` or `{ activity, when: 'inside', operation, at }`; `CRASH_MARK` is a file that says it happened.
 * Store calls and activity starts are appended to `EFFECT_LOG`, one JSON line each: the ledger tests count by.
 */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { loadConfig } from '../../config/load.ts';
import { createActivities, type Activities } from '../../activities/index.ts';
import { Stores, type StorePool } from '../../activities/stores.ts';
import { ForwardingStore } from '../../providers/repository/decorators/forwarding.ts';
import type { ObjectStore, PutOptions } from '../../domain/ports.ts';
import { createLogger, installRuntime } from '../../workers/telemetry.ts';
import { runWorkerProcess } from '../../workers/main.ts';

export type CrashPlan =
  | { readonly activity: string; readonly when: 'before' | 'after' }
  | { readonly activity: string; readonly when: 'inside'; readonly operation: 'put' | 'get' | 'list' | 'head' | 'delete'; readonly at: number; readonly afterwards?: boolean };

const configPath = process.argv[2] as string;
const plan = process.env['CRASH_PLAN'] === undefined ? undefined : (JSON.parse(process.env['CRASH_PLAN']) as CrashPlan);
const mark = process.env['CRASH_MARK'];
const ledger = process.env['EFFECT_LOG'];

const die = (): void => {
  if (mark === undefined || existsSync(mark)) return;
  writeFileSync(mark, JSON.stringify(plan));
  process.kill(process.pid, 'SIGKILL');
};
const note = (line: object): void => {
  if (ledger !== undefined) appendFileSync(ledger, `${JSON.stringify({ pid: process.pid, ...line })}\n`);
};

let current = '';
const counts = new Map<string, number>();

class CrashingStore extends ForwardingStore {
  private hit(operation: string, key: string, afterwards: boolean): void {
    if (plan?.when !== 'inside' || plan.activity !== current || plan.operation !== operation || (plan.afterwards ?? false) !== afterwards) return;
    const seen = (counts.get(operation) ?? 0) + 1;
    counts.set(operation, seen);
    if (seen === plan.at) die();
    void key;
  }

  private async around<T>(operation: string, key: string, work: () => Promise<T>, bytes = 0): Promise<T> {
    this.hit(operation, key, false);
    const value = await work();
    note({ store: this.name, operation, key, bytes, activity: current });
    this.hit(operation, key, true);
    return value;
  }

  override put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    return this.around('put', key, () => super.put(key, body, options), body.length);
  }

  override get(key: string, options?: Parameters<ObjectStore['get']>[1]): Promise<Buffer> {
    return this.around('get', key, () => super.get(key, options));
  }

  override delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.around('delete', keys.join(','), () => super.delete(keys, signal));
  }

  override head(key: string, signal?: AbortSignal): ReturnType<ObjectStore['head']> {
    return this.around('head', key, () => super.head(key, signal));
  }
}

class CrashingStores implements StorePool {
  private readonly inner: Stores;
  private readonly wrapped = new Map<string, ObjectStore>();

  constructor(inner: Stores) {
    this.inner = inner;
  }

  names(): string[] { return this.inner.names(); }
  spoolPath(backup: string): string { return this.inner.spoolPath(backup); }
  close(): Promise<void> { return this.inner.close(); }
  async spool(backup: string): Promise<ObjectStore> { return new CrashingStore(await this.inner.spool(backup)); }

  async open(name: string, options?: { create?: boolean }): Promise<ObjectStore> {
    const store = await this.inner.open(name, options);
    const known = this.wrapped.get(name) ?? new CrashingStore(store);
    this.wrapped.set(name, known);
    return known;
  }
}

const logger = createLogger('info');
installRuntime(logger);
await runWorkerProcess({
  configPath,
  logger,
  signal: new AbortController().signal,
  ...(process.env['WORKER_HOST'] === undefined ? {} : { host: process.env['WORKER_HOST'] }),
  makeActivities: (deps) => {
    const activities = createActivities({ ...deps, stores: new CrashingStores(new Stores(loadConfig(configPath))) });
    const wrapped: Record<string, unknown> = {};
    for (const [name, run] of Object.entries(activities) as [string, (input: never) => Promise<unknown>][]) {
      wrapped[name] = async (input: never) => {
        if (!name.startsWith('announce') && name !== 'waitForOperation') {
          current = name;
          note({ started: name });
        }
        if (plan?.activity === name && plan.when === 'before') die();
        const value = await run(input);
        if (plan?.activity === name && plan.when === 'after') die();
        return value;
      };
    }
    return wrapped as unknown as Activities;
  },
  onReady: () => { process.stderr.write('worker is polling\n'); },
});
