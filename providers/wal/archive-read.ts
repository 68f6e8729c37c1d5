/** Reads the WAL archive of a target from one repository: one listing, and a few small objects. */
import type { WalLineage, WalPiece, RestorePoint, WalTimeline } from '../../domain/wal.ts';
import { withHistories } from '../../domain/swaps.ts';
import { parsePieceName, sortPieces } from '../../domain/wal.ts';
import { parseLsn } from '../../domain/lsn.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { open } from '../vault/crypto-pool.ts';
import { openKeys, type Credentials } from '../vault/open-keys.ts';
import { isSafeSegment } from '../repository/safe-key.ts';
import { readSwaps } from '../repository/swap-notes.ts';
import { historyFile, lineageFile, lineagePrefix, parsePointFile, timelinePrefix, walPrefix } from './layout.ts';
import { parseLineage, type LineageFacts } from './lineage-file.ts';
import { headerRoom, parseWalHeader, placeOf, splitWalObject, type WalHeader } from './wal-object.ts';
import { readBackFile, readBackName, readReadBack } from './read-back-state.ts';
import { walKeyAttempt } from './sealer.ts';

export interface ArchivedTimeline extends WalTimeline {
  /** Objects that reading back found damaged: they are not among the pieces. */
  readonly damaged: readonly WalPiece[];
  readonly hasHistory: boolean;
  /** SHA-256 of its history file's text; undefined for the first timeline of a cluster. */
  readonly historySha256: string | undefined;
}
export interface ArchivedLineage extends WalLineage {
  readonly facts: LineageFacts;
  readonly timelines: readonly ArchivedTimeline[];
}

/** Systems of a target that have an archive in this repository. */
export async function listWalSystems(store: ObjectStore, target: string, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for (const systemId of await store.listDirectories(`${target}/`, signal)) {
    if (!isSafeSegment(systemId) || systemId === 'writer-epoch') continue;
    if ((await store.listDirectories(walPrefix(target, systemId), signal)).length > 0) found.push(systemId);
  }
  return found;
}

interface Found {
  readonly timelines: Map<number, { pieces: WalPiece[]; points: RestorePoint[]; history: boolean }>;
  hasFile: boolean;
}

interface Listing {
  readonly lineages: Map<string, Found>;
  readonly hasReadBack: boolean;
}

async function listFound(store: ObjectStore, target: string, systemId: string, signal?: AbortSignal): Promise<Listing> {
  const prefix = walPrefix(target, systemId);
  const lineages = new Map<string, Found>();
  let hasReadBack = false;
  for await (const { key, size } of store.list(prefix, signal)) {
    const [id = '', directory, file] = key.slice(prefix.length).split('/');
    if (directory === undefined) {
      hasReadBack ||= id === readBackFile;
      continue;
    }
    let lineage = lineages.get(id);
    if (lineage === undefined) lineages.set(id, (lineage = { timelines: new Map(), hasFile: false }));
    if (file === undefined) {
      if (directory === lineageFile) lineage.hasFile = true;
      continue;
    }
    if (!/^[0-9A-F]{8}$/.test(directory)) continue;
    const number = Number.parseInt(directory, 16);
    let timeline = lineage.timelines.get(number);
    if (timeline === undefined) lineage.timelines.set(number, (timeline = { pieces: [], points: [], history: false }));
    const piece = parsePieceName(file, size);
    const point = piece === undefined ? parsePointFile(file) : undefined;
    if (piece !== undefined) timeline.pieces.push(piece);
    else if (point !== undefined) timeline.points.push(point);
    else if (file === historyFile) timeline.history = true;
  }
  return { lineages, hasReadBack };
}

