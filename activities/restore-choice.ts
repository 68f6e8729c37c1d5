/** Which backup a restore takes, and from where. */
import type { BackupRef, Manifest, SignedManifest } from '../domain/backup.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError, ResurgoError, type ErrorCode } from '../domain/errors.ts';
import { whyGivenUp } from '../domain/swaps.ts';
import { givenUpIn, listBackups, matchingBackups, noSuchBackup, readManifestBytes, type ListedBackup } from '../providers/repository/catalogue.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import type { ActivityDeps } from './deps.ts';

/** One backup as one repository has it, whole. */
export interface Candidate {
  readonly store: ObjectStore;
  readonly ref: ListedBackup;
  readonly manifest: SignedManifest;
  /** Oldest first, ending with `ref`. */
  readonly chain: readonly BackupRef[];
  readonly manifests: readonly Manifest[];
}

/** The same backup in every repository that has it whole, the preferred copy first. */
export type Sources = readonly [Candidate, ...Candidate[]];

/**
 * Damage a person can do nothing about: the next older backup serves where none was named. A signature nobody trusts, a newer format or a wrong
 * key is none: there the newest may be good, and who asks for the latest must not be given yesterday's without being asked. `backupUnknown`
 * is what a listed backup without a manifest is called.
 */
const damage: ReadonlySet<ErrorCode> = new Set(['manifestInvalid', 'backupUnknown', 'objectMissing', 'partMissing', 'partCorrupt', 'parentMissing']);

export const isDamage = (error: unknown): error is ResurgoError => isResurgoError(error) && damage.has(error.code);

/** A newer backup that an older one was taken instead of. */
export interface PassedOver {
  readonly backup: string;
  readonly reason: string;
}

/** What {@link withBackup} found out besides. */
export interface Found<T> {
  readonly value: T;
  readonly warnings: readonly string[];
  readonly passedOver: readonly PassedOver[];
}

interface Copy {
  readonly store: ObjectStore;
  readonly ref: ListedBackup;
  /** What else the repository holds of the target. */
  readonly all: readonly ListedBackup[];
}

type Copies = readonly [Copy, ...Copy[]];

/** A verification found damage in this copy: others are read first, and it still serves where they fail. */
const isDamaged = ({ ref }: { readonly ref: ListedBackup }): boolean => ref.state.includes('damaged');

/**
 * Uses the backup that is meant. For `latest` and dates that is the newest one that is whole: what `use` throws because of damage, like damage found
 * here, passes on to the next older one, and the warnings say so.
 * @throws backupUnknown, repositoryUnreachable … when no repository has any; else what the newest failed with
 */
export async function withBackup<T>(
  deps: ActivityDeps,
  { repositories, target, which, asked = which }: { readonly repositories: readonly string[]; readonly target: string; readonly which: string; /** By a person; `which` may be what that led to. */ readonly asked?: string },
  use: (sources: Sources) => Promise<T>,
): Promise<Found<T>> {
  const { backups, warnings, passedOver } = await listCopies(deps, repositories, target, which, asked);
  let first: ResurgoError | undefined;
  for (const copies of backups) {
    const [{ ref }] = copies;
    const notes: string[] = [];
    try {
      const value = await use(await lookAt(deps, copies, notes));
      const skipped = passedOver.map(({ backup, reason }) => `backup ${backup} is newer than the one taken, and was passed over: ${reason}`);
      return { value, warnings: [...skipped, ...warnings, ...notes], passedOver };
    } catch (error) {
      if (!isDamage(error)) throw error;
      first ??= error;
      passedOver.push({ backup: ref.id, reason: error.message });
    }
  }
  throw first ?? new ResurgoError('bug', `no backup of ${target} was looked at`);
}

/** Every backup that may be meant: newest first, those in which a verification found damage in every copy last. */
async function listCopies(deps: ActivityDeps, repositories: readonly string[], target: string, which: string, asked: string): Promise<{ backups: Copies[]; warnings: string[]; passedOver: PassedOver[] }> {
  const byName = new Map<string, [Copy, ...Copy[]]>();
  const problems: ResurgoError[] = [];
  const warnings: string[] = [];
  const { listings, unreadable } = await listEverywhere(deps, repositories, target);
  for (const name of repositories) {
    try {
      const listing = listings.get(name);
      if (listing === undefined) throw unreadable.get(name) as ResurgoError;
      const { store, all } = listing;
      const matching = matchingBackups(all, which);
      if (matching.length === 0) throw noSuchBackup(store, all, which, target);
      for (const ref of matching) {
        const key = `${ref.name} ${ref.systemId}`;
        const copy = { store, ref, all };
        const known = byName.get(key);
        if (known === undefined) byName.set(key, [copy]);
        else known.push(copy);
      }
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      problems.push(error);
      if (error.code !== 'backupUnknown') warnings.push(`repository ${name}: ${error.message}`);
    }
  }
  // Lost connections say more than "not here".
  if (byName.size === 0) throw problems.find(({ code }) => code !== 'backupUnknown') ?? problems[0] ?? new ResurgoError('configInvalid', `target ${target} has no repository`);
  const newestFirst = [...byName.values()].sort(([a], [b]) => (a.ref.name < b.ref.name ? 1 : -1));
  const good = newestFirst.filter((copies) => !copies.every(isDamaged));
  const bad = newestFirst.filter((copies) => copies.every(isDamaged));
  const best = good[0]?.[0].ref.name;
  const passedOver = bad.flatMap(([{ ref }]) => (best !== undefined && ref.name > best ? [{ backup: ref.id, reason: `a verification found damage in it; \`--backup ${ref.id}\` tries it all the same` }] : []));
  return { backups: [...good, ...bad], warnings: [...warnings, ...apartFrom([...listings.values()].flatMap(({ all }) => all), (good[0] ?? newestFirst[0])?.[0].ref, asked)], passedOver };
}

