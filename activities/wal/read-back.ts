/** Reads back a share of the WAL archive in one repository, heals what another has whole, and remembers and tells what is lost. */
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { WalLoss, WalReadBack } from '../../domain/operations.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { coverage } from '../../domain/wal.ts';
import { addRead, dueWal, keepRead, lossesOf, readAt, type DamagedPiece, type ReadStretch, type ScrubPiece, type TimelineReadBack } from '../../domain/wal-scrub.ts';
import { intervalOf } from '../../config/cron-interval.ts';
import { walRepositories } from '../../config/lookup.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { listWalSystems, readArchive, withDamaged, type ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { bringStretch, mendSmallFiles, pieceKey, WalCheck, type ArchivePlace, type OtherArchive } from '../../providers/wal/read-back.ts';
import { readBackName, readReadBack, writeReadBack } from '../../providers/wal/read-back-state.ts';
import type { ActivityDeps } from '../deps.ts';
import type { Pulse } from '../heartbeat.ts';
import { backupsOf } from '../restore-recovery.ts';
import { targetSettings } from '../target-settings.ts';

export interface ReadBackInput {
  readonly target: string;
  readonly repository: string;
  readonly now: number;
  /** Open the content too; needs the identity. */
  readonly deep: boolean;
  /** Everything instead of a share. */
  readonly all: boolean;
  /** Put whole objects of another repository in the place of damaged and missing ones. */
  readonly heal: boolean;
  /** Only say what would be read. */
  readonly preview?: boolean;
}

const atOnce = 3;
/** A result is in a history: bounded. */
const mostWords = 20;

interface Totals {
  objects: number;
  bytes: number;
  total: number;
  unread: number;
  healed: number;
  damaged: number;
  readonly healedFrom: Set<string>;
  readonly problems: string[];
  readonly losses: WalLoss[];
}

/** @throws what makes the repository unusable now: unreachable, denied, a wrong key */
export async function readBackWal(deps: ActivityDeps, input: ReadBackInput, pulse: Pulse): Promise<WalReadBack> {
  const store = await deps.stores.open(input.repository);
  const totals: Totals = { objects: 0, bytes: 0, total: 0, unread: 0, healed: 0, damaged: 0, healedFrom: new Set(), problems: [], losses: [] };
  for (const systemId of await listWalSystems(store, input.target, pulse.signal)) await readSystem(deps, store, systemId, input, totals, pulse);
  const isLost = totals.losses.some(({ reachableAgainFrom }) => reachableAgainFrom === null);
  return {
    repository: input.repository, status: input.preview === true ? 'planned' : isLost || (!input.heal && totals.damaged > 0) ? 'damaged' : 'verified', depth: input.deep ? 'content' : 'checksum',
    ...totals, healedFrom: [...totals.healedFrom], problems: totals.problems.slice(0, mostWords), losses: totals.losses.slice(0, mostWords),
  };
}