/** The present lineage first, those that were given up last. A lineage whose own file is not there yet (its writer died) is left out. @throws walDamaged, manifestSignature */
export async function readArchive(store: ObjectStore, target: string, systemId: string, trusted: readonly string[], signal?: AbortSignal): Promise<ArchivedLineage[]> {
  const { lineages: found, hasReadBack } = await listFound(store, target, systemId, signal);
  const known = hasReadBack ? await readReadBack(store, target, systemId, signal) : undefined;
  const lineages: ArchivedLineage[] = [];
  for (const [id, { timelines, hasFile }] of found) {
    if (!hasFile) continue;
    const prefix = lineagePrefix(target, systemId, id);
    const facts = parseLineage(await store.get(`${prefix}${lineageFile}`, signal && { signal }), `${prefix}${lineageFile} in ${store.name}`, trusted);
    if (facts.id !== id || facts.target !== target || facts.systemId !== systemId) throw new ResurgoError('walDamaged', `${prefix}${lineageFile} in ${store.name} is another lineage's`);
    const read: ArchivedTimeline[] = [];
    for (const [timeline, { pieces, points, history }] of [...timelines].sort(([a], [b]) => a - b)) {
      const header = history ? await readHeader(store, `${timelinePrefix(target, systemId, id, timeline)}${historyFile}`, trusted, signal) : undefined;
      const bad = new Set(known?.get(readBackName(id, timeline))?.damaged.map(({ name }) => name));
      read.push({
        timeline, pieces: sortPieces(pieces.filter(({ name }) => !bad.has(name))), damaged: pieces.filter(({ name }) => bad.has(name)), points, hasHistory: history, historySha256: header?.sha256,
        ancestors: (header?.ancestors ?? []).map(([number, lsn]) => ({ timeline: number, lsn: BigInt(`0x${lsn}`) })),
      });
    }
    const { parent } = facts;
    lineages.push({ id, systemId, createdAt: facts.createdAt, segmentBytes: facts.segmentBytes, parent: parent === null ? null : { lineage: parent.lineage, timeline: parent.timeline, lsn: parseLsn(parent.lsn) }, facts, timelines: read });
  }
  return withHistories(lineages, lineages.length === 0 ? [] : await readSwaps(store, target, systemId, signal));
}

/** The same with the damaged objects among the pieces: what was stored, not what is of use. */
export const withDamaged = (lineages: readonly ArchivedLineage[]): ArchivedLineage[] =>
  lineages.map((lineage) => ({ ...lineage, timelines: lineage.timelines.map((timeline) => ({ ...timeline, pieces: sortPieces([...timeline.pieces, ...timeline.damaged]) })) }));

/** @throws walDamaged, manifestSignature, objectMissing */
export async function readHeader(store: ObjectStore, key: string, trusted: readonly string[], signal?: AbortSignal): Promise<WalHeader> {
  const bytes = await store.get(key, { offset: 0, length: headerRoom, ...(signal && { signal }) });
  return parseWalHeader(bytes, `${key} in ${store.name}`, trusted).header;
}

export interface OpenWalOptions {
  /** In order of preference: where an object is missing or damaged in one, the next is asked. */
  readonly stores: readonly ObjectStore[];
  readonly trusted: readonly string[];
  readonly credentials: Credentials;
  readonly signal?: AbortSignal | undefined;
}

/** Opens objects of the archive; keys are unwrapped once. */
export class WalReader {
  private readonly options: OpenWalOptions;
  private readonly keys = new Map<string, Promise<Uint8Array>>();

  constructor(options: OpenWalOptions) {
    this.options = options;
  }

  private keyOf(id: string): Promise<Uint8Array> {
    let key = this.keys.get(id);
    if (key === undefined) {
      const { stores, credentials, signal } = this.options;
      key = openKeys({ stores, backup: id, attempt: walKeyAttempt, credentials, ...(signal && { signal }) }).then(({ dataKey }) => dataKey);
      key.catch(() => this.keys.delete(id));
      this.keys.set(id, key);
    }
    return key;
  }

  /** @throws wrongKey, keyMissing, objectMissing */
  async unlock(id: string): Promise<void> {
    await this.keyOf(id);
  }

  /** Plaintext of one object. @throws walDamaged, manifestSignature, wrongKey, objectMissing, repositoryUnreachable */
  async read(key: string): Promise<{ header: WalHeader; plain: Uint8Array }> {
    const { stores, trusted, signal } = this.options;
    let problem: unknown;
    for (const store of stores) {
      const what = `${key} in ${store.name}`;
      try {
        const { header, body } = splitWalObject(await store.get(key, signal && { signal }), what, trusted);
        if (header.key === undefined || header.n === undefined) throw new ResurgoError('walDamaged', `${what}: it has no content`);
        const dataKey = await this.keyOf(header.key);
        try {
          const { plain } = await open({ type: 'open', object: body, sha256: header.body.sha256, name: { backup: header.key, attempt: placeOf(header), n: header.n }, key: dataKey, content: { compression: header.compression, plainBytes: header.plainBytes } });
          return { header, plain: plain ?? new Uint8Array(0) };
        } catch (cause) {
          throw new ResurgoError('walDamaged', `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        }
      } catch (error) {
        if (signal?.aborted === true) throw error;
        problem ??= error;
      }
    }
    throw problem;
  }
}
