import type { LoadedConfig } from '../config/load.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { KeyRing } from '../activities/key-ring.ts';
import { Stores } from '../activities/stores.ts';
import { findBackup, readManifestBytes, readState } from '../providers/repository/catalogue.ts';
import { lockOf } from '../providers/repository/object-lock.ts';
import { parseManifest } from '../providers/vault/publish.ts';

/** Manifest and state of one backup as each repository has it. @throws backupUnknown */
export async function showBackup(loaded: LoadedConfig, id: string): Promise<object> {
  const stores = new Stores(loaded);
  const trusted = await new KeyRing(loaded).trusted().catch(() => [] as string[]);
  const repositories: object[] = [];
  let manifest: object | undefined;
  const problems: string[] = [];
  try {
    for (const name of stores.names()) {
      try {
        const store = await stores.open(name);
        const ref = await findBackup(store, id);
        manifest ??= parseManifest(await readManifestBytes(store, ref), { ref, trusted });
        const lock = await lockOf(store, ref);
        repositories.push({ name, state: ref.state, ...(ref.givenUp === undefined ? {} : { givenUp: ref.givenUp }), verified: (await readState(store, ref, 'verified')) ?? null, ...(lock === undefined ? {} : { lock }) });
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        if (error.code !== 'backupUnknown') problems.push(`${name}: ${error.message}`);
      }
    }
  } finally {
    await stores.close();
  }
  if (manifest === undefined) throw new ResurgoError('backupUnknown', `no repository holds backup ${id}${problems.length === 0 ? '' : ` (${problems.join('; ')})`}`);
  return { ...manifest, repositories };
}
