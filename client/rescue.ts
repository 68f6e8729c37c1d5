/** Break glass: a restore from a repository alone. No Temporal, no worker, no configuration needed. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupRef, SignedManifest } from '../domain/backup.ts';
import type { RestoreInput, RestoreResult } from '../domain/operations.ts';
import type { ObjectStore, OnProgress } from '../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { parseConfig, type LoadedConfig } from '../config/load.ts';
import type { ActivityDeps } from '../activities/deps.ts';
import { toResurgoError } from '../activities/failure-mapping.ts';
import { KeyRing, type Keys } from '../activities/key-ring.ts';
import { isDamage } from '../activities/restore-choice.ts';
import { restoreActivities } from '../activities/restore.activities.ts';
import { Stores, type StorePool } from '../activities/stores.ts';
import { listBackups, listTargets, readManifestBytes } from '../providers/repository/catalogue.ts';
import { parseIdentityFile } from '../providers/vault/identity-file.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import { claimEpoch } from '../providers/repository/writer-epoch.ts';
import { readTrustedFile } from '../config/safe-file.ts';
import { restoreFlow, type FlowHost, type RestoreSteps } from '../workflows/restore-flow.ts';
import { openRescueRepository } from './rescue-repository.ts';
import { rescueTargets } from './rescue-target.ts';
import { version } from './version.ts';

export interface RescueOptions {
  readonly target?: string;
  /** Used when it is there; `repository` and `identity` make it unnecessary. */
  readonly loadConfig: () => Promise<LoadedConfig>;
  readonly repository?: string;
  readonly identity?: string;
  readonly passphrase?: string;
  /** Public signing keys of the hosts whose backups are accepted. */
  readonly trust?: readonly string[];
  readonly toolsDir?: string;
  readonly connection?: string;
  readonly dataDir?: string;
  /** `old=new`, absolute directories. */
  readonly tablespaces?: readonly string[];
  readonly input: Omit<RestoreInput, 'target'>;
  readonly onProgress: OnProgress;
  readonly onStep: (name: string, state: string, detail?: string) => void;
  readonly onNote: (text: string) => void;
  readonly signal: AbortSignal;
}

/** @throws RestoreFailed with the full result; whatever refused the restore before */
export async function rescueRestore(options: RescueOptions): Promise<RestoreResult> {
  const made = options.repository === undefined ? await fromConfig(options) : await fromRepository(options, options.repository);
  const { deps, target } = made;
  try {
    const input = { ...options.input, target };
    // The same rescue, started again after it died, finds and sweeps what it left.
    const id = rescueId([target, input.mode ?? '', input.to ?? options.dataDir ?? '', input.backup ?? 'latest', input.time ?? '', input.lsn ?? '', input.point ?? '', String(input.timeline ?? '')]);
    if (input.mode === 'in-place' && input.preview !== true) await fence(deps, target, options.onNote);
    const host: FlowHost = {
      now: () => new Date().toISOString(),
      show: (name, state, detail) => { options.onStep(name, state, detail); },
      shielded: (work) => work(),
      describe: (error) => {
        const known = toResurgoError(error);
        return { code: known.code, message: known.message, hint: known.hint };
      },
    };
    return await restoreFlow({ ...input, id, startedAt: host.now(), startedBy: 'rescue' }, patient(restoreActivities(deps), options), host);
  } finally {
    await deps.stores.close();
  }
}

/** Retries what may pass by itself, as Temporal would. */
function patient(steps: RestoreSteps, options: Pick<RescueOptions, 'signal' | 'onNote'>): RestoreSteps {
  const wrapped: Record<string, unknown> = {};
  for (const [name, run] of Object.entries(steps) as [string, (input: never) => Promise<unknown>][]) {
    wrapped[name] = async (input: never) => {
      for (let attempt = 1; ; attempt++) {
        const undoing = ['swapBack', 'discardRestore', 'startServices', 'recordRestore'].includes(name);
        if (!undoing) options.signal.throwIfAborted();
        try {
          return await run(input);
        } catch (error) {
          if (!isResurgoError(error) || !error.definition.retryable || attempt >= 4 || options.signal.aborted) throw error;
          options.onNote(`${name}: ${error.message}; attempt ${String(attempt + 1)} in ${String(2 ** attempt)} s`);
          await sleep(1000 * 2 ** attempt, undefined, { signal: options.signal });
        }
      }
    };
  }
  return wrapped as unknown as RestoreSteps;
}

const rescueId = (parts: readonly string[]): string => {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  return [...createHash('sha256').update(parts.join('\0')).digest().subarray(0, 12)].map((byte) => alphabet[byte & 31]).join('');
};

/** Runs that still hold the target elsewhere find themselves fenced at their next publish. */
async function fence(deps: ActivityDeps, target: string, onNote: (text: string) => void): Promise<void> {
  for (const name of deps.stores.names()) {
    try {
      await claimEpoch(await deps.stores.open(name), target, 'rescue');
    } catch (error) {
      onNote(`repository ${name} takes no fence (${error instanceof Error ? error.message : String(error)}); make sure that no other run works on ${target}`);
    }
  }
}

interface Made {
  readonly deps: ActivityDeps;
  readonly target: string;
}

