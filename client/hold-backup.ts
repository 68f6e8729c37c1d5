import type { LoadedConfig } from '../config/load.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { Stores } from '../activities/stores.ts';
import { findBackup, removeState, writeState } from '../providers/repository/catalogue.ts';

export interface HoldOptions {
  readonly action: 'hold' | 'release';
  readonly by: string;
  readonly reason?: string;
}

export interface HoldResult {
  readonly id: string;
  readonly target: string;
  readonly action: 'hold' | 'release';
  /** `absent`: that repository does not hold the backup. */
  readonly repositories: readonly { readonly name: string; readonly status: 'done' | 'absent' | 'failed'; readonly error?: { readonly code: string; readonly message: string } }[];
}

/**
 * Notes in every repository that has a backup that it may not be pruned, nor what it builds on; or takes that back.
 * @throws backupUnknown when no repository has it; repositoryUnreachable when none of those that might did answer
 */
export async function holdBackup(loaded: LoadedConfig, id: string, options: HoldOptions): Promise<HoldResult> {
  const stores = new Stores(loaded);
  const repositories: HoldResult['repositories'][number][] = [];
  let target: string | undefined;
  let first: ResurgoError | undefined;
  try {
    for (const name of stores.names()) {
      try {
        const store = await stores.open(name);
        const ref = await findBackup(store, id);
        if (options.action === 'hold') await writeState(store, ref, 'hold', { at: new Date().toISOString(), by: options.by, ...(options.reason === undefined ? {} : { reason: options.reason }) });
        else await removeState(store, ref, 'hold');
        target = ref.target;
        id = ref.id;
        repositories.push({ name, status: 'done' });
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        if (error.code !== 'backupUnknown') first ??= error;
        repositories.push(error.code === 'backupUnknown' ? { name, status: 'absent' } : { name, status: 'failed', error: { code: error.code, message: error.message } });
      }
    }
  } finally {
    await stores.close();
  }
  if (target === undefined) throw first ?? new ResurgoError('backupUnknown', `no repository holds backup ${id}`);
  return { id, target, action: options.action, repositories };
}
