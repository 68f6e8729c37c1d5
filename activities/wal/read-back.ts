/** Reads back a share of the WAL archive in one repository, heals what another has whole, and remembers and tells what is lost. */
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { WalLoss, WalReadBack } from '../../domain/operations.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { dueWal, lossesOf, readAt, type ScrubPiece, type TimelineReadBack } from '../../domain/wal-scrub.ts';
import { intervalOf } from '../../config/cron-interval.ts';
import { walRepositories } from '../../config/lookup.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { listWalSystems, readArchive, withDamaged, type ArchivedLineage } from '../../providers/wal/archive-read.ts';
import { mendSmallFiles, WalCheck, type ArchivePlace } from '../../providers/wal/read-back.ts';
import { readBackName, readReadBack } from '../../providers/wal/read-back-state.ts';
import type { ActivityDeps } from '../deps.ts';
import type { Pulse } from '../heartbeat.ts';
import { backupsOf } from '../restore-recovery.ts';
import { targetSettings } from '../target-settings.ts';
import { fillHoles, mendPiece, otherStores, readOthers } from './mend.ts';
import { noteReading, type Reading } from './read-back-note.ts';

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
  const reading = new Map<string, Reading>();
  const of = (one: { readonly lineage: string; readonly timeline: number }): Reading => {
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
    const fixed = heals ? await mendPiece(store, one, await archives(), place, whole, check, signal) : undefined;
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
  await noteReading(store, place, reading, whole, signal);
  if (others.length > 0) await fillHoles(store, place, archives, totals, signal);
  const after = await readArchive(store, target, systemId, trusted, signal);
  const settings = targetSettings(deps, target);
  const [withAll, at] = [withDamaged(after), Date.now()];
  // Every manifest is read only where something is lost.
  if (lossesOf(after, withAll, [], at).length > 0) totals.losses.push(...lossesOf(after, withAll, await backupsOf(deps, settings.repositories, target, systemId), at));
}

function scrubPieces(lineages: readonly ArchivedLineage[], state: ReadonlyMap<string, TimelineReadBack>): ScrubPiece[] {
  return lineages.flatMap((lineage) => lineage.timelines.flatMap(({ timeline, pieces }) => {
    const read = state.get(readBackName(lineage.id, timeline))?.read ?? [];
    return pieces.filter(({ key }) => key !== undefined).map((piece): ScrubPiece => ({ lineage: lineage.id, timeline, piece, readAt: readAt(piece, read) }));
  }));
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