async function fromConfig(options: RescueOptions): Promise<Made> {
  if (options.tablespaces !== undefined) throw new ResurgoError('usage', '--tablespace goes with --repository; with a configuration, set tablespaceMap of the target');
  const loaded = await options.loadConfig();
  const names = Object.keys(loaded.config.targets);
  const target = options.target ?? (names.length === 1 ? names[0] : undefined);
  if (target === undefined) throw new ResurgoError('usage', `which target? ${loaded.path} has: ${names.join(', ')}`);
  const keys: Keys = options.identity === undefined ? new KeyRing(loaded) : new RescueKeys(options, new KeyRing(loaded));
  return { target, deps: { loaded, host: 'rescue', version, stores: new Stores(loaded), keys, searchAttributes: false, onProgress: options.onProgress, signal: options.signal } };
}

async function fromRepository(options: RescueOptions, address: string): Promise<Made> {
  const store = await openRescueRepository(address);
  const targets = await listTargets(store);
  const target = options.target ?? (targets.length === 1 ? targets[0] : undefined);
  if (target === undefined) throw new ResurgoError('usage', targets.length === 0 ? `${address} holds no backups` : `which target? The repository has: ${targets.join(', ')}`);
  const published = (await listBackups(store, target)).filter((ref) => ref.published);
  const [newest] = published;
  if (newest === undefined) throw new ResurgoError('backupUnknown', `${address} holds no backup of ${target}${targets.length > 0 ? `; it has: ${targets.join(', ')}` : ''}`);
  const trust = options.trust ?? [];
  // Only what kind of target it is; which backup is restored is decided later.
  const manifest = await firstReadable(store, newest, published, trust);
  if (trust.length === 0) options.onNote(`no host key is pinned (--trust): the newest backup says it was signed by ${manifest.signature.publicKey}; compare it with what you know`);
  const stateDir = resolve('.resurgo-rescue');
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const text = JSON.stringify({
    version: 1,
    encryption: { passphrase: 'unused-in-a-rescue' },
    repositories: { rescue: { type: 'disk', path: join(stateDir, 'none') } },
    targets: rescueTargets(target, manifest, options),
  });
  const source = parseConfig(text, { shown: 'rescue', dir: process.cwd(), env: process.env });
  const loaded: LoadedConfig = { config: source, source, path: '(rescue)', dir: process.cwd(), stateDir, hash: 'rescue', owner: process.getuid?.() ?? 0 };
  return { target, deps: { loaded, host: 'rescue', version, stores: new OneStore(store, stateDir), keys: new RescueKeys(options, undefined), searchAttributes: false, onProgress: options.onProgress, signal: options.signal } };
}

/** The newest manifest that is whole. @throws what the newest failed with when none is, or when it is not damage that keeps it from being read */
async function firstReadable(store: ObjectStore, newest: BackupRef, published: readonly BackupRef[], trusted: readonly string[]): Promise<SignedManifest> {
  let first: ResurgoError | undefined;
  for (const ref of published) {
    try {
      return parseManifest(await readManifestBytes(store, ref), { ref, trusted });
    } catch (error) {
      if (!isDamage(error)) throw error;
      first ??= error;
    }
  }
  throw first ?? new ResurgoError('backupUnknown', `backup ${newest.id} has no manifest`);
}

/** The one repository of a rescue. */
class OneStore implements StorePool {
  private readonly store: ObjectStore;
  private readonly stateDir: string;

  constructor(store: ObjectStore, stateDir: string) {
    this.store = store;
    this.stateDir = stateDir;
  }

  names(): string[] {
    return ['rescue'];
  }

  async open(): Promise<ObjectStore> {
    return this.store;
  }

  async spool(): Promise<ObjectStore> {
    throw new ResurgoError('bug', 'a rescue takes no backups');
  }

  spoolPath(backup: string): string {
    return join(this.stateDir, 'spool', backup);
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}

/** Keys given on the command line. */
class RescueKeys implements Keys {
  private readonly options: RescueOptions;
  private readonly configured: Keys | undefined;

  constructor(options: RescueOptions, configured: Keys | undefined) {
    this.options = options;
    this.configured = configured;
  }

  async hostKey(): Promise<never> {
    throw new ResurgoError('bug', 'a rescue signs nothing');
  }

  async audience(): Promise<never> {
    throw new ResurgoError('bug', 'a rescue encrypts nothing');
  }

  async hostCredentials(): Promise<never> {
    throw new ResurgoError('bug', 'a rescue takes no backups');
  }

  async trusted(): Promise<string[]> {
    if (this.options.trust !== undefined) return [...this.options.trust];
    return this.configured === undefined ? [] : this.configured.trusted();
  }

  async credentials(): Promise<{ identities?: string[]; passphrase?: string }> {
    const { identity, passphrase } = this.options;
    if (passphrase !== undefined) return { passphrase };
    if (identity === undefined) throw new ResurgoError('keyMissing', 'a rescue needs --identity FILE (or RESURGO_PASSPHRASE)');
    const { bytes } = readTrustedFile(resolve(identity), 'Identity', 1024 * 1024);
    return { identities: await parseIdentityFile(bytes.toString('utf8'), identity) };
  }
}
