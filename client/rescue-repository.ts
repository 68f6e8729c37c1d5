import { resolve } from 'node:path';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { repositoryKey } from '../providers/repository/layout.ts';
import { openStoreUrl } from '../providers/repository/open-store.ts';
import { openRepository } from '../providers/repository/repository-file.ts';

/**
 * The repository a person named by its address alone. One that is not there is a wrong address, or a disk that is not mounted: nothing was touched.
 * @throws inputInvalid, repositoryMissing, repositoryUnreachable, repositoryFormat, repositoryDenied
 */
export async function openRescueRepository(address: string): Promise<ObjectStore> {
  // As people type it.
  const store = await openStoreUrl(/^\.{1,2}(\/|$)/.test(address) ? resolve(address) : address);
  try {
    await openRepository(store);
    return store;
  } catch (error) {
    const missing = isResurgoError(error, 'repositoryUnreachable') && (await isMissing(store));
    await store.close();
    if (!missing) throw error;
    throw new ResurgoError('repositoryMissing', `There is no repository at ${address}: ${repositoryKey} is missing.`, { cause: error });
  }
}

/** It answers, and has none; a directory answers always. */
async function isMissing(store: ObjectStore): Promise<boolean> {
  if (store.kind === 'disk') return true;
  return store.head(repositoryKey).then((info) => info === undefined, () => false);
}
