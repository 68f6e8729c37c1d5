import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { StreamSink } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { punchHole } from '../host/space.ts';
import { tarEnd, tarHeader, tarPadding } from '../vault/tar-write.ts';
import { CopyRowCounter } from './copy-rows.ts';

/** A large table leaves staging in pieces of this size while pg_dump is still writing it. */
export const defaultPieceBytes = 64 * 1024 * 1024;

const smallBytes = 64 * 1024;
/** Disk space of packed small files that are kept until they are deleted together. */
const leftLimit = 128 * 1024 * 1024;

/** Name of a piece: `3324.dat.000001`. `cat 3324.dat.0* > 3324.dat` makes the file again. */
export const pieceName = (file: string, n: number): string => `${file}.${String(n).padStart(6, '0')}`;

/** The file a piece belongs to, and its number from 1; undefined for a file that is whole. */
export const parsePieceName = (path: string): { file: string; n: number } | undefined => {
  const match = /^(.+\.dat)\.(\d{6,})$/.exec(path);
  return match === null ? undefined : { file: match[1] as string, n: Number(match[2]) };
};

export interface PackedFile {
  readonly bytes: number;
  /** For table data: counted while it was packed. */
  readonly copy: CopyRowCounter | undefined;
}

interface Progress {
  packed: number;
  pieces: number;
  handle: FileHandle;
  readonly copy: CopyRowCounter | undefined;
}

/** Moves the files of a dump directory into a tar stream, deleting them as they go. One file, or piece of one, at a time. */
export class DumpPacker {
  readonly done = new Map<string, PackedFile>();
  /** Content of the lists of large objects (`blobs_*.toc`), kept while they pass. */
  readonly lists = new Map<string, string>();
  /** Plain bytes moved, for progress. */
  bytes = 0;
  entries = 0;
  readonly #directory: string;
  readonly #sink: StreamSink;
  readonly #signal: AbortSignal | undefined;
  readonly #pieceBytes: number;
  readonly #started = new Map<string, Progress>();
  readonly #buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  /** Packed, and still to be deleted. */
  #left: string[] = [];
  #leftBytes = 0;
  /** Whether space already packed can be given back inside a file that still grows. */
  #canPunch: boolean | undefined;

  constructor(
    directory: string,
    sink: StreamSink,
    options: { signal?: AbortSignal | undefined; pieceBytes?: number | undefined } = {},
  ) {
    this.#directory = directory;
    this.#sink = sink;
    this.#signal = options.signal;
    this.#pieceBytes = options.pieceBytes ?? defaultPieceBytes;
  }

  /** Bytes of this file that left staging already. */
  packed(name: string): number {
    return this.#started.get(name)?.packed ?? 0;
  }

