import type { PlannedEntry, PlannedExtent } from './extract-plan.ts';
import { crc32cCombine } from './crc32c.ts';

interface Piece {
  readonly at: number;
  readonly bytes: number;
  readonly crc: number;
}

/** Puts the checksums of files together from those of their extents, which several threads finish in any order. */
export class FileSums {
  readonly #pieces = new Map<PlannedEntry, Piece[]>();

  add(extents: readonly PlannedExtent[], crcs: readonly number[]): void {
    for (const [i, { entry, extent }] of extents.entries()) {
      const pieces = this.#pieces.get(entry) ?? [];
      pieces.push({ at: extent.at, bytes: extent.bytes, crc: crcs[i] ?? 0 });
      this.#pieces.set(entry, pieces);
    }
  }

  /** CRC-32C of every file, by its path below the destination. */
  finish(files: readonly PlannedEntry[]): Map<string, number> {
    return new Map(
      files.map((entry) => {
        const pieces = (this.#pieces.get(entry) ?? []).toSorted((a, b) => a.at - b.at);
        return [entry.path, pieces.reduce((sum, { crc, bytes }) => crc32cCombine(sum, crc, bytes), 0)];
      }),
    );
  }
}
