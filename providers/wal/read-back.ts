/** Reads single objects of the WAL archive back, and puts whole ones from another repository in the place of damaged ones. */
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { hexLsn } from '../../domain/lsn.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { cover, type WalPiece } from '../../domain/wal.ts';
import { bringKey, holdsKey } from '../repository/bring-keys.ts';
import { keysPrefix } from '../repository/layout.ts';
import { open } from '../vault/crypto-pool.ts';
import type { Credentials } from '../vault/open-keys.ts';
import { WalReader, type ArchivedLineage } from './archive-read.ts';
import { historyFile, lineageFile, lineagePrefix, timelineName, timelinePrefix, walPrefix } from './layout.ts';
import { parseLineage } from './lineage-file.ts';
import { parseWalObject, splitWalObject, type WalHeader } from './wal-object.ts';

/** One archive: of a target's system, whose writers are trusted. */
export interface ArchivePlace {
  readonly target: string;
  readonly systemId: string;
  readonly trusted: readonly string[];
}

export interface PiecePlace {
  readonly lineage: string;
  readonly timeline: number;
  readonly piece: WalPiece;
}

export const pieceKey = ({ target, systemId }: ArchivePlace, { lineage, timeline, piece }: PiecePlace): string => `${timelinePrefix(target, systemId, lineage, timeline)}${piece.name}`;

/** A signed object in the place of another opens as little as a damaged one. */
function assertPlace(header: WalHeader, place: ArchivePlace, { lineage, timeline, piece }: PiecePlace, what: string): void {
  const fits = header.kind === 'wal' && header.target === place.target && header.systemId === place.systemId && header.lineage === lineage && header.timeline === timeline && header.start === hexLsn(piece.start) && header.end === hexLsn(piece.end) && header.key === piece.key;
  if (!fits) throw new ResurgoError('walDamaged', `${what}: it is another object, of WAL ${header.start} to ${header.end} of timeline ${String(header.timeline)}`);
}

export class WalCheck {
  readonly #store: ObjectStore;
  readonly #place: ArchivePlace;
  readonly #reader: WalReader | undefined;
  readonly #keys = new Map<string, Promise<void>>();
  readonly #signal: AbortSignal;

  /** @param credentials with them content is opened too, and not only its checksum looked at */
  constructor(store: ObjectStore, place: ArchivePlace, credentials: Credentials | undefined, signal: AbortSignal) {
    this.#store = store;
    this.#place = place;
    this.#signal = signal;
    if (credentials !== undefined) this.#reader = new WalReader({ stores: [store], trusted: place.trusted, credentials, signal });
  }

