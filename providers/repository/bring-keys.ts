import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { putConfirmed } from './backup-files.ts';
import { readTwice } from './copy-backup.ts';
import { keysPrefix } from './layout.ts';

/** Files of a wrapped key, the host's own copy left out: their number goes up with each rotation. */
async function keyFiles(store: ObjectStore, id: string, signal: AbortSignal): Promise<string[]> {
  const files: string[] = [];
  for await (const { key, size } of store.list(keysPrefix(id), signal)) if (size > 0 && key.endsWith('.age') && !key.endsWith('/host.age')) files.push(key);
  return files;
}

/** Whether what is sealed under a key can be opened here, as far as the listing tells. */
export const holdsKey = async (store: ObjectStore, id: string, signal: AbortSignal): Promise<boolean> => (await keyFiles(store, id, signal)).length > 0;

/** Brings a wrapped key to a repository that has none; one that is there may have been rotated, and stays. @throws objectMissing when the source has none either */
export async function bringKey(from: ObjectStore, to: ObjectStore, id: string, signal: AbortSignal): Promise<void> {
  if (await holdsKey(to, id, signal)) return;
  const files = await keyFiles(from, id, signal);
  if (files.length === 0) throw new ResurgoError('objectMissing', `${keysPrefix(id)} is empty in repository ${from.name}.`);
  for (const key of files) await putConfirmed(to, key, await readTwice(from, key, signal), signal);
}
