import { join } from 'node:path';
import type { PlannedEntry } from './extract-plan.ts';
import { crc32cCombine } from './crc32c.ts';
import type { Extent } from './write-extents.ts';

interface Piece {
  readonly at: number;
  readonly bytes: number;
  readonly crc: number;
}

/** Puts the checksums of files together from those of their extents, which several threads finish in any order. */
export class FileSums {
  readonly #pieces = new Map<string, Piece[]>();

  add(extents: readonly Extent[], crcs: readonly number[]): void {
    for (const [i, { path, at, bytes }] of extents.entries()) {
      const pieces = this.#pieces.get(path) ?? [];
      pieces.push({ at, bytes, crc: crcs[i] ?? 0 });
      this.#pieces.set(path, pieces);
    }
  }

  /** CRC-32C of every file, by its path below `destination`. */
  finish(destination: string, files: readonly PlannedEntry[]): Map<string, number> {
    return new Map(
      files.map(({ path }) => {
        const pieces = (this.#pieces.get(join(destination, path)) ?? []).toSorted((a, b) => a.at - b.at);
        return [path, pieces.reduce((sum, { crc, bytes }) => crc32cCombine(sum, crc, bytes), 0)];
      }),
    );
  }
}