  /** Packs what a growing file has in whole pieces. Returns whether there was any. */
  async packPieces(name: string, size: number): Promise<boolean> {
    if (size - this.packed(name) < this.#pieceBytes) return false;
    const progress = await this.#begin(name);
    await this.#entry(name, progress, this.#pieceBytes, true);
    await this.#punch(name, progress.packed);
    return true;
  }

  /** Packs the rest of a file nobody writes to any more, and deletes it. */
  async packFinal(name: string): Promise<void> {
    if (!this.#started.has(name) && (await this.#packSmall(name))) return;
    const progress = await this.#begin(name);
    const { size } = await progress.handle.stat();
    while (progress.pieces > 0 && size - progress.packed > this.#pieceBytes)
      await this.#entry(name, progress, this.#pieceBytes, true);
    if (size > progress.packed || progress.pieces === 0)
      await this.#entry(name, progress, size - progress.packed, progress.pieces > 0);
    const after = (await progress.handle.stat()).size;
    await progress.handle.close();
    this.#started.delete(name);
    if (after !== size)
      throw new ResurgoError(
        'dumpFailed',
        `${name} of the dump grew from ${String(size)} to ${String(after)} bytes after it was thought complete`,
      );
    this.done.set(name, { bytes: size, copy: progress.copy });
    await rm(join(this.#directory, name));
  }

  /** Tables and large objects come by the ten thousand: a small file costs four system calls, and no trip to the thread pool. */
  async #packSmall(name: string): Promise<boolean> {
    const path = join(this.#directory, name);
    const fd = openSync(path, 'r');
    let bytes: number;
    try {
      if (fstatSync(fd).size > smallBytes) return false;
      bytes = readSync(fd, this.#buffer, 0, smallBytes + 1, 0);
    } finally {
      closeSync(fd);
    }
    if (bytes > smallBytes) return false; // It still grew: whatever this is, it is looked at closely.
    this.#signal?.throwIfAborted();
    const content = this.#buffer.subarray(0, bytes);
    const copy = this.#look(name, content, this.#counter(name));
    this.entries++;
    this.bytes += bytes;
    for (const chunk of [this.#header(name, bytes), content, tarPadding(bytes)]) {
      const pending = this.#sink.write(chunk);
      if (pending !== undefined) await pending;
    }
    this.done.set(name, { bytes, copy });
    this.#leave(path, bytes);
    return true;
  }

  /**
   * Small files are deleted in bulk: ext4 does not use the inodes of files deleted in the last seconds again, and searches past all of
   * them whenever pg_dump makes a file (20,000 large objects took 31 s instead of 9).
   */
  #leave(path: string, bytes: number): void {
    this.#left.push(path);
    this.#leftBytes += Math.max(bytes, 4096);
    if (this.#leftBytes > leftLimit) this.#sweep();
  }

  #sweep(): void {
    for (const path of this.#left) unlinkSync(path);
    this.#left = [];
    this.#leftBytes = 0;
  }

  #counter(name: string): CopyRowCounter | undefined {
    return /^\d+\.dat$/.test(name) ? new CopyRowCounter() : undefined;
  }

  #header(path: string, size: number): Buffer {
    return tarHeader({ path, size, mtime: Math.floor(Date.now() / 1000) });
  }

  /** Reads along with what is packed. */
  #look(name: string, chunk: Buffer, copy: CopyRowCounter | undefined): CopyRowCounter | undefined {
    copy?.push(chunk);
    if (/^blobs.*\.toc$/.test(name)) this.lists.set(name, (this.lists.get(name) ?? '') + chunk.toString('latin1'));
    return copy;
  }

  /** Ends the archive. */
  async end(): Promise<void> {
    this.#sweep();
    await this.#sink.write(tarEnd());
    await this.#sink.end();
  }

  /** Closes what is open; for the way out after a failure. */
  async close(): Promise<void> {
    for (const { handle } of this.#started.values()) await handle.close().catch(() => undefined);
    this.#started.clear();
  }

  async #begin(name: string): Promise<Progress> {
    const known = this.#started.get(name);
    if (known !== undefined) return known;
    const handle = await open(join(this.#directory, name), 'r');
    const begun = { packed: 0, pieces: 0, handle, copy: this.#counter(name) };
    this.#started.set(name, begun);
    return begun;
  }

  async #entry(name: string, progress: Progress, length: number, isPiece: boolean): Promise<void> {
    if (isPiece) progress.pieces++;
    this.entries++;
    await this.#sink.write(this.#header(isPiece ? pieceName(name, progress.pieces) : name, length));
    for (let left = length; left > 0;) {
      this.#signal?.throwIfAborted();
      const { bytesRead } = await progress.handle.read(
        this.#buffer,
        0,
        Math.min(left, this.#buffer.length),
        progress.packed,
      );
      if (bytesRead === 0)
        throw new ResurgoError(
          'dumpFailed',
          `${name} of the dump ended ${String(left)} bytes before the size it had; was it changed in staging?`,
        );
      const chunk = this.#buffer.subarray(0, bytesRead);
      this.#look(name, chunk, progress.copy);
      const pending = this.#sink.write(chunk);
      if (pending !== undefined) await pending;
      left -= bytesRead;
      progress.packed += bytesRead;
      this.bytes += bytesRead;
    }
    await this.#sink.write(tarPadding(length));
  }

  /** Gives the packed head of a growing file back to the file system, where that can be done. */
  async #punch(name: string, upTo: number): Promise<void> {
    if (this.#canPunch === false) return;
    try {
      await punchHole(join(this.#directory, name), upTo - this.#pieceBytes, this.#pieceBytes);
      this.#canPunch = true;
    } catch {
      this.#canPunch = false; // Only costs space, which was checked.
    }
  }
}
