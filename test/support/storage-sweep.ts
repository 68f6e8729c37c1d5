/** One fault at every call of a storage in turn: what an operation says is held against what the stores really have, then it is run again in peace. */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createActivities, type ActivityDeps } from '../../activities/index.ts';
import { KeyRing } from '../../activities/key-ring.ts';
import { Stores } from '../../activities/stores.ts';
import { loadConfig } from '../../config/load.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { openStore } from '../../providers/repository/open-store.ts';
import { listAside, listBackups, readManifestBytes, type ListedBackup } from '../../providers/repository/catalogue.ts';
import { FaultInjectingStore, type Fault } from '../../providers/repository/decorators/fault-injecting.ts';
import type { Operation } from '../../providers/repository/decorators/recording.ts';
import { keysOf, keysPrefix } from '../../providers/repository/layout.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { openKeys } from '../../providers/vault/open.ts';
import { parseManifest } from '../../providers/vault/publish.ts';
import { verifyStored } from '../../providers/vault/verify.ts';
import { createDeps } from '../../workers/deps.ts';
import { configHere } from './in-process.ts';
import { runHere } from './workflows-here.ts';

/** Calls are counted over all stores of a run together; one of them breaks. */
interface Position {
  at: number;
  fault: Fault | undefined;
  readonly calls: { readonly store: string; readonly operation: Operation; readonly key: string }[];
}

class SweptStore extends FaultInjectingStore {
  readonly #kind: ObjectStore['kind'];

  constructor(inner: ObjectStore, kind: ObjectStore['kind'], position: Position) {
    super(inner);
    this.#kind = kind;
    const broken = (): Fault | undefined => (position.calls.length === position.at ? position.fault : undefined);
    // One rule for each kind of fault, because a rule's fault is fixed; its key decides at the moment of the call.
    this.add({
      get fault(): Fault {
        return position.fault ?? { kind: 'fail' };
      },
      key: (key) => {
        const operation = this.trace.at(-1)?.operation ?? 'head';
        position.calls.push({ store: this.name, operation, key });
        return broken() !== undefined;
      },
    });
  }

  override get kind(): ObjectStore['kind'] {
    return this.#kind;
  }
}

/** What can happen to a call. A time-out may take effect later, or never. */
const faultsOf: Readonly<Record<Operation, readonly Fault[]>> = {
  put: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'fail', code: 'repositoryFull' }, { kind: 'answer-lost' }, { kind: 'answer-lost', code: 'repositoryDenied' }, { kind: 'late', ms: 2 }, { kind: 'short', bytes: 10 }, { kind: 'forget' }, { kind: 'corrupt' }],
  get: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'timeout', ms: 2 }, { kind: 'short', bytes: 10 }, { kind: 'short', bytes: 0 }, { kind: 'corrupt' }, { kind: 'nothing' }],
  head: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'nothing' }],
  list: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'torn', entries: 1 }, { kind: 'nothing' }],
  listDirectories: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'nothing' }],
  delete: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }, { kind: 'answer-lost' }, { kind: 'answer-lost', code: 'repositoryDenied' }, { kind: 'late', ms: 2 }, { kind: 'forget' }],
  sweepTemporary: [{ kind: 'fail' }, { kind: 'fail', code: 'repositoryDenied' }],
};

export interface SweepOptions {
  readonly dir: string;
  /** By name; the first disk takes the dump. */
  readonly repositories: Readonly<Record<string, 'disk' | 's3'>>;
  readonly source: string;
  readonly sections?: Readonly<Record<string, unknown>>;
}

export interface Outcome<R> {
  readonly value?: R;
  readonly error?: { readonly code: string; readonly message: string };
}

export class StorageSweep {
  readonly target = 'tree';
  readonly memory: ReadonlyMap<string, MemoryStore>;
  readonly dir: string;
  readonly #options: SweepOptions;
  readonly #configPath: string;
  readonly #position: Position = { at: 0, fault: undefined, calls: [] };
  #opened: SweptStore[] = [];
  /** A day passes between backups: names are by the second. */
  #day = Date.now() - 90 * 86_400_000;
  #saved = new Map<string, Map<string, { body: Buffer; modifiedAt: string }>>();
  #savedDay = 0;

  private constructor(options: SweepOptions, configPath: string) {
    this.#options = options;
    this.dir = options.dir;
    this.#configPath = configPath;
    this.memory = new Map(Object.keys(options.repositories).map((name) => [name, new MemoryStore(name)]));
  }

