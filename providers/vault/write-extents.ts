import { closeSync, constants, fchmodSync, fstatSync, openSync, writeSync } from 'node:fs';
import type { PathLike } from 'node:fs';
import { crc32c } from './crc32c.ts';
import { pathBytes } from './tar-path.ts';

/** A run of a part's plain bytes that belongs into one file. */
export interface Extent {
  /** Absolute. */
  readonly path: string;
  /** Where the run begins in the plain bytes of the part. */
  readonly from: number;
  readonly bytes: number;
  /** Where it goes in the file. */
  readonly at: number;
  /** Set when the file lies whole in this part: it is created here, and must not exist. Otherwise it was created before. */
  readonly create?: { readonly mode: number };
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/** Creates a new file with exactly this mode, never through a symbolic link. */
export function createFile(path: PathLike, mode: number): number {
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  // The umask may have taken bits away.
  if ((fstatSync(fd).mode & 0o777) !== mode) fchmodSync(fd, mode);
  return fd;
}

/** Summed and written at once: small enough to stay in the second-level cache. */
const stepBytes = 256 * 1024;

/** Writes each run to its file, synchronously: meant for a worker thread. Returns their CRC-32C where that is asked for. */
export function writeExtents(plain: Uint8Array, extents: readonly Extent[], wantCrc = false): number[] | undefined {
  const sums: number[] = [];
  // Runs of one file follow each other: it is opened once.
  let open: { readonly path: string; readonly fd: number } | undefined;
  try {
    for (const extent of extents) {
      if (open !== undefined && (open.path !== extent.path || extent.create !== undefined)) {
        closeSync(open.fd);
        open = undefined;
      }
      open ??= { path: extent.path, fd: openExtent(extent) };
      sums.push(writeExtent(open.fd, plain, extent, wantCrc));
    }
  } finally {
    if (open !== undefined) closeSync(open.fd);
  }
  return wantCrc ? sums : undefined;
}

function openExtent({ path, create }: Extent): number {
  return create === undefined
    ? openSync(pathBytes(path), O_WRONLY | O_NOFOLLOW)
    : createFile(pathBytes(path), create.mode);
}

/** @returns its CRC-32C, or 0 when that is not asked for */
function writeExtent(fd: number, plain: Uint8Array, extent: Extent, wantCrc: boolean): number {
  let crc = 0;
  for (let done = 0; done < extent.bytes;) {
    const step = wantCrc ? Math.min(stepBytes, extent.bytes - done) : extent.bytes - done;
    const from = extent.from + done;
    if (wantCrc) crc = crc32c(plain.subarray(from, from + step), crc);
    writeFully(fd, plain, from, step, extent.at + done);
    done += step;
  }
  return crc;
}

/** Writes all of a run, however little each call of the system takes. */
export function writeFully(fd: number, bytes: Uint8Array, from: number, length: number, at: number): void {
  for (let done = 0; done < length;) done += writeSync(fd, bytes, from + done, length - done, at + done);
}