  /** @returns bytes read. @throws walDamaged, manifestSignature, objectMissing, repositoryUnreachable, wrongKey */
  async piece(at: PiecePlace): Promise<number> {
    const key = pieceKey(this.#place, at);
    const what = `${key} in ${this.#store.name}`;
    if (at.piece.key !== undefined) await this.#keyFile(at.piece.key, what);
    if (this.#reader !== undefined) {
      const { header, plain } = await this.#reader.read(key);
      assertPlace(header, this.#place, at, what);
      if (BigInt(plain.length) !== at.piece.end - at.piece.start) throw new ResurgoError('walDamaged', `${what}: it holds ${String(plain.length)} bytes of WAL`);
      return header.body.bytes;
    }
    const bytes = await this.#store.get(key, { signal: this.#signal });
    const { header, body } = splitWalObject(bytes, what, this.#place.trusted);
    assertPlace(header, this.#place, at, what);
    try {
      await open({ type: 'open', object: body, sha256: header.body.sha256 });
    } catch (cause) {
      throw new ResurgoError('walDamaged', `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    return header.body.bytes;
  }

  /** The wrapped key must lie here too: without it the WAL is noise. */
  #keyFile(id: string, what: string): Promise<void> {
    let known = this.#keys.get(id);
    if (known === undefined) {
      known = holdsKey(this.#store, id, this.#signal).then((found) => {
        if (!found) throw new ResurgoError('walDamaged', `${what}: its key, ${keysPrefix(id)}, is gone`);
      });
      known.catch(() => undefined);
      this.#keys.set(id, known);
    }
    return known;
  }

  /** After a key was brought back. */
  forgetKeys(): void {
    this.#keys.clear();
  }
}

export interface OtherArchive {
  readonly store: ObjectStore;
  readonly lineages: readonly ArchivedLineage[];
}

/**
 * Brings what another repository has of a stretch, with its keys. What is taken is checked before it is written.
 * @returns where it came from; undefined when none of the others has it whole
 */
export async function bringStretch(to: ObjectStore, others: readonly OtherArchive[], place: ArchivePlace, wanted: { lineage: string; timeline: number; start: bigint; end: bigint; name?: string }, signal: AbortSignal): Promise<{ from: string; pieces: readonly WalPiece[]; bytes: number } | undefined> {
  for (const { store: from, lineages } of others) {
    const pieces = lineages.find(({ id }) => id === wanted.lineage)?.timelines.find(({ timeline }) => timeline === wanted.timeline)?.pieces.filter(({ key }) => key !== undefined) ?? [];
    const same = pieces.find(({ name }) => name === wanted.name);
    const chosen = same === undefined ? cover(pieces, wanted.start, wanted.end) : [same];
    if (chosen === undefined) continue;
    try {
      // All of it is looked at before the first is written: half a stretch helps nobody.
      let bytes = 0;
      const found: { key: string; body: Buffer; id: string }[] = [];
      for (const piece of chosen) {
        const key = pieceKey(place, { ...wanted, piece });
        const body = await from.get(key, { signal });
        const { header } = parseWalObject(body, `${key} in ${from.name}`, place.trusted);
        assertPlace(header, place, { ...wanted, piece }, `${key} in ${from.name}`);
        found.push({ key, body, id: piece.key as string });
        bytes += body.length;
      }
      for (const id of new Set(found.map((one) => one.id))) await bringKey(from, to, id, signal);
      for (const { key, body } of found) await to.put(key, body, { signal });
      return { from: from.name, pieces: chosen, bytes };
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
    }
  }
  return undefined;
}

/** The small signed files without which nothing else can be read: those that are damaged or missing here come from another repository. @returns their keys */
export async function mendSmallFiles(to: ObjectStore, others: readonly ObjectStore[], place: ArchivePlace, signal: AbortSignal): Promise<string[]> {
  const prefix = walPrefix(place.target, place.systemId);
  const wanted = new Set<string>();
  for (const id of await to.listDirectories(prefix, signal)) {
    wanted.add(`${lineagePrefix(place.target, place.systemId, id)}${lineageFile}`);
    for (const timeline of await to.listDirectories(lineagePrefix(place.target, place.systemId, id), signal)) {
      const number = Number.parseInt(timeline, 16);
      if (timelineName(number) === timeline && number > 1) wanted.add(`${lineagePrefix(place.target, place.systemId, id)}${timeline}/${historyFile}`);
    }
  }
  const mended: string[] = [];
  for (const key of wanted) {
    if ((await smallFile(to, key, place, signal)) !== undefined) continue;
    for (const from of others) {
      const body = await smallFile(from, key, place, signal).catch(() => undefined);
      if (body === undefined) continue;
      if (!key.endsWith(`/${lineageFile}`)) {
        const { header } = parseWalObject(body, key, place.trusted);
        if (header.key !== undefined) await bringKey(from, to, header.key, signal);
      }
      await to.put(key, body, { signal });
      mended.push(key);
      break;
    }
  }
  return mended;
}

/** Undefined where it is not there, or not whole. @throws repositoryUnreachable */
async function smallFile(store: ObjectStore, key: string, { trusted }: ArchivePlace, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    const body = await store.get(key, { signal });
    if (key.endsWith(`/${lineageFile}`)) parseLineage(body, key, trusted);
    else parseWalObject(body, key, trusted);
    return body;
  } catch (error) {
    if (isResurgoError(error) && ['objectMissing', 'walDamaged', 'manifestSignature'].includes(error.code)) return undefined;
    throw error;
  }
}
