import { readdir, readlink, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { assertNotRunning } from './cluster-processes.ts';
import { syncDirectory } from './data-tree.ts';
import { contentOf, isMountPoint, withinDataDirectory } from './restore-places.ts';
import type { RestorePlaces, TablespacePlace } from './restore-places.ts';
import { journalPath, readJournal, removeJournal, writeJournal } from './swap-journal.ts';
import type { SwapJournal } from './swap-journal.ts';
import { countDone, exists, perform, undo } from './swap-operations.ts';
import type { SwapOperation } from './swap-operations.ts';

export interface SwapOptions {
  /** For tests: called after each operation on disk; may throw as a crash would. */
  readonly afterEach?: (operation: SwapOperation) => void | Promise<void>;
}

const versionDirectories = async (path: string): Promise<string[]> =>
  ((await contentOf(path)) ?? []).filter((name) => /^PG_\d+_\d+$/.test(name));

const outside = (places: RestorePlaces): TablespacePlace[] =>
  places.tablespaces.filter((place) => !withinDataDirectory(place));

/** Moves what was built up to the tablespace's own directory and turns the new cluster's link to it. */
async function newTablespace(places: RestorePlaces, place: TablespacePlace): Promise<SwapOperation[]> {
  const names = await versionDirectories(place.build);
  return [
    ...names.map((name): SwapOperation => ({
      kind: 'rename',
      from: join(place.build, name),
      to: join(place.location, name),
    })),
    { kind: 'link', path: join(places.work, 'pg_tblspc', place.oid), was: place.build, target: place.location },
  ];
}

/** Moves the old content aside and turns the old cluster's links after it, so that the kept cluster stays whole. */
async function oldTablespace(places: RestorePlaces, place: TablespacePlace): Promise<SwapOperation[]> {
  const names = await versionDirectories(place.location);
  if (names.length === 0) return [];
  const aside = join(dirname(place.build), 'old');
  const owner = await stat(place.location);
  const links: SwapOperation[] = [];
  const linkDirectory = join(places.destination, 'pg_tblspc');
  for (const oid of (await contentOf(linkDirectory)) ?? []) {
    const path = join(linkDirectory, oid);
    const was = await readlink(path).catch(() => undefined);
    if (was !== undefined && resolve(was) === resolve(place.location))
      links.push({ kind: 'link', path, was, target: aside });
  }
  return [
    { kind: 'mkdir', path: aside, uid: owner.uid, gid: owner.gid },
    ...names.map((name): SwapOperation => ({
      kind: 'rename',
      from: join(place.location, name),
      to: join(aside, name),
    })),
    ...links,
  ];
}

/** What the postmaster looks at first leaves first and comes last: a start in between is refused by PostgreSQL itself. */
const markerFirst = (names: readonly string[]): string[] =>
  names.toSorted((a, b) => Number(b === 'PG_VERSION') - Number(a === 'PG_VERSION'));

async function mountedOperations(places: RestorePlaces, kept: string): Promise<SwapOperation[]> {
  const old = markerFirst((await contentOf(places.destination)) ?? []);
  const fresh = markerFirst(await readdir(places.work)).toReversed();
  const { uid, gid } = await stat(places.destination);
  return [
    { kind: 'mkdir', path: kept, uid, gid },
    ...old.map((name): SwapOperation => ({
      kind: 'rename',
      from: join(places.destination, name),
      to: join(kept, name),
    })),
    ...fresh.map((name): SwapOperation => ({
      kind: 'rename',
      from: join(places.work, name),
      to: join(places.destination, name),
    })),
  ];
}

async function planSwap(places: RestorePlaces): Promise<SwapJournal> {
  const kept = places.mounted ? join(places.destination, `.resurgo-${places.id}-old`) : `${places.destination}_old`;
  if (await exists(kept)) {
    throw new ResurgoError('destinationNotEmpty', `${kept} is still there from an earlier restore.`, {
      details: { hint: 'Confirm or roll back that restore first (resurgo restore confirm|rollback ID).' },
    });
  }
  const operations: SwapOperation[] = [];
  for (const place of outside(places))
    operations.push(...(await oldTablespace(places, place)), ...(await newTablespace(places, place)));
  if (places.mounted) operations.push(...(await mountedOperations(places, kept)));
  else
    operations.push(
      { kind: 'rename', from: places.destination, to: kept },
      { kind: 'rename', from: places.work, to: places.destination },
    );
  return {
    format: 1,
    id: places.id,
    destination: places.destination,
    work: places.work,
    kept,
    operations,
    phase: 'swapping',
    startedAt: new Date().toISOString(),
    leftovers: [...outside(places).map((place) => dirname(place.build)), ...(places.mounted ? [places.work] : [])],
  };
}

/** The journal of a swap at this destination, wherever it stands. */
export async function findSwap(destination: string): Promise<{ path: string; journal: SwapJournal } | undefined> {
  const path = journalPath(destination, await isMountPoint(destination));
  const journal = await readJournal(path);
  return journal && { path, journal };
}

/**
 * Swaps the built cluster in by rename and keeps the old one. Called again after a crash it goes on where it stopped.
 * @returns where the old data directory is kept
 * @throws destinationBusy (a server runs, or another restore is not finished), destinationNotEmpty, outcomeUnknown
 */
export async function swapIn(places: RestorePlaces, options: SwapOptions = {}): Promise<{ kept: string }> {
  const path = journalPath(places.destination, places.mounted);
  let journal = await readJournal(path);
  if (journal && journal.id !== places.id) {
    throw new ResurgoError(
      'destinationBusy',
      `The restore ${journal.id} of ${places.destination} is ${journal.phase}, neither confirmed nor rolled back.`,
      { details: { hint: `resurgo restore confirm|rollback ${journal.id}` } },
    );
  }
  if (journal?.phase === 'swapped') return { kept: journal.kept };
  if (journal && journal.phase !== 'swapping')
    throw new ResurgoError(
      'destinationBusy',
      `The restore ${journal.id} of ${places.destination} is being ${journal.phase === 'confirming' ? 'confirmed' : 'undone'}.`,
    );
  await assertNotRunning(places.destination);
  if (!journal) {
    journal = await planSwap(places);
    await writeJournal(path, journal);
  }
  // The last one done is done again: its directory may not have been synced.
  for (const operation of journal.operations.slice(Math.max(0, (await countDone(journal.operations)) - 1))) {
    await perform(operation);
    await options.afterEach?.(operation);
  }
  await writeJournal(path, { ...journal, phase: 'swapped' });
  return { kept: journal.kept };
}

/**
 * Brings the old data back. The new data goes to where it was built, or is kept as `<destination>_failed` when `keepFailed` is set.
 * Nothing was swapped: nothing to do. Called again after a crash it goes on.
 * @throws destinationBusy, outcomeUnknown
 */
export async function swapBack(
  destination: string,
  options: SwapOptions & { keepFailed?: boolean } = {},
): Promise<{ restored: boolean; failed?: string }> {
  const found = await findSwap(destination);
  if (!found) return { restored: false };
  const { path, journal } = found;
  if (journal.phase === 'confirming')
    throw new ResurgoError(
      'destinationBusy',
      `The restore ${journal.id} of ${destination} was confirmed: its old data is being removed.`,
    );
  await assertNotRunning(destination);
  if (journal.phase === 'swapped' && !(await exists(journal.kept))) {
    throw new ResurgoError(
      'outcomeUnknown',
      `${journal.kept}, the old data of ${destination}, is gone: there is nothing to bring back.`,
      { details: { hint: `Keep the restored data: resurgo restore confirm ${journal.id}.` } },
    );
  }
  if (journal.phase !== 'undone') {
    if (journal.phase !== 'undoing') await writeJournal(path, { ...journal, phase: 'undoing' });
    for (const operation of journal.operations.slice(0, await countDone(journal.operations)).toReversed()) {
      await undo(operation);
      await options.afterEach?.(operation);
    }
    await writeJournal(path, { ...journal, phase: 'undone' });
  }
  let failed: string | undefined;
  if (options.keepFailed) {
    const plain = journal.work.startsWith(`${destination}/`)
      ? join(destination, `.resurgo-${journal.id}-failed`)
      : `${destination}_failed`;
    const taken = (await exists(plain)) && (await exists(journal.work));
    failed = taken ? `${plain}.${journal.id}` : plain;
    if (await exists(journal.work)) await perform({ kind: 'rename', from: journal.work, to: failed });
  }
  await removeJournal(path);
  return { restored: true, ...(failed === undefined ? {} : { failed }) };
}

/** Removes the old data for good. Called again after a crash it goes on. @throws backupUnknown, destinationBusy */
export async function confirmSwap(destination: string): Promise<{ removed: string }> {
  const found = await findSwap(destination);
  if (!found)
    throw new ResurgoError('backupUnknown', `No restore of ${destination} waits to be confirmed.`, {
      details: { hint: 'It was confirmed or rolled back before.' },
    });
  const { path, journal } = found;
  if (journal.phase !== 'swapped' && journal.phase !== 'confirming')
    throw new ResurgoError(
      'destinationBusy',
      `The restore ${journal.id} of ${destination} is not complete (${journal.phase}).`,
    );
  if (journal.phase === 'swapped') await writeJournal(path, { ...journal, phase: 'confirming' });
  for (const each of [journal.kept, ...journal.leftovers]) await rm(each, { recursive: true, force: true });
  await removeJournal(path);
  return { removed: journal.kept };
}

/**
 * Makes a build final at a destination that was free: tablespaces first, the data directory last. Called again it goes on; done already is success.
 * @throws destinationNotEmpty, outcomeUnknown
 */
export async function settleBuild(places: RestorePlaces, options: SwapOptions = {}): Promise<{ dataDir: string }> {
  const step = async (operation: SwapOperation): Promise<void> => {
    await perform(operation);
    await options.afterEach?.(operation);
  };
  if (await exists(places.work)) {
    if (!places.mounted) {
      const content = await contentOf(places.destination);
      if (content !== undefined && content.length > 0)
        throw new ResurgoError(
          'destinationNotEmpty',
          `${places.destination} was filled by somebody while the restore was built.`,
        );
    }
    for (const place of outside(places))
      for (const operation of await newTablespace(places, place)) await step(operation);
    if (places.mounted) {
      for (const name of markerFirst(await readdir(places.work)).toReversed())
        await step({ kind: 'rename', from: join(places.work, name), to: join(places.destination, name) });
      await rmdir(places.work);
    } else {
      if (await exists(places.destination)) await rmdir(places.destination);
      await step({ kind: 'rename', from: places.work, to: places.destination });
    }
  } else if (!(await exists(join(places.destination, 'PG_VERSION')))) {
    throw new ResurgoError('outcomeUnknown', `Neither ${places.work} nor a cluster at ${places.destination} is there.`);
  }
  for (const place of outside(places)) await rm(dirname(place.build), { recursive: true, force: true });
  await syncDirectory(dirname(places.destination));
  return { dataDir: places.destination };
}
