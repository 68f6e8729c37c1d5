import type { ObjectInfo, ObjectLock, ObjectStore } from '../../domain/ports.ts';
import { type BackupPlace, keysOf, keysPrefix } from './layout.ts';

/**
 * The lock that ends last among the objects of a backup, as the store says it: that of its newest objects, because every object is locked for the same time.
 * Undefined: nothing holds it, or the store knows no locks.
 */
export async function lockOf(store: ObjectStore, ref: BackupPlace & { readonly id: string }, signal?: AbortSignal): Promise<ObjectLock | undefined> {
  if (store.kind !== 's3') return undefined;
  const keys = keysOf(ref);
  const newest: string[] = [keys.manifest];
  for (const prefix of [keys.partsPrefix, keysPrefix(ref.id)]) {
    let last: ObjectInfo | undefined;
    for await (const info of store.list(prefix, signal)) if (last === undefined || info.modifiedAt >= last.modifiedAt) last = info;
    if (last !== undefined) newest.push(last.key);
  }
  const locks = await Promise.all(newest.map(async (key) => (await store.head(key, signal))?.lock));
  // A legal hold has no end.
  return locks.reduce((longest, lock) => (lock === undefined ? longest : longest === undefined || lock.until === null || (longest.until !== null && lock.until > longest.until) ? lock : longest), undefined);
}

export const lockInWords = ({ mode, until }: ObjectLock): string => (until === null ? 'the store holds it (legal hold)' : `the store locks it until ${until.slice(0, 16).replace('T', ' ')} (${mode})`);
