/** Brings the wrapped keys of every backup in every repository to the recipients the configuration names. Needs what opens them now. */
import { KeyRing } from '../../activities/key-ring.ts';
import { Stores } from '../../activities/stores.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { listBackups, readManifestBytes, readState, writeState, type ListedBackup } from '../../providers/repository/catalogue.ts';
import type { AgeAudience, AgeCredentials } from '../../providers/vault/age-file.ts';
import { audienceMark, listKeySets, rewrap, type KeySet } from '../../providers/vault/rewrap.ts';

export interface RewrapProblem {
  readonly id: string;
  readonly code: string;
  readonly message: string;
}

export interface RewrapReport {
  readonly name: string;
  readonly status: 'done' | 'incomplete' | 'unreachable';
  readonly rewrapped: number;
  /** Were for these recipients already. */
  readonly current: number;
  readonly problems: readonly RewrapProblem[];
  /** Older key files the store does not let go (a retention lock): who could open them still can. */
  readonly locked: readonly string[];
}

export interface RewrapAllOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (repository: string, done: number, total: number) => void;
}

/** Repository after repository; one that does not answer, or one backup that does not open, stops no other. */
export async function rewrapAll(loaded: LoadedConfig, options: RewrapAllOptions = {}): Promise<RewrapReport[]> {
  const ring = new KeyRing(loaded);
  const [audience, credentials] = await Promise.all([ring.audience(), ring.credentials()]);
  const stores = new Stores(loaded);
  const reports: RewrapReport[] = [];
  try {
    for (const name of stores.names()) {
      try {
        reports.push(await rewrapRepository(await stores.open(name), audience, credentials, options));
      } catch (error) {
        if (!isResurgoError(error) || error.code === 'cancelled') throw error;
        reports.push({ name, status: 'unreachable', rewrapped: 0, current: 0, locked: [], problems: [{ id: '*', code: error.code, message: error.message }] });
      }
    }
    return reports;
  } finally {
    await stores.close();
  }
}

async function rewrapRepository(store: ObjectStore, audience: AgeAudience, credentials: AgeCredentials, options: RewrapAllOptions): Promise<RewrapReport> {
  const { signal } = options;
  const sets = await listKeySets(store, signal);
  const refs = new Map((await listBackups(store, undefined, signal)).map((ref) => [ref.id, ref]));
  const problems: RewrapProblem[] = [];
  const locked: string[] = [];
  let rewrapped = 0;
  let current = 0;
  let done = 0;
  await mapBounded(sets, 4, async (set) => {
    signal?.throwIfAborted();
    const ref = refs.get(set.id);
    try {
      // A run that goes on has its keys wrapped already; it is reached by the next call, after it was published.
      const unpublished = ref !== undefined && !ref.published && ref.state.length === 0;
      if (unpublished) problems.push({ id: set.id, code: 'pending', message: `backup ${ref.name} is not published yet; run this again when it is` });
      else {
        const original = ref === undefined || set.noted !== undefined ? undefined : await originalAudience(store, ref);
        const result = await rewrap({
          store, set, credentials, audience,
          ...(original === undefined ? {} : { original }),
          ...(ref === undefined ? {} : { beforeRemoval: (file: string, sha256: string) => noteDigest(store, ref, set, file, sha256) }),
          ...(signal === undefined ? {} : { signal }),
        });
        if (result.status === 'current') current++;
        else rewrapped++;
        locked.push(...result.kept.map(({ file }) => file));
      }
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
      problems.push({ id: set.id, code: error.code, message: error.message });
    }
    options.onProgress?.(store.name, ++done, sets.length);
  });
  return { name: store.name, status: problems.length > 0 || locked.length > 0 ? 'incomplete' : 'done', rewrapped, current, problems, locked };
}

/** For whom the first file was made, by the manifest; undefined where it cannot be read (then it is wrapped anew). */
async function originalAudience(store: ObjectStore, ref: ListedBackup): Promise<string | undefined> {
  try {
    const manifest = JSON.parse((await readManifestBytes(store, ref)).toString('utf8')) as { encryption?: { recipients?: unknown } };
    const recipients = manifest.encryption?.recipients;
    return Array.isArray(recipients) && recipients.length > 0 && recipients.every((one) => typeof one === 'string') ? audienceMark({ recipients }) : undefined;
  } catch (error) {
    if (isResurgoError(error) && error.definition.retryable) throw error;
    return undefined;
  }
}

/** Verification compares key files with the digests in the `verified` state. */
async function noteDigest(store: ObjectStore, ref: ListedBackup, set: KeySet, file: string, sha256: string): Promise<void> {
  const state = (await readState(store, ref, 'verified').catch(() => undefined)) as { keyFiles?: Record<string, string> } | undefined;
  if (state?.keyFiles === undefined) return;
  const others = Object.entries(state.keyFiles).filter(([name]) => !set.wrapped.includes(name));
  await writeState(store, ref, 'verified', { ...state, keyFiles: { ...Object.fromEntries(others), [file]: sha256 } });
}
