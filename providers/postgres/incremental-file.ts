import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import type { Spooled } from '../../domain/ports.ts';
import { pathBytes } from '../vault/tar-path.ts';
import { writeFully } from '../vault/write-extents.ts';

/** An INCREMENTAL file, in the spool of its link. */
export interface SpooledIncrement extends Spooled {
  /** Its path in the backup. */
  readonly path: string;
}

/** One relation file of a combined cluster: a whole file of an older backup and what newer backups have of its blocks. */
export interface MergeJob {
  /** The INCREMENTAL files newer than what lies at the target, newest first; the first is of the backup that is restored. */
  readonly increments: readonly SpooledIncrement[];
  /** All increments together. */
  readonly bytes: number;
  readonly blockSize: number;
  /** Of a segment file of a relation. */
  readonly blocksPerSegment: number;
}

/** As PostgreSQL 17 and 18 write it (backup/basebackup_incremental.h). */
const magic = 0xd3ae1f0d;
const fixedHeaderBytes = 12;
/** Everything here is synchronous: one buffer per thread is enough. A block has 32 KiB at most. */
const shared = Buffer.allocUnsafeSlow(1024 * 1024);
/** Where blocks come from that no backup has: zeros. */
const nowhere = -1;

interface Increment {
  readonly fd: number;
  readonly place: SpooledIncrement;
  readonly blocks: Uint32Array;
  /** In blocks: what older backups have beyond it was cut off since. */
  readonly truncation: number;
  /** Offset of the first block, within it. */
  readonly start: number;
}

/** @param position within the increment */
function readExactly(fd: number, place: SpooledIncrement, buffer: Uint8Array, position: number): void {
  const short = (end: number): Error =>
    new Error(`${place.path} ends at byte ${end}; ${position + buffer.byteLength} were expected.`);
  if (position + buffer.byteLength > place.bytes) throw short(place.bytes);
  for (let done = 0; done < buffer.byteLength; ) {
    const got = readSync(fd, buffer, done, buffer.byteLength - done, place.at + position + done);
    if (got === 0) throw short(position + done);
    done += got;
  }
}

function readIncrement(fd: number, place: SpooledIncrement, { blockSize, blocksPerSegment }: MergeJob): Increment {
  const { path } = place;
  const fixed = shared.subarray(0, fixedHeaderBytes);
  readExactly(fd, place, fixed, 0);
  const [found, count, truncation] = [fixed.readUInt32LE(0), fixed.readUInt32LE(4), fixed.readUInt32LE(8)];
  if (found !== magic)
    throw new Error(
      `${path} is not in the form PostgreSQL 17 and 18 write: it begins with 0x${found.toString(16)}, not 0x${magic.toString(16)}.`,
    );
  if (count > blocksPerSegment || truncation > blocksPerSegment)
    throw new Error(
      `${path} names ${count} blocks and a length of ${truncation}; a segment has ${blocksPerSegment} at most.`,
    );
  const numbers = Buffer.alloc(count * 4);
  readExactly(fd, place, numbers, fixedHeaderBytes);
  const blocks = Uint32Array.from({ length: count }, (_, i) => numbers.readUInt32LE(i * 4));
  const outside = blocks.find((block) => block >= blocksPerSegment);
  if (outside !== undefined)
    throw new Error(`${path} names block ${outside}; a segment has ${blocksPerSegment} at most.`);
  const header = fixedHeaderBytes + numbers.byteLength;
  // Blocks begin at a multiple of their size.
  return { fd, place, blocks, truncation, start: count === 0 ? header : Math.ceil(header / blockSize) * blockSize };
}

/** Which increment each block of the result comes from, and its place there. */
interface Sources {
  /** In blocks. */
  readonly length: number;
  /** Index of the increment, or nowhere: of the base, or of nobody. */
  readonly from: Int32Array;
  readonly at: Uint32Array;
}

/** The same choice as pg_combinebackup's (reconstruct.c): the newest backup that has a block wins. */
function chooseSources(increments: readonly Increment[]): Sources {
  const [newest] = increments as [Increment, ...Increment[]];
  const length = newest.blocks.reduce((longest, block) => Math.max(longest, block + 1), newest.truncation);
  const from = new Int32Array(length).fill(nowhere);
  const at = new Uint32Array(length);
  for (const [index, { blocks }] of increments.entries()) {
    // What older backups have beyond this was cut off since.
    const end = index === 0 ? length : newest.truncation;
    for (const [i, block] of blocks.entries()) {
      if (block >= end || from[block] !== nowhere) continue;
      from[block] = index;
      at[block] = i;
    }
  }
  return { length, from, at };
}

/** Copies blocks over the base, neighbours in one go. */
function copyBlocks(fd: number, increments: readonly Increment[], sources: Sources, blockSize: number): number {
  const { length, from, at } = sources;
  const most = Math.floor(shared.length / blockSize);
  let copied = 0;
  for (let block = 0; block < length; ) {
    const [index, first] = [from[block] as number, at[block] as number];
    let run = 1;
    if (index !== nowhere) {
      // Beyond the end both are undefined.
      while (run < most && from[block + run] === index && at[block + run] === first + run) run += 1;
      const { fd: source, place, start } = increments[index] as Increment;
      readExactly(source, place, shared.subarray(0, run * blockSize), start + first * blockSize);
      writeFully(fd, shared, 0, run * blockSize, block * blockSize);
      copied += run;
    }
    block += run;
  }
  return copied;
}

/** Blocks that neither an increment nor the base has, where the base's own are not to be seen: the server extended the file and wrote nothing. */
function zeroRest(fd: number, sources: Sources, baseBlocks: number, truncation: number, blockSize: number): void {
  const zeros = Buffer.alloc(blockSize);
  for (let block = Math.min(baseBlocks, truncation); block < sources.length; block++)
    if (sources.from[block] === nowhere) writeFully(fd, zeros, 0, blockSize, block * blockSize);
}

/**
 * Makes a file of a combined cluster out of its newest whole copy, where that lies: only the blocks that newer backups have are written.
 * Byte for byte what pg_combinebackup makes of the same chain (test/integration/physical-merge.test.ts), without a second copy
 * (docs/adr/0014-merge-in-place.md). The copy is used up: a merge that failed half-way begins with a new extraction.
 * @throws Error with the file and the reason; of the system calls
 */
export function mergeIncrements(target: string, job: MergeJob): void {
  const open = new Map<string, number>();
  const opened = (path: string, flags: 'r' | 'r+'): number => {
    const fd = open.get(path) ?? openSync(pathBytes(path), flags);
    open.set(path, fd);
    return fd;
  };
  try {
    const increments = job.increments.map((place) => readIncrement(opened(place.spool, 'r'), place, job));
    mergeInto(opened(target, 'r+'), increments, job.blockSize);
  } finally {
    for (const fd of open.values()) closeSync(fd);
  }
}

function mergeInto(fd: number, increments: readonly Increment[], blockSize: number): void {
  const { truncation } = increments[0] as Increment;
  const sources = chooseSources(increments);
  const { size } = fstatSync(fd);
  const copied = copyBlocks(fd, increments, sources, blockSize);
  if (copied === 0 && truncation * blockSize === size) return;
  zeroRest(fd, sources, Math.floor(size / blockSize), truncation, blockSize);
  ftruncateSync(fd, sources.length * blockSize);
}