async function readSystem(deps: ActivityDeps, store: ObjectStore, systemId: string, input: ReadBackInput, totals: Totals, { signal, report }: Pulse): Promise<void> {
  const { target, now } = input;
  const trusted = await deps.keys.trusted();
  const place: ArchivePlace = { target, systemId, trusted };
  const heals = input.heal && input.preview !== true;
  const others = heals ? await otherStores(deps, input) : [];
  if (heals) {
    const mended = await mendSmallFiles(store, others, place, signal);
    totals.healed += mended.length;
  }
  const whole = withDamaged(await readArchive(store, target, systemId, trusted, signal));
  const state = await readReadBack(store, target, systemId, signal);
  const pieces = scrubPieces(whole, state);
  const known = new Set([...state].flatMap(([name, { damaged }]) => damaged.map((one) => `${name}/${one.name}`)));
  const due = dueWal(pieces, { now, scrubMs: deps.loaded.config.upkeep.scrub, everyMs: intervalOf(deps.loaded.config.upkeep.schedule, now), all: input.all });
  // What was damaged is looked at every time: it may have been put right since.
  const again = pieces.filter((one) => known.has(`${readBackName(one.lineage, one.timeline)}/${one.piece.name}`) && !due.includes(one));
  totals.total += pieces.length;
  totals.unread += pieces.filter((one) => one.readAt === undefined).length;
  if (input.preview === true) {
    totals.objects += due.length + again.length;
    totals.bytes += [...due, ...again].reduce((sum, { piece }) => sum + piece.bytes, 0);
    return;
  }
  const archives = lazily(() => readOthers(others, place, signal));
  const check = new WalCheck(store, place, input.deep ? await deps.keys.credentials() : undefined, signal);
  const reading = new Map<string, { read: ReadStretch[]; damaged: DamagedPiece[]; good: Set<string> }>();
  const of = (one: { readonly lineage: string; readonly timeline: number }): { read: ReadStretch[]; damaged: DamagedPiece[]; good: Set<string> } => {
    const name = readBackName(one.lineage, one.timeline);
    const found = reading.get(name) ?? { read: [], damaged: [], good: new Set<string>() };
    reading.set(name, found);
    return found;
  };
  const totalBytes = [...due, ...again].reduce((sum, { piece }) => sum + piece.bytes, 0);
  let doneBytes = 0;
  const isGood = (one: ScrubPiece, bytes: number): void => {
    totals.objects++;
    totals.bytes += bytes;
    const found = of(one);
    found.read.push({ start: one.piece.start, end: one.piece.end, at: now });
    found.good.add(one.piece.name);
  };
  const handleDamage = async (one: ScrubPiece, error: ResurgoError): Promise<void> => {
    const fixed = heals ? await mend(store, one, await archives(), place, whole, check, signal) : undefined;
    if (fixed === undefined) {
      totals.damaged++;
      totals.problems.push(error.message);
      of(one).damaged.push({ name: one.piece.name, at: now, code: error.code, message: error.message });
      return;
    }
    totals.healed++;
    if (fixed === 'superfluous') return;
    totals.healedFrom.add(fixed);
    isGood(one, one.piece.bytes);
  };
  await mapBounded([...again, ...due], atOnce, async (one) => {
    try {
      isGood(one, await check.piece(one));
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled' || error.definition.retryable || (error.definition.kind === 'precondition' && error.code !== 'objectMissing')) throw error;
      // Replaced by a larger one since the listing, which is no damage; what is really missing is a hole of the next listing.
      if (error.code !== 'objectMissing') await handleDamage(one, error);
    }
    doneBytes += one.piece.bytes;
    report({ phase: `read back WAL of ${target} in ${store.name}`, doneBytes, totalBytes });
  });
  await remember(store, place, reading, whole, signal);
  await fillHoles(store, place, await archives(), totals, signal);
  const after = await readArchive(store, target, systemId, trusted, signal);
  const settings = targetSettings(deps, target);
  totals.losses.push(...lossesOf(after, withDamaged(after), await backupsOf(deps, settings.repositories, target, systemId), Date.now()));
}

function scrubPieces(lineages: readonly ArchivedLineage[], state: ReadonlyMap<string, TimelineReadBack>): ScrubPiece[] {
  return lineages.flatMap((lineage) => lineage.timelines.flatMap(({ timeline, pieces }) => {
    const read = state.get(readBackName(lineage.id, timeline))?.read ?? [];
    return pieces.filter(({ key }) => key !== undefined).map((piece): ScrubPiece => ({ lineage: lineage.id, timeline, piece, readAt: readAt(piece, read) }));
  }));
}

/** Those that answer; one that does not is told by whoever reads it back itself. */
async function otherStores(deps: ActivityDeps, { target, repository }: ReadBackInput): Promise<ObjectStore[]> {
  const stores: ObjectStore[] = [];
  for (const { name } of walRepositories(deps.loaded.config, target)) {
    if (name === repository) continue;
    const store = await deps.stores.open(name).catch((error: unknown) => {
      if (!isResurgoError(error)) throw error;
      return undefined;
    });
    if (store !== undefined) stores.push(store);
  }
  return stores;
}

