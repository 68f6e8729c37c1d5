import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { type BackupPlace, keysOf } from './layout.ts';

/** The bytes of `manifest.json`, unchecked: whoever uses them checks the signature. @throws backupUnknown */
export async function readManifestBytes(store: ObjectStore, ref: BackupPlace, signal?: AbortSignal): Promise<Buffer> {
  try {
    return await store.get(keysOf(ref).manifest, signal === undefined ? {} : { signal });
  } catch (error) {
    if (!isResurgoError(error, 'objectMissing')) throw error;
    throw new ResurgoError(
      'backupUnknown',
      `Backup ${ref.name} of ${ref.target} has no manifest in repository ${store.name}.`,
      { cause: error },
    );
  }
}

/**
 * Notes a fact about this copy of a backup; a second time replaces it. Facts are few and decide what is kept, so each is read back.
 * @throws repositoryLost when the store acknowledged it twice and does not hold it
 */
export async function writeState(store: ObjectStore, ref: BackupPlace, fact: string, value: unknown): Promise<void> {
  await putConfirmed(store, keysOf(ref).state(fact), Buffer.from(`${JSON.stringify(value)}\n`));
}

/** An object, or undefined where there is none. */
export async function getOr(store: ObjectStore, key: string, signal?: AbortSignal): Promise<Buffer | undefined> {
  try {
    return await store.get(key, signal === undefined ? {} : { signal });
  } catch (error) {
    if (isResurgoError(error, 'objectMissing')) return undefined;
    throw error;
  }
}

/** For small objects on which much depends: put, read back, and put once more where it is not what was sent. @throws repositoryLost */
export async function putConfirmed(store: ObjectStore, key: string, body: Buffer, signal?: AbortSignal): Promise<void> {
  const reading = signal === undefined ? {} : { signal };
  let held: Buffer | undefined;
  for (let attempt = 1; attempt <= 2; attempt++) {
    await store.put(key, body, reading);
    for (let look = 1; look <= 2; look++) {
      held = await getOr(store, key, signal);
      if (held?.equals(body) === true) return;
    }
  }
  throw new ResurgoError('repositoryLost', `repository ${store.name} acknowledged ${key} and ${held === undefined ? 'does not hold it' : 'holds something else'}`);
}

/** @returns undefined when there is no such fact. @throws manifestInvalid when it is no JSON */
export async function readState(store: ObjectStore, ref: BackupPlace, fact: string): Promise<unknown> {
  const key = keysOf(ref).state(fact);
  try {
    return JSON.parse((await store.get(key)).toString('utf8')) as unknown;
  } catch (error) {
    if (isResurgoError(error, 'objectMissing')) return undefined;
    if (isResurgoError(error)) throw error;
    throw new ResurgoError('manifestInvalid', `${key} in repository ${store.name} is not JSON.`, { cause: error });
  }
}

/** A fact that is gone is looked for: `hold`, `damaged` and `deleted` decide what may be used. @throws repositoryLost when it stays */
export async function removeState(store: ObjectStore, ref: BackupPlace, ...facts: readonly string[]): Promise<void> {
  let left = facts.map((fact) => keysOf(ref).state(fact));
  for (let attempt = 1; attempt <= 2; attempt++) {
    await store.delete(left);
    const there = await Promise.all(left.map(async (key) => (await store.head(key)) !== undefined));
    left = left.filter((_, i) => there[i]);
    if (left.length === 0) return;
  }
  throw new ResurgoError('repositoryLost', `repository ${store.name} acknowledged twice that ${left.join(', ')} was deleted, and still holds it`);
}
