/** What a repository holds. Names alone answer: LIST requests, no manifest reads. */
import { archivedTarget } from '../../domain/archive.ts';
import type { BackupRef } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { historyOfBackup } from '../../domain/swaps.ts';
import { mapBounded } from './bounded.ts';
import { backupRef, backupsPrefix, isTargetName, keysOf, parseStateName, safeTarget, statePrefix } from './layout.ts';
import { compareKeys, isSafeSegment } from './safe-key.ts';
import { readSwaps } from './swap-notes.ts';

export { initRepository, openRepository, type RepositoryInfo } from './repository-file.ts';
export { readManifestBytes, readState, removeState, writeState } from './backup-files.ts';
export { copyBackup } from './copy-backup.ts';
export { deleteBackup, sweepOrphans } from './delete-backup.ts';
export { listRunRecords, trimRunRecords, writeRunRecord } from './run-records.ts';

/** Facts that are written after the manifest only, so that they stand for it in a listing. */
const publishedFacts: ReadonlySet<string> = new Set(['verified', 'proven']);

export interface ListedBackup extends BackupRef {
  /** It has a manifest (or a state that is only written after it). What has none is an orphan or still being written. */
  readonly published: boolean;
  /** Names of its state files, sorted: `verified`, `proven`, `hold` … */
  readonly state: readonly string[];
  /** A copy that arrived and still has the mark of its arrival: whoever brought it died, or a store wrote that late. Reading it back takes the mark away. */
  readonly arriving?: true;
  /** The restore in place whose data it holds, `''`: of none. Absent where no data was ever swapped. */
  readonly history?: string;
  /** That restore, where it was rolled back: no backup of what there is now. */
  readonly givenUp?: string;
}

/** Targets that have something in the repository; names that are none, and archives, are passed over. */
export async function listTargets(store: ObjectStore, signal?: AbortSignal): Promise<string[]> {
  return (await store.listDirectories('', signal)).filter((name) => isTargetName(name) && archivedTarget(name) === undefined);
}

/** Facts that put a copy aside: removed by retention and still there for its grace, or on its way here from another repository. */
const asideFacts = ['deleted', 'copying'] as const;
export type AsideFact = (typeof asideFacts)[number];
/** A copy that has its manifest has arrived, whatever became of the one who brought it. */
const asideOf = (ref: ListedBackup): AsideFact | undefined => asideFacts.find((fact) => ref.state.includes(fact) && !(fact === 'copying' && ref.published));

/** Backups of a target, or of all; newest first by their names. What is put aside is not among them: nobody may build on it, restore it or sweep it. */
export async function listBackups(store: ObjectStore, target?: string, signal?: AbortSignal): Promise<ListedBackup[]> {
  const all = await listAll(store, target, signal);
  return all.filter((ref) => asideOf(ref) === undefined).map((ref) => (ref.state.includes('copying') ? { ...ref, state: ref.state.filter((fact) => fact !== 'copying'), arriving: true as const } : ref));
}

/** What is put aside, newest first: `deleted` within its grace, or `copying`. */
export async function listAside(store: ObjectStore, target?: string, signal?: AbortSignal): Promise<(ListedBackup & { readonly aside: AsideFact })[]> {
  return (await listAll(store, target, signal)).flatMap((ref) => {
    const aside = asideOf(ref);
    return aside === undefined ? [] : [{ ...ref, aside }];
  });
}

async function listAll(store: ObjectStore, target?: string, signal?: AbortSignal): Promise<ListedBackup[]> {
  const targets = target === undefined ? await listTargets(store, signal) : [safeTarget(target)];
  const systems = (
    await mapBounded(targets, 8, async (name) =>
      (await store.listDirectories(`${name}/`, signal))
        .filter(isSystemId)
        .map((systemId) => ({ target: name, systemId })),
    )
  ).flat();
  const listed = await mapBounded(systems, 8, async (system) =>
    listSystem(store, system.target, system.systemId, signal),
  );
  return listed
    .flat()
    .sort(
      (a, b) => compareKeys(b.name, a.name) || compareKeys(a.target, b.target) || compareKeys(a.systemId, b.systemId),
    );
}

/** The target's directory also holds the claims of writers. */
const isSystemId = (name: string): boolean => isSafeSegment(name) && name !== 'writer-epoch';

