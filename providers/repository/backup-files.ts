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

/** Notes a fact about this copy of a backup; a second time replaces it. */
export async function writeState(store: ObjectStore, ref: BackupPlace, fact: string, value: unknown): Promise<void> {
  await store.put(keysOf(ref).state(fact), Buffer.from(`${JSON.stringify(value)}\n`));
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

export async function removeState(store: ObjectStore, ref: BackupPlace, fact: string): Promise<void> {
  await store.delete([keysOf(ref).state(fact)]);
}
