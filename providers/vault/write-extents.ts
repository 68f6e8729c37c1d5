import { closeSync, constants, fchmodSync, fstatSync, openSync, writeSync } from 'node:fs';
import type { PathLike } from 'node:fs';
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

/** Writes each run to its file, synchronously: meant for a worker thread. */
export function writeExtents(plain: Uint8Array, extents: readonly Extent[]): void {
  for (const extent of extents) {
    const path = pathBytes(extent.path);
    const fd =
      extent.create === undefined ? openSync(path, O_WRONLY | O_NOFOLLOW) : createFile(path, extent.create.mode);
    try {
      for (let done = 0; done < extent.bytes;)
        done += writeSync(fd, plain, extent.from + done, extent.bytes - done, extent.at + done);
    } finally {
      closeSync(fd);
    }
  }
}