async function listSystem(
  store: ObjectStore,
  target: string,
  systemId: string,
  signal?: AbortSignal,
): Promise<ListedBackup[]> {
  const [names, facts, swaps] = await Promise.all([
    store.listDirectories(backupsPrefix(target, systemId), signal),
    listFacts(store, target, systemId, signal),
    readSwaps(store, target, systemId, signal),
  ]);
  const refs = names.flatMap((name) => backupRef(target, systemId, name) ?? []);
  return mapBounded(refs, 16, async (ref) => {
    const state = facts.get(ref.name) ?? [];
    const published =
      state.some((fact) => publishedFacts.has(fact)) || (await store.head(keysOf(ref).manifest, signal)) !== undefined;
    return { ...ref, published, state, ...historyOfBackup(swaps, ref.startedAt) };
  });
}

async function listFacts(
  store: ObjectStore,
  target: string,
  systemId: string,
  signal?: AbortSignal,
): Promise<Map<string, string[]>> {
  const facts = new Map<string, string[]>();
  const prefix = statePrefix(target, systemId);
  for await (const key of keysBelow(store, prefix, signal)) {
    const parsed = parseStateName(key.slice(prefix.length));
    if (parsed === undefined) continue;
    const known = facts.get(parsed.name);
    if (known === undefined) facts.set(parsed.name, [parsed.fact]);
    else known.push(parsed.fact);
  }
  return facts;
}

async function* keysBelow(store: ObjectStore, prefix: string, signal?: AbortSignal): AsyncGenerator<string> {
  if (store.listKeys !== undefined) yield* store.listKeys(prefix, signal);
  else for await (const { key } of store.list(prefix, signal)) yield key;
}

/** Of listings of several repositories: what one of them knows to be given up is so in the others, which may have been away when it was noted. */
export function givenUpIn(everywhere: readonly ListedBackup[]): (all: readonly ListedBackup[]) => ListedBackup[] {
  const known = new Map(everywhere.flatMap((ref) => (ref.givenUp === undefined ? [] : [[`${ref.target}/${ref.systemId}/${ref.id}`, ref.givenUp] as const])));
  return (all) =>
    all.map((ref) => {
      const givenUp = known.get(`${ref.target}/${ref.systemId}/${ref.id}`);
      return givenUp === undefined ? ref : { ...ref, givenUp, history: givenUp };
    });
}

export type BackupSelector = string;

/**
 * The published backup that is meant: its id, its name, `latest`, a day (`YYYY-MM-DD`, UTC: the newest of that day or before) or a time (ISO:
 * the newest that had begun by then).
 * @throws backupUnknown, inputInvalid
 */
export async function findBackup(
  store: ObjectStore,
  which: BackupSelector,
  target?: string,
  signal?: AbortSignal,
): Promise<ListedBackup> {
  const all = await listBackups(store, target, signal);
  const found = chooseBackup(all, which);
  if (found !== undefined) return found;
  throw noSuchBackup(store, all, which, target);
}

/** What a repository holds instead of what was asked for. */
export function noSuchBackup(
  store: ObjectStore,
  all: readonly ListedBackup[],
  which: BackupSelector,
  target?: string,
): ResurgoError {
  const published = all.filter((ref) => ref.published);
  const newest = published[0];
  const there =
    newest === undefined
      ? 'it holds none'
      : `it holds ${String(published.length)}, the newest is ${newest.id} of ${newest.startedAt}`;
  const apart = published.filter((ref) => ref.givenUp !== undefined);
  const note = apart.length === 0 ? '' : `; of restores that were rolled back, and only given when named: ${apart.slice(0, 5).map(({ id }) => id).join(', ')}`;
  return new ResurgoError(
    'backupUnknown',
    `There is no backup ${JSON.stringify(which)}${target === undefined ? '' : ` of ${target}`} in repository ${store.name}; ${there}${note}.`,
  );
}

/** The same choice from a list (newest first) that is there already. @throws inputInvalid */
export function chooseBackup(all: readonly ListedBackup[], which: BackupSelector): ListedBackup | undefined {
  return matchingBackups(all, which)[0];
}

/** Every published backup that may serve, the one that is meant first; only `latest`, a day or a time leave a choice, and then none that was given up. @throws inputInvalid */
export function matchingBackups(all: readonly ListedBackup[], which: BackupSelector): ListedBackup[] {
  const published = all.filter((ref) => ref.published);
  const present = published.filter((ref) => ref.givenUp === undefined);
  if (which === 'latest') return present;
  const named = published.filter((ref) => ref.id === which || ref.name === which);
  if (named.length > 0 || !/^\d{4}-\d{2}-\d{2}/.test(which)) return named.slice(0, 1);
  const until = Date.parse(which.length === 10 ? `${which}T23:59:59.999Z` : which);
  if (Number.isNaN(until))
    throw new ResurgoError('inputInvalid', `${JSON.stringify(which)} is neither a backup nor a date.`);
  return present.filter((ref) => Date.parse(ref.startedAt) <= until);
}