async function readOthers(stores: readonly ObjectStore[], { target, systemId, trusted }: ArchivePlace, signal: AbortSignal): Promise<OtherArchive[]> {
  const found: OtherArchive[] = [];
  for (const store of stores) {
    try {
      found.push({ store, lineages: await readArchive(store, target, systemId, trusted, signal) });
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
    }
  }
  return found;
}

/** @returns where a whole one came from, `superfluous` where others here hold the same WAL, undefined where nobody has it */
async function mend(store: ObjectStore, one: ScrubPiece, others: readonly OtherArchive[], place: ArchivePlace, whole: readonly ArchivedLineage[], check: WalCheck, signal: AbortSignal): Promise<string | undefined> {
  const { start, end, name } = one.piece;
  const brought = await bringStretch(store, others, place, { lineage: one.lineage, timeline: one.timeline, start, end, name }, signal);
  if (brought !== undefined) {
    check.forgetKeys();
    for (const piece of brought.pieces) await check.piece({ ...one, piece });
    if (!brought.pieces.some((piece) => piece.name === name)) await store.delete([pieceKey(place, one)], signal);
    return brought.from;
  }
  const beside = whole.find(({ id }) => id === one.lineage)?.timelines.find(({ timeline }) => timeline === one.timeline)?.pieces.filter((piece) => piece.name !== name && piece.start < end && start < piece.end) ?? [];
  if (!coverage(beside).some((stretch) => stretch.start <= start && end <= stretch.end)) return undefined;
  for (const piece of beside) await check.piece({ ...one, piece });
  await store.delete([pieceKey(place, one)], signal);
  return 'superfluous';
}

/** Effect: the note of what was read and what is damaged, merged into what others noted meanwhile. */
async function remember(store: ObjectStore, place: ArchivePlace, reading: ReadonlyMap<string, { readonly read: readonly ReadStretch[]; readonly damaged: readonly DamagedPiece[]; readonly good: ReadonlySet<string> }>, whole: readonly ArchivedLineage[], signal: AbortSignal): Promise<void> {
  if (reading.size === 0) return;
  const state = new Map(await readReadBack(store, place.target, place.systemId, signal));
  const there = new Set<string>();
  for (const lineage of whole) for (const { timeline, pieces } of lineage.timelines) {
    const name = readBackName(lineage.id, timeline);
    there.add(name);
    const before = state.get(name);
    const now = reading.get(name);
    const names = new Set(pieces.map((piece) => piece.name));
    const bad = new Set(now?.damaged.map((one) => one.name));
    state.set(name, {
      read: keepRead(addRead(before?.read ?? [], now?.read ?? []), pieces),
      damaged: [...(before?.damaged ?? []).filter((one) => names.has(one.name) && !bad.has(one.name) && now?.good.has(one.name) !== true), ...(now?.damaged ?? [])],
    });
  }
  for (const name of state.keys()) if (!there.has(name)) state.delete(name);
  await writeReadBack(store, place.target, place.systemId, state, signal);
}

/** WAL that is missing here and not in another repository. */
async function fillHoles(store: ObjectStore, place: ArchivePlace, others: readonly OtherArchive[], totals: Totals, signal: AbortSignal): Promise<void> {
  if (others.length === 0) return;
  for (const lineage of await readArchive(store, place.target, place.systemId, place.trusted, signal)) for (const { timeline, pieces } of lineage.timelines) {
    const held = coverage(pieces);
    for (const [i, { start: next }] of held.slice(1).entries()) {
      const hole = { start: (held[i] as { end: bigint }).end, end: next };
      const brought = await bringStretch(store, others, place, { lineage: lineage.id, timeline, ...hole }, signal);
      if (brought === undefined) continue;
      totals.healed += brought.pieces.length;
      totals.healedFrom.add(brought.from);
    }
  }
}

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** The repositories that hold WAL of a target. */
export function walPlaces(deps: ActivityDeps, target: string): string[] {
  const { config, engine } = targetSettings(deps, target);
  if (config.type !== 'postgres' || engine !== 'physical' || config.wal !== true) return [];
  const names = walRepositories(deps.loaded.config, target).map(({ name }) => name);
  if (names.length === 0) throw new ResurgoError('configInvalid', `target ${target} has no repository for WAL`);
  return names;
}