  static async create(options: SweepOptions): Promise<StorageSweep> {
    const path = await configHere(options.dir, { tree: { type: 'files', paths: [options.source] } }, {
      repositories: Object.fromEntries(Object.entries(options.repositories).map(([name, kind]) => [name, kind === 'disk' ? { type: 'disk', path: `./${name}` } : { type: 's3', bucket: name, region: 'eu-west-1', accessKeyId: 'test', secretAccessKey: { env: 'SWEEP_SECRET' } }])),
      ...options.sections,
    });
    process.env['SWEEP_SECRET'] = 'test';
    return new StorageSweep(options, path);
  }

  get stateDir(): string {
    return join(this.dir, '.resurgo');
  }

  deps(): ActivityDeps {
    const loaded = loadConfig(this.#configPath);
    const open: typeof openStore = async (name, settings) => {
      const memory = this.memory.get(name);
      const inner = memory ?? (await openStore(name, settings));
      const store = new SweptStore(inner, memory === undefined ? 'disk' : (this.#options.repositories[name] ?? 'disk'), this.#position);
      this.#opened.push(store);
      return store;
    };
    return { ...createDeps(loaded, { host: 'test-host', searchAttributes: false }), stores: new Stores(loaded, open), keys: new KeyRing(loaded) };
  }

  /** Runs a workflow; with a fault, that is the one call that breaks. What it throws is an outcome. */
  async run<I extends object, R>(workflow: (input: I) => Promise<R>, input: Omit<I, 'target'>, children: Readonly<Record<string, unknown>>, broken?: { readonly at: number; readonly fault: Fault }): Promise<Outcome<R>> {
    this.#position.calls.length = 0;
    this.#position.at = broken?.at ?? 0;
    this.#position.fault = broken?.fault;
    this.#day += 86_400_000;
    const deps = this.deps();
    try {
      return { value: await runHere(workflow, { target: this.target, ...input } as unknown as I, { activities: createActivities(deps), children, startedAt: new Date(this.#day) }) };
    } catch (error) {
      for (let current: unknown = error; current instanceof Error; current = current.cause) {
        const { type } = current as { type?: unknown };
        if (typeof type === 'string') return { error: { code: type, message: current.message } };
      }
      throw error;
    } finally {
      this.#position.at = 0;
      await Promise.all(this.#opened.map((store) => store.settled()));
      this.#opened = [];
      await deps.stores.close();
    }
  }

  /** The calls of the last run. */
  get calls(): Position['calls'] {
    return this.#position.calls;
  }

  /** What every position begins from. */
  save(): void {
    this.#saved = new Map([...this.memory].map(([name, { objects }]) => [name, new Map(objects)]));
    this.#savedDay = this.#day;
    rmSync(join(this.dir, 'saved-state'), { recursive: true, force: true });
    if (existsSync(this.stateDir)) cpSync(this.stateDir, join(this.dir, 'saved-state'), { recursive: true });
  }

  restore(): void {
    for (const [name, { objects }] of this.memory) {
      objects.clear();
      for (const [key, object] of this.#saved.get(name) ?? []) objects.set(key, { ...object, body: Buffer.from(object.body) });
    }
    this.#day = this.#savedDay;
    rmSync(this.stateDir, { recursive: true, force: true });
    if (existsSync(join(this.dir, 'saved-state'))) cpSync(join(this.dir, 'saved-state'), this.stateDir, { recursive: true });
  }

  keysOf(repository: string): string[] {
    return [...(this.memory.get(repository)?.objects.keys() ?? [])].sort();
  }

  async listed(repository: string): Promise<ListedBackup[]> {
    return listBackups(this.memory.get(repository) as MemoryStore, this.target);
  }

  /** What a reader who believes nobody finds: every copy that says it is verified and is not, by name. */
  async lies(): Promise<string[]> {
    const lies: string[] = [];
    const keys = new KeyRing(loadConfig(this.#configPath));
    const [trusted, credentials] = [await keys.trusted(), await keys.credentials()];
    for (const [name, store] of this.memory) {
      const all = await listBackups(store, this.target);
      for (const ref of all) {
        if (!ref.state.includes('verified') || ref.state.includes('damaged')) continue;
        try {
          const manifestBytes = await readManifestBytes(store, ref);
          const manifest = parseManifest(manifestBytes, { ref, trusted });
          const dataKeys = await openKeys({ stores: [store], backup: ref.id, attempt: manifest.attempt, credentials });
          await verifyStored({ store, ref, manifestBytes, trusted, keys: dataKeys, depth: 'content' });
          for (const id of manifest.chain) if (!all.some((other) => other.id === id && other.published)) throw new Error(`${id} of its chain is not there`);
        } catch (error) {
          lies.push(`${name} ${ref.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
    return lies;
  }

  /** Objects that belong to nothing: no backup, no record, no claim that holds. */
  async strays(): Promise<string[]> {
    const strays: string[] = [];
    for (const [name, store] of this.memory) {
      const all = [...(await listBackups(store, this.target)), ...(await listAside(store, this.target))];
      const whole = all.filter((ref) => ref.published);
      const epochs: string[] = [];
      for (const key of this.keysOf(name)) {
        if (key === 'repository.json' || key.startsWith(`runs/${this.target}/`) || key.startsWith('evidence/')) continue;
        if (key.startsWith(`${this.target}/writer-epoch/`)) epochs.push(key);
        else if (!whole.some((ref) => key.startsWith(keysOf(ref).prefix) || key.startsWith(keysOf(ref).state('x').slice(0, -1)) || key.startsWith(keysPrefix(ref.id)))) strays.push(`${name} ${key}`);
      }
      if (epochs.length > 1) strays.push(...epochs.map((key) => `${name} ${key}`));
    }
    for (const place of ['runs', 'spool', 'staging', 'restoring']) {
      const path = join(this.stateDir, place);
      if (existsSync(path)) strays.push(...readdirSync(path).map((left) => `${place}/${left}`));
    }
    return strays;
  }
}

/** A small tree; `change` makes it another one. */
export function smallTree(path: string): void {
  mkdirSync(join(path, 'a', 'b'), { recursive: true });
  writeFileSync(join(path, 'a', 'one'), 'one\n');
  writeFileSync(join(path, 'a', 'b', 'two'), 'two\n'.repeat(5000));
  writeFileSync(join(path, 'three'), Buffer.alloc(70_000, 3));
}

export interface SweepReport {
  readonly calls: number;
  readonly runs: number;
  /** How many of them ended with an error. */
  readonly failed: number;
}

export interface SweepCase<R> {
  /** Puts everything back to where it begins. */
  readonly begin?: () => void | Promise<void>;
  readonly operate: (broken?: { readonly at: number; readonly fault: Fault }) => Promise<Outcome<R>>;
  /** Held against what is really there. Returns what is wrong. */
  readonly honest: (outcome: Outcome<R>) => Promise<readonly string[]> | readonly string[];
  /** After a second run without a fault. Returns what is wrong. */
  readonly converged: (outcome: Outcome<R>) => Promise<readonly string[]> | readonly string[];
}

/** @param every only every n-th position, beginning at another one each time */
export async function sweep<R>(arena: StorageSweep, { begin, operate, honest, converged }: SweepCase<R>, every = 1): Promise<SweepReport & { readonly problems: readonly string[] }> {
  const start = async (): Promise<void> => {
    arena.restore();
    await begin?.();
  };
  await start();
  const clean = await operate();
  const problems = [...(await honest(clean)), ...(await converged(clean))].map((problem) => `without a fault: ${problem}`);
  if (clean.error !== undefined) problems.push(`without a fault: ${clean.error.message}`);
  const calls = [...(await counted(arena, start, operate))];
  let [turn, runs, failed] = [0, 0, 0];
  for (const [i, call] of calls.entries()) {
    const faults = faultsOf[call.operation];
    for (const fault of faults) {
      if (turn++ % every !== 0) continue;
      runs++;
      await start();
      const name = `${fault.kind}${'code' in fault ? ` ${fault.code ?? ''}` : ''} at call ${String(i + 1)} of ${String(calls.length)} (${call.store} ${call.operation} ${call.key})`;
      const outcome = await operate({ at: i + 1, fault });
      if (outcome.error !== undefined) failed++;
      if (outcome.error?.code === 'bug') problems.push(`${name}: called a bug: ${outcome.error.message}`);
      for (const problem of [...(await arena.lies()).map((lie) => `a lie: ${lie}`), ...(await honest(outcome))]) problems.push(`${name}: ${problem}`);
      const again = await operate();
      if (again.error !== undefined) problems.push(`${name}: the second run failed: ${again.error.code} ${again.error.message}`);
      for (const problem of [...(await arena.lies()).map((lie) => `a lie: ${lie}`), ...(await converged(again))]) problems.push(`${name}: after the second run: ${problem}`);
    }
  }
  return { calls: calls.length, runs, failed, problems };
}

async function counted(arena: StorageSweep, start: () => Promise<void>, operate: () => Promise<unknown>): Promise<StorageSweep['calls']> {
  await start();
  await operate();
  return [...arena.calls];
}