interface Listing {
  readonly store: ObjectStore;
  readonly all: readonly ListedBackup[];
}

/** What each repository holds. What one of them knows to be given up is so in all: one may have been away when that was noted. */
async function listEverywhere(deps: ActivityDeps, repositories: readonly string[], target: string): Promise<{ listings: Map<string, Listing>; unreadable: Map<string, ResurgoError> }> {
  const listings = new Map<string, Listing>();
  const unreadable = new Map<string, ResurgoError>();
  for (const name of repositories) {
    try {
      const store = await deps.stores.open(name);
      listings.set(name, { store, all: await listBackups(store, target) });
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      unreadable.set(name, error);
    }
  }
  const known = givenUpIn([...listings.values()].flatMap(({ all }) => all));
  for (const [name, { store, all }] of listings) listings.set(name, { store, all: known(all) });
  return { listings, unreadable };
}

/** Which backups, newer than the one meant, are not the history of what there is now; or that the one named is not. */
function apartFrom(all: readonly ListedBackup[], meant: ListedBackup | undefined, asked: string): string[] {
  if (meant?.givenUp !== undefined) return [`backup ${meant.id} is not of the history the server has now: ${whyGivenUp(meant.givenUp)}`];
  if (meant === undefined || meant.id === asked || meant.name === asked) return [];
  const apart = new Map(all.filter((ref) => ref.published && ref.givenUp !== undefined && ref.name > meant.name).map((ref) => [ref.id, ref.givenUp as string]));
  return [...apart].map(([id, restore]) => `backup ${id} is newer than the one taken, and was left out: ${whyGivenUp(restore)}; \`--backup ${id}\` takes it all the same`);
}

/** All copies of one backup that are whole as far as their manifests tell. @throws when there is none */
async function lookAt(deps: ActivityDeps, copies: Copies, notes: string[]): Promise<Sources> {
  const whole: Candidate[] = [];
  const problems: ResurgoError[] = [];
  for (const copy of copies) {
    try {
      whole.push(await candidate(deps, copy));
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      problems.push(error);
      notes.push(`repository ${copy.store.name}: ${error.message}`);
    }
  }
  whole.sort((a, b) => Number(isDamaged(a)) - Number(isDamaged(b)) || Number(b.store.kind === 'disk') - Number(a.store.kind === 'disk'));
  const [best, ...more] = whole;
  if (best !== undefined) return [best, ...more];
  // A copy that a person can make readable says more than a damaged one.
  throw problems.find(({ code }) => !damage.has(code)) ?? problems[0] ?? new ResurgoError('bug', 'no copy is whole, and none says why');
}

/** A copy with its whole chain. */
async function candidate(deps: ActivityDeps, { store, ref, all }: Copy): Promise<Candidate> {
  const trusted = await deps.keys.trusted();
  const manifest = parseManifest(await readManifestBytes(store, ref), { ref, trusted });
  const chain: BackupRef[] = [];
  const manifests: Manifest[] = [];
  for (const id of manifest.chain) {
    const parent = all.find((other) => other.id === id && other.published && other.systemId === ref.systemId);
    if (parent === undefined) throw new ResurgoError('parentMissing', `backup ${ref.id} builds on ${id}, which ${store.name} does not hold`);
    chain.push(parent);
    const bytes = await readManifestBytes(store, parent).catch((error: unknown) => {
      throw isResurgoError(error, 'backupUnknown') ? new ResurgoError('parentMissing', `backup ${ref.id} builds on ${id}, which has no manifest in ${store.name}`) : error;
    });
    manifests.push(parseManifest(bytes, { ref: parent, trusted }));
  }
  return { store, ref, manifest, chain: [...chain, ref], manifests: [...manifests, manifest] };
}
