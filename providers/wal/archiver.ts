/**
 * Takes the WAL stream of one timeline apart into objects and stores them: blocks (a segment, at most 16 MiB) whole when they are complete, and what has
 * come of the present one every few seconds, so that what would be lost is seconds of data and not a segment. When a block is complete its pieces go.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hexLsn } from '../../domain/lsn.ts';
import { pieceName, type WalPiece, type WalSample } from '../../domain/wal.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { pointFile, timelinePrefix } from './layout.ts';
import type { RepositoryLane } from './repository-lane.ts';
import { newPoints, type WalSealJob } from './seal-job.ts';
import { plainAt, roomFor, type WalSealer } from './sealer.ts';

/** Blocks in memory at once: one is filled, the others are sealed and stored. */
const mostBlocks = 5;
/** So many pieces of a block become one. */
const mostPieces = 24;
const mostSamples = 400;

export interface ArchiverOptions {
  readonly target: string;
  readonly systemId: string;
  readonly lineage: string;
  readonly timeline: number;
  readonly blockBytes: number;
  readonly segmentBytes: number;
  /** Stored so far in every required repository; the stream begins at its block. */
  readonly stored: bigint;
  /** Where the stream begins: a block boundary. */
  readonly start: bigint;
  readonly lanes: readonly RepositoryLane[];
  readonly sealer: WalSealer;
  readonly signal: AbortSignal;
  /** Samples of the block the stream begins with, from pieces stored before. */
  readonly openSamples?: readonly WalSample[];
}

interface Block {
  readonly start: bigint;
  /** Sealed in place, then stored from here, then filled again. */
  readonly slot: ArrayBuffer;
  readonly bytes: Buffer;
  samples: WalSample[];
  scanned: number;
  /** Pieces sealed of it in this run. */
  pieces: number;
}

interface Stretch {
  readonly start: bigint;
  readonly end: bigint;
  readonly slot: ArrayBuffer;
  readonly samples: readonly WalSample[];
  readonly points: readonly { readonly name: string; readonly lsn: bigint }[];
  readonly scan?: WalSealJob['scan'];
}

export class Archiver {
  private readonly o: ArchiverOptions;
  private readonly prefix: string;
  private readonly lanes: readonly RepositoryLane[];
  private block: Block;
  private position: bigint;
  /** Sealing is asked for up to here. */
  private flushed: bigint;
  /** Present in every required repository without a hole. */
  private frontier: bigint;
  /** Those that are not stored yet, and the newest that is. */
  private samples: WalSample[] = [];
  /** The last ones, to go with the blocks they fall into. */
  private seen: WalSample[] = [];
  private safe: number | undefined;
  private blocksAtWork = 0;
  /** Memory of blocks that are stored, for those to come: fresh memory costs more than filling it. */
  private readonly idle: ArrayBuffer[] = [];
  private roomWaiters: (() => void)[] = [];
  private failure: Error | undefined;
  private pending = new Set<Promise<void>>();
  private lastStoredTime = 0;

  constructor(options: ArchiverOptions) {
    this.o = options;
    this.lanes = options.lanes;
    this.prefix = timelinePrefix(options.target, options.systemId, options.lineage, options.timeline);
    this.frontier = options.stored;
    this.flushed = options.stored;
    this.position = options.start;
    this.block = this.newBlock(options.start);
    this.block.samples.push(...(options.openSamples ?? []));
  }

  get received(): bigint {
    return this.position;
  }

  get stored(): bigint {
    return this.frontier;
  }

  /** ms, the database's clock: what was committed before is stored in every required repository. */
  get storedTime(): number | undefined {
    return this.safe;
  }

  private newBlock(start: bigint): Block {
    const slot = this.idle.pop() ?? Buffer.allocUnsafeSlow(roomFor(this.o.blockBytes)).buffer;
    return { start, slot, bytes: Buffer.from(slot, plainAt, this.o.blockBytes), samples: [], scanned: 0, pieces: 0 };
  }

