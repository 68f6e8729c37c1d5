/** The sets of an archive as the repositories have them, and what became of their rows. */
import type { ArchiveTable, DeletedMark, DeletingMark } from '../../domain/archive.ts';
import type { BackupRef } from '../../domain/backup.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { deleteBackup, listBackups, readState, removeState, writeState, type ListedBackup } from '../../providers/repository/catalogue.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { parseKeys, type RowKey } from '../../providers/archive/row-keys.ts';
import { deletionOutcome } from '../../providers/archive/delete-rows.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import type { ActivityDeps } from '../deps.ts';
import { archiveSource, type ArchiveSettings } from './settings.ts';

export interface ArchiveSet {
  readonly ref: BackupRef;
  readonly copies: readonly { readonly store: ObjectStore; readonly listed: ListedBackup }[];
}

/** Sets that are published somewhere, merged over the stores, oldest first. */
export async function listSets(stores: readonly ObjectStore[], archive: string): Promise<ArchiveSet[]> {
  const sets = new Map<string, { ref: BackupRef; copies: { store: ObjectStore; listed: ListedBackup }[] }>();
  for (const store of stores) {
    for (const listed of await listBackups(store, archive)) {
      if (!listed.published) continue;
      const key = `${listed.systemId}/${listed.name}`;
      const set = sets.get(key) ?? { ref: listed, copies: [] };
      set.copies.push({ store, listed });
      sets.set(key, set);
    }
  }
  return [...sets.values()].sort((a, b) => (a.ref.name < b.ref.name ? -1 : 1));
}

/** @throws what a store that has it fails with */
async function readMark<T>(stores: readonly ObjectStore[], ref: BackupRef, fact: string): Promise<T | undefined> {
  let newest: (T & { readonly at: string }) | undefined;
  for (const store of stores) {
    const mark = (await readState(store, ref, fact)) as (T & { readonly at: string }) | undefined;
    if (mark !== undefined && (newest === undefined || mark.at > newest.at)) newest = mark;
  }
  return newest;
}

export const readDeleted = (stores: readonly ObjectStore[], ref: BackupRef): Promise<DeletedMark | undefined> => readMark<DeletedMark>(stores, ref, 'deleted-rows');
export const readDeleting = (stores: readonly ObjectStore[], ref: BackupRef): Promise<DeletingMark | undefined> => readMark<DeletingMark>(stores, ref, 'deleting-rows');

export async function writeDeleting(stores: readonly ObjectStore[], ref: BackupRef, mark: DeletingMark): Promise<void> {
  for (const store of stores) await writeState(store, ref, 'deleting-rows', mark);
}

export async function writeDeleted(stores: readonly ObjectStore[], ref: BackupRef, mark: DeletedMark): Promise<void> {
  for (const store of stores) await writeState(store, ref, 'deleted-rows', mark);
}

/** Which rows the set holds: from its index, which the host that wrote it opens without the identity. */
export async function openSet(deps: ActivityDeps, stores: readonly ObjectStore[], ref: BackupRef): Promise<{ readonly table: ArchiveTable; readonly keys: RowKey[]; readonly rows: number }> {
  const reader = await openBackup({ stores, ref, credentials: await deps.keys.hostCredentials(), trusted: await deps.keys.trusted() });
  const { engine, engineManifest } = reader.index;
  if (engine.engine !== 'archive') throw new ResurgoError('bug', `${ref.name} is no archive`);
  return { table: engine.table, keys: parseKeys(engineManifest, engine.rows), rows: engine.rows };
}

export type SetState = { readonly state: 'deleted'; readonly mark: DeletedMark } | { readonly state: 'untouched' };

/**
 * What became of the rows of a published set, found out from what its runs left: nothing was deleted (a mark whose transaction did not commit is
 * removed), or all that the mark says. Caller: no other run of this archive is alive, or is fenced.
 */
export async function resolveSet(deps: ActivityDeps, settings: ArchiveSettings, stores: readonly ObjectStore[], ref: BackupRef, signal?: AbortSignal): Promise<SetState> {
  const deleted = await readDeleted(stores, ref);
  if (deleted !== undefined) {
    await writeDeleted(stores, ref, deleted);
    return { state: 'deleted', mark: deleted };
  }
  const { connection } = await archiveSource(settings, sessionsOf(`${ref.id} look`));
  // Also one that has not come to its mark yet: it could not commit any more, but it holds locks.
  await endEarlierSessions(connection, sessionsOf(ref.id), signal);
  const deleting = await readDeleting(stores, ref);
  if (deleting === undefined) return { state: 'untouched' };
  const { table, keys } = await openSet(deps, stores, ref);
  const outcome = await deletionOutcome(connection, table, deleting, keys, signal);
  if (outcome === 'aborted') {
    for (const store of stores) await removeState(store, ref, 'deleting-rows');
    return { state: 'untouched' };
  }
  const mark: DeletedMark = { ...deleting, committedAt: new Date().toISOString(), ...(outcome === 'uncertain' ? { uncertain: true as const } : {}) };
  await writeDeleted(stores, ref, mark);
  return { state: 'deleted', mark };
}

/** Removes a set whose rows were not deleted from every store: the rows are live, and will be archived again. */
export async function withdrawSet(stores: readonly ObjectStore[], ref: BackupRef): Promise<void> {
  for (const store of stores) await deleteBackup(store, ref);
}
