import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { BackupRef } from '../../domain/backup.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { type BackupPlace, hostKeyFile, keyFile, keysOf, keysPrefix, parsePartName, parseStateName, statePrefix } from './layout.ts';

const batch = 1000;

/**
 * Removes a backup from one repository. Order: state (it stands for the manifest in listings), manifest, then the rest, so that a crash in
 * between leaves either a whole backup or an orphan that a second call removes. Whether it *may* go is the caller's question.
 */
export async function deleteBackup(
  store: ObjectStore,
  ref: Pick<BackupRef, 'target' | 'systemId' | 'name' | 'id'>,
  signal?: AbortSignal,
): Promise<void> {
  const keys = keysOf(ref);
  const states = statePrefix(ref.target, ref.systemId);
  await deleteListed(
    store,
    `${states}${ref.name}.`,
    (key) => parseStateName(key.slice(states.length))?.name === ref.name,
    signal,
    true,
  );
  await store.delete([keys.manifest], signal);
  // By their names too: without the directory nobody would look for them again.
  await store.delete([keyFile(ref.id, 1), hostKeyFile(ref.id)], signal);
  await deleteListed(store, keysPrefix(ref.id), () => true, signal, true);
  await deleteListed(store, keys.prefix, () => true, signal, true);
  await sweepUnfinished(store, [keys.prefix, keysPrefix(ref.id)], signal);
  // On disk this takes away directories that an earlier deletion left empty when it died.
  if (store.kind === 'disk') await store.delete([keys.manifest, keys.part('none', 1)], signal);
}

/**
 * The same for a published backup that is to be gone for good: what a locked store keeps behind a deletion goes first, so that a failure leaves the
 * backup in the listings and the next run tries again.
 * @returns false when the store refuses to remove versions that are not locked: they are hidden, and free no space
 */
export async function removeForGood(store: ObjectStore, ref: Pick<BackupRef, 'target' | 'systemId' | 'name' | 'id'>, signal?: AbortSignal): Promise<boolean> {
  const keys = keysOf(ref);
  const purge = async (prefix: string): Promise<boolean> => {
    try {
      await store.purge?.(prefix, signal);
      return true;
    } catch (error) {
      if (!isResurgoError(error, 'repositoryDenied')) throw error;
      return false;
    }
  };
  const gone = (await purge(keys.partsPrefix)) && (await purge(keysPrefix(ref.id)));
  await deleteBackup(store, ref, signal);
  return gone && (await purge(keys.prefix));
}

/**
 * Removes the parts of all attempts but one (of every attempt without `keepAttempt`) of a backup that is not finished.
 * @returns how many objects went
 * @throws objectExists when the backup is published and another attempt than its own would be kept
 */
export async function sweepOrphans(
  store: ObjectStore,
  ref: BackupPlace,
  keepAttempt?: string,
  signal?: AbortSignal,
): Promise<number> {
  const keys = keysOf(ref);
  const published = await publishedAttempt(store, keys.manifest);
  if (published !== undefined && published !== keepAttempt) {
    throw new ResurgoError(
      'objectExists',
      `Backup ${ref.name} of ${ref.target} is published in repository ${store.name} by attempt ${published}; its parts are not swept for attempt ${keepAttempt ?? '(none)'}.`,
    );
  }
  if (store.kind === 'disk') await sweepUnfinished(store, [keys.prefix], signal);
  return deleteListed(
    store,
    keys.partsPrefix,
    (key) => {
      const part = parsePartName(key.slice(keys.partsPrefix.length));
      return part !== undefined && part.attempt !== keepAttempt;
    },
    signal,
  );
}

/** Whatever its age: a writer of ours that still lived would write it once more. */
async function sweepUnfinished(store: ObjectStore, prefixes: readonly string[], signal?: AbortSignal): Promise<void> {
  for (const prefix of prefixes) await store.sweepTemporary?.(0, signal, prefix);
}

async function publishedAttempt(store: ObjectStore, manifest: string): Promise<string | undefined> {
  try {
    const value = JSON.parse((await store.get(manifest)).toString('utf8')) as { attempt?: unknown } | null;
    return typeof value?.attempt === 'string' ? value.attempt : '(unreadable)';
  } catch (error) {
    if (isResurgoError(error, 'objectMissing')) return undefined;
    if (isResurgoError(error)) throw error;
    return '(unreadable)';
  }
}

/** What was acknowledged and is still there is deleted once more; with `sure` it is also looked again where nothing was listed. @throws repositoryLost when it stays all the same */
async function deleteListed(
  store: ObjectStore,
  prefix: string,
  chosen: (key: string) => boolean,
  signal?: AbortSignal,
  sure = false,
): Promise<number> {
  const count = await deleteOnce(store, prefix, chosen, signal);
  if (count === 0 && !sure) return 0;
  if ((await deleteOnce(store, prefix, chosen, signal)) === 0) return count;
  for await (const { key } of store.list(prefix, signal))
    if (chosen(key)) throw new ResurgoError('repositoryLost', `repository ${store.name} acknowledged twice that ${key} was deleted, and still holds it`);
  return count;
}

async function deleteOnce(
  store: ObjectStore,
  prefix: string,
  chosen: (key: string) => boolean,
  signal?: AbortSignal,
): Promise<number> {
  let keys: string[] = [];
  let count = 0;
  for await (const { key } of store.list(prefix, signal)) {
    if (!chosen(key)) continue;
    keys.push(key);
    if (keys.length < batch) continue;
    await store.delete(keys, signal);
    count += keys.length;
    keys = [];
  }
  if (keys.length > 0) await store.delete(keys, signal);
  return count + keys.length;
}
