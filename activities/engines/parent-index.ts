import type { BackupIndex } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { findBackup } from '../../providers/repository/catalogue.ts';
import { openBackup } from '../../providers/vault/open.ts';
import type { DumpContext } from './engine.ts';

type Parent = Pick<BackupIndex, 'engine' | 'engineManifest'>;

/** The index of what a backup builds on, from the first repository that has it: the host's metadata key is enough. @throws parentMissing, wrongKey */
export async function parentIndex(context: Pick<DumpContext, 'deps' | 'plan' | 'parent'>, parent: string): Promise<Parent & { readonly engineManifest: string }> {
  const found = context.parent ?? (await openParent(context, parent));
  const { engine, engineManifest } = found;
  if (engineManifest === undefined) throw new ResurgoError('parentMissing', `backup ${parent} holds no list of its content`);
  return { engine, engineManifest };
}

/** As {@link parentIndex}, also of engines that keep no list. */
export async function openParent({ deps, plan }: Pick<DumpContext, 'deps' | 'plan'>, parent: string): Promise<Parent> {
  let problem: unknown;
  for (const name of plan.repositories) {
    try {
      const store = await deps.stores.open(name);
      const ref = await findBackup(store, parent, plan.target);
      const { index } = await openBackup({ stores: [store], ref, credentials: await deps.keys.hostCredentials(), trusted: await deps.keys.trusted() });
      return index;
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem as Error;
}