  /** For the stream: takes the bytes at once, and asks to wait while too much is on its way. */
  readonly data = (lsn: bigint, bytes: Buffer): Promise<void> | undefined => {
    if (this.failure !== undefined) throw this.failure;
    if (lsn !== this.position) throw new ResurgoError('bug', `the server sent WAL ${hexLsn(lsn)}, expected ${hexLsn(this.position)}`);
    let at = 0;
    while (at < bytes.length) {
      const offset = Number(this.position - this.block.start);
      const count = Math.min(bytes.length - at, this.o.blockBytes - offset);
      bytes.copy(this.block.bytes, offset, at, at + count);
      at += count;
      this.position += BigInt(count);
      if (offset + count === this.o.blockBytes) this.finishBlock();
    }
    if (this.blocksAtWork < mostBlocks) return undefined;
    return new Promise((resolve) => {
      this.roomWaiters.push(resolve);
    });
  };

  /** The server was seen to have flushed up to `lsn` at `time` (its clock). */
  sample(sample: WalSample): void {
    for (const list of [this.samples, this.seen]) {
      // Of an idle time only its beginning and its end.
      if (list.at(-1)?.lsn === sample.lsn && list.at(-2)?.lsn === sample.lsn) list[list.length - 1] = sample;
      else list.push(sample);
    }
    if (this.samples.length > 2000) this.samples = this.samples.filter((_, i) => i % 2 === 1);
    if (this.seen.length > 1000) this.seen.splice(0, 500);
    this.advance();
  }

  private advance(): void {
    const required = this.lanes.filter((lane) => lane.required);
    let least: bigint | undefined;
    for (const lane of required) {
      const reach = lane.reach(this.frontier);
      if (least === undefined || reach < least) least = reach;
    }
    if (least !== undefined && least > this.frontier) this.frontier = least;
    for (let i = this.samples.length - 1; i >= 0; i--) {
      const { time, lsn } = this.samples[i] as WalSample;
      if (lsn > this.frontier) continue;
      this.safe = Math.max(this.safe ?? 0, time);
      this.samples.splice(0, i);
      break;
    }
  }

  /** Newest moment known to lie at or below `end`. */
  private timeAt(end: bigint): number | undefined {
    let newest: number | undefined;
    for (const { time, lsn } of this.samples) if (lsn <= end && (newest === undefined || time > newest)) newest = time;
    return newest ?? (this.safe !== undefined && end >= this.frontier ? this.safe : undefined);
  }

  private takeSamples(block: Block, end: bigint): void {
    const newest = block.samples.at(-1)?.time ?? 0;
    block.samples.push(...this.seen.filter(({ time, lsn }) => time > newest && lsn <= end && lsn >= block.start));
    if (block.samples.length > mostSamples) block.samples = block.samples.filter((_, i) => i % 2 === 1);
  }

  private finishBlock(): void {
    const block = this.block;
    const end = block.start + BigInt(this.o.blockBytes);
    this.block = this.newBlock(end);
    this.takeSamples(block, end);
    // Already stored before this run, which began at the block's beginning only for want of its first part.
    this.flushed = this.flushed > end ? this.flushed : end;
    this.blocksAtWork++;
    const scan = { from: block.scanned, segmentStart: block.start % BigInt(this.o.segmentBytes) === 0n };
    const work = this.store({ start: block.start, end, slot: block.slot, samples: block.samples, points: [], scan })
      .then(async ({ piece: stored, slot }) => {
        this.idle.push(slot);
        // Also what an earlier run stored of it, whole or not.
        await Promise.all(this.lanes.map((lane) => lane.drop(this.prefix, (piece) => piece.start >= block.start && piece.end <= end && piece.name !== stored.name && piece.name !== '')));
        for (const lane of this.lanes) lane.fold(block.start);
      })
      .finally(() => {
        this.blocksAtWork--;
        for (const wake of this.roomWaiters.splice(0)) wake();
      });
    this.track(work);
  }

  private track(work: Promise<void>): void {
    const watched: Promise<void> = work.catch((error: unknown) => {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    }).finally(() => this.pending.delete(watched));
    this.pending.add(watched);
  }

  private findPoints(block: Block, length: number): { name: string; lsn: bigint }[] {
    const from = block.scanned;
    block.scanned = length;
    return newPoints(block.bytes.subarray(0, length), from, block.start % BigInt(this.o.segmentBytes) === 0n).map(({ name, end }) => ({ name, lsn: block.start + BigInt(end) }));
  }

