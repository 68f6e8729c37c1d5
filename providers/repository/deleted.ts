/** Backups that retention removed and that are still there for their grace. */
import type { BackupKind, BackupRef } from '../../domain/backup.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { readManifestBytes, readState, removeState } from './backup-files.ts';
import { listAside, listBackups } from './catalogue.ts';
import { removeForGood } from './delete-backup.ts';
import { lockInWords, lockOf } from './object-lock.ts';

export interface DeletedBackup extends BackupRef {
  readonly deletedAt: string;
  /** ISO; its objects are there until then. */
  readonly until: string;
  /** Ids it builds on. */
  readonly chain: readonly string[];
  readonly bytes: number;
}

export interface Purged {
  readonly purged: number;
  readonly freedBytes: number;
  readonly pendingBytes: number;
  /** What is still there although its grace has ended, and why. */
  readonly notes?: readonly string[];
}

export const notFreed = 'the store refuses to remove its versions; they are hidden, cost space, and go by a lifecycle rule of the bucket or never';

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** What is within its grace, newest first. A note that cannot be read counts as due never: a person looks at it. */
export async function listDeleted(store: ObjectStore, target?: string, signal?: AbortSignal): Promise<DeletedBackup[]> {
  const found: DeletedBackup[] = [];
  for (const ref of await listAside(store, target, signal)) {
    if (ref.aside !== 'deleted') continue;
    const note = ((await readState(store, ref, 'deleted').catch(() => undefined)) ?? {}) as { at?: unknown; until?: unknown; chain?: unknown };
    const until = text(note.until);
    found.push({
      target: ref.target, systemId: ref.systemId, name: ref.name, id: ref.id, kind: ref.kind, startedAt: ref.startedAt,
      deletedAt: text(note.at) ?? '', until: until === undefined || Number.isNaN(Date.parse(until)) ? '9999-12-31T00:00:00.000Z' : until,
      chain: Array.isArray(note.chain) ? note.chain.filter((id): id is string => typeof id === 'string') : [],
      bytes: await storedBytes(store, ref),
    });
  }
  return found;
}

async function storedBytes(store: ObjectStore, ref: BackupRef): Promise<number> {
  try {
    const manifest = JSON.parse((await readManifestBytes(store, ref)).toString('utf8')) as { bytes?: { stored?: unknown } };
    return typeof manifest.bytes?.stored === 'number' ? manifest.bytes.stored : 0;
  } catch (error) {
    if (isResurgoError(error) && error.code !== 'backupUnknown') throw error;
    return 0;
  }
}

/** Removes the objects of what is due (of everything with `all`); what somebody still needs stays. */
export async function purgeDeleted(store: ObjectStore, target: string, options: { readonly now: number; readonly all: boolean; /** Called before a backup's objects go: what it has elsewhere goes first. */ readonly before?: (ref: BackupRef) => Promise<void> }): Promise<Purged> {
  const deleted = await listDeleted(store, target);
  const stays = deleted.filter((one) => !options.all && Date.parse(one.until) > options.now);
  const needed = new Set(stays.flatMap((one) => one.chain.map((id) => `${one.systemId}/${id}`)));
  const due = deleted.filter((one) => !stays.includes(one)).sort((a, b) => b.chain.length - a.chain.length);
  const gone = new Set<DeletedBackup>();
  const notes: string[] = [];
  let freedBytes = 0;
  for (const one of due) {
    if (needed.has(`${one.systemId}/${one.id}`)) continue;
    const lock = await lockOf(store, one);
    if (lock !== undefined) {
      // It stays, and so does what it builds on.
      for (const id of one.chain) needed.add(`${one.systemId}/${id}`);
      notes.push(`${one.name} was removed by retention and is still in ${store.name}: ${lockInWords(lock)}`);
      continue;
    }
    await options.before?.(one);
    if (await removeForGood(store, one)) freedBytes += one.bytes;
    else notes.push(`${one.name} in ${store.name}: ${notFreed}`);
    gone.add(one);
  }
  const pending = deleted.filter((one) => !gone.has(one));
  return { purged: gone.size, freedBytes, pendingBytes: pending.reduce((sum, one) => sum + one.bytes, 0), ...(notes.length === 0 ? {} : { notes: notes.slice(0, 20) }) };
}

/**
 * Brings a removed backup back, and what it builds on.
 * @returns the ids that are backups again, oldest first
 * @throws backupUnknown when it is not among what was removed; parentMissing when what it builds on is gone for good
 */
export async function undelete(store: ObjectStore, id: string): Promise<{ target: string; ids: { id: string; kind: BackupKind }[] }> {
  const deleted = await listDeleted(store);
  const one = deleted.find((each) => each.id === id || each.name === id);
  if (one === undefined) throw new ResurgoError('backupUnknown', `repository ${store.name} has no removed backup ${JSON.stringify(id)}`, { details: { hint: '`resurgo backups deleted` lists what can be brought back.' } });
  const there = new Set((await listBackups(store, one.target)).filter((ref) => ref.published && ref.systemId === one.systemId).map((ref) => ref.id));
  const parents = one.chain.filter((link) => !there.has(link));
  const links = parents.map((link) => deleted.find((each) => each.id === link && each.systemId === one.systemId));
  const lost = parents.filter((_, i) => links[i] === undefined);
  if (lost.length > 0) throw new ResurgoError('parentMissing', `backup ${one.name} builds on ${lost.join(', ')}, which repository ${store.name} does not hold any more`);
  const ids: { id: string; kind: BackupKind }[] = [];
  for (const each of [...links, one]) {
    if (each === undefined) continue;
    await removeState(store, each, 'deleted');
    ids.push({ id: each.id, kind: each.kind });
  }
  return { target: one.target, ids };
}
