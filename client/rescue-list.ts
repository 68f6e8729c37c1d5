/** What a repository holds, from its address alone: no configuration, no Temporal, no key. */
import type { BackupKind } from '../domain/backup.ts';
import { listBackups, listTargets } from '../providers/repository/catalogue.ts';
import { withoutLost } from '../providers/repository/whole-chain.ts';
import { openRescueRepository } from './rescue-repository.ts';

export interface RescueListing {
  readonly target: string;
  readonly id: string;
  readonly kind: BackupKind;
  readonly startedAt: string;
  readonly state: readonly string[];
}

/** @throws repositoryMissing, repositoryUnreachable, repositoryFormat, repositoryDenied */
export async function rescueList(address: string, target: string | undefined, signal: AbortSignal): Promise<RescueListing[]> {
  const store = await openRescueRepository(address);
  try {
    const targets = target === undefined ? await listTargets(store, signal) : [target];
    const found: RescueListing[] = [];
    for (const name of targets) {
      for (const ref of await withoutLost(store, await listBackups(store, name, signal), signal)) {
        // Without a manifest it is damage when its state says it was published, else a run that did not end.
        if (ref.published || ref.state.length > 0) found.push({ target: name, id: ref.id, kind: ref.kind, startedAt: ref.startedAt, state: [...ref.state, ...(ref.published ? [] : ['no manifest']), ...(ref.givenUp === undefined ? [] : ['given up'])] });
      }
    }
    return found;
  } finally {
    await store.close();
  }
}