  /** Stores what has come of the present block since the last time. Not while whole blocks wait: it would stand behind them, and be superfluous soon. */
  flush(): void {
    if (this.blocksAtWork < 2) this.flushNow();
  }

  private flushNow(): void {
    const { block, position } = this;
    if (position <= this.flushed || position === block.start) return;
    // One whole piece instead of many small ones.
    const whole = block.pieces >= mostPieces;
    const start = whole || this.flushed < block.start ? block.start : this.flushed;
    const length = Number(position - start);
    const slot = Buffer.allocUnsafeSlow(roomFor(length)).buffer;
    Buffer.from(slot, plainAt).set(block.bytes.subarray(Number(start - block.start), Number(position - block.start)));
    const points = this.findPoints(block, Number(position - block.start));
    this.takeSamples(block, position);
    this.flushed = position;
    block.pieces = whole ? 1 : block.pieces + 1;
    const work = this.store({ start, end: position, slot, samples: whole ? block.samples : block.samples.filter(({ lsn }) => lsn >= start), points }).then(async () => {
      if (whole) await Promise.all(this.lanes.map((lane) => lane.drop(this.prefix, (piece) => piece.start >= start && piece.end <= position && piece.start !== piece.end && !(piece.start === start && piece.end === position))));
    });
    this.track(work);
  }

  private async store({ start, end, slot, samples, points, scan }: Stretch): Promise<{ piece: WalPiece; slot: ArrayBuffer }> {
    const { target, systemId, lineage, timeline } = this.o;
    const time = this.timeAt(end);
    const place = { target, systemId, lineage, timeline };
    const sealed = await this.o.sealer.seal({
      ...place, kind: 'wal', start: hexLsn(start), end: hexLsn(end), ...(time === undefined ? {} : { time: new Date(time).toISOString() }),
      ...(samples.length === 0 ? {} : { samples: samples.map((one): [number, string] => [one.time, hexLsn(one.lsn)]) }),
    }, slot, Number(end - start), scan);
    const piece: WalPiece = { start, end, time, key: sealed.key, name: pieceName({ start, end, time, key: sealed.key }), bytes: sealed.object.length };
    await Promise.all(this.lanes.map(async (lane) => {
      await lane.put(`${this.prefix}${piece.name}`, sealed, piece);
      this.advance();
    }));
    for (const { name, lsn } of [...points, ...sealed.points.map((found) => ({ name: found.name, lsn: start + BigInt(found.end) }))]) {
      const signed = this.o.sealer.sign({ ...place, kind: 'point', start: hexLsn(lsn), end: hexLsn(lsn), point: name, ...(time === undefined ? {} : { time: new Date(time).toISOString() }) });
      await Promise.all(this.lanes.map((lane) => lane.put(`${this.prefix}${pointFile(lsn, name)}`, signed, undefined)));
    }
    if (time !== undefined) this.lastStoredTime = Math.max(this.lastStoredTime, time);
    return { piece, slot: sealed.slot };
  }

  /** On an idle server nothing is stored; a mark says that nothing was written until now. */
  mark(everyMs: number): void {
    const safe = this.safe;
    if (safe === undefined || this.frontier < this.position || safe - this.lastStoredTime < everyMs) return;
    this.lastStoredTime = safe;
    const at = this.frontier;
    const piece: WalPiece = { start: at, end: at, time: safe, key: undefined, name: pieceName({ start: at, end: at, time: safe, key: undefined }), bytes: 0 };
    const { target, systemId, lineage, timeline } = this.o;
    const signed = this.o.sealer.sign({ target, systemId, lineage, timeline, kind: 'mark', start: hexLsn(at), end: hexLsn(at), time: new Date(safe).toISOString() });
    this.track((async () => {
      await Promise.all(this.lanes.map(async (lane) => {
        await lane.put(`${this.prefix}${piece.name}`, signed, piece);
        await lane.drop(this.prefix, (other) => other.start === at && other.end === at && (other.time ?? 0) < safe);
      }));
    })());
  }

  /** Everything received is stored. @throws what sealing failed with */
  async drain(): Promise<void> {
    this.flushNow();
    while (this.pending.size > 0 && !this.o.signal.aborted) await Promise.race([Promise.all([...this.pending]), sleep(200)]);
    if (this.failure !== undefined) throw this.failure;
  }

  throwIfFailed(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}
