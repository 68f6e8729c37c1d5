const newline = 10;

/** Newline bytes in a buffer, four bytes at a step (about three times as fast as one by one). */
export const countNewlines = (bytes: Uint8Array): number => {
  let count = 0;
  let at = 0;
  const step = (end: number): void => {
    for (; at < end; at++) if (bytes[at] === newline) count++;
  };
  step(Math.min(bytes.length, (4 - (bytes.byteOffset & 3)) & 3));
  if (bytes.length - at < 4) {
    step(bytes.length);
    return count;
  }
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, (bytes.length - at) >>> 2);
  for (let i = 0; i < words.length;) {
    let lanes = 0; // Four counters of eight bits: at most 255 rounds before they are emptied.
    for (const end = Math.min(words.length, i + 255); i < end; i++) {
      const x = (words[i] as number) ^ 0x0a0a0a0a;
      lanes = (lanes + ((~(((x & 0x7f7f7f7f) + 0x7f7f7f7f) | x | 0x7f7f7f7f) >>> 7) & 0x01010101)) | 0;
    }
    count += (lanes & 255) + ((lanes >>> 8) & 255) + ((lanes >>> 16) & 255) + (lanes >>> 24);
  }
  at += words.length * 4;
  step(bytes.length);
  return count;
};

const terminator = Buffer.from('\\.\n\n\n');

/**
 * Counts the rows of a table's COPY text as pg_dump writes it: one line a row (newlines in values are escaped), then `\.` and two
 * empty lines. The same code path sees every byte that is sealed, so the counts are of what was backed up.
 */
export class CopyRowCounter {
  #newlines = 0;
  #bytes = 0;
  #tail = Buffer.alloc(0);

  push(chunk: Uint8Array): void {
    this.#newlines += countNewlines(chunk);
    this.#bytes += chunk.length;
    this.#tail = chunk.length >= 6 ? Buffer.from(chunk.subarray(-6)) : Buffer.concat([this.#tail, chunk]).subarray(-6);
  }

  /** Bytes seen, the terminator included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the text ends as a whole table ends; a text cut short does not. */
  get complete(): boolean {
    return this.#tail.subarray(-5).equals(terminator) && (this.#tail.length === 5 || this.#tail[0] === newline);
  }

  /** Rows; meaningful only when {@link complete}. */
  get rows(): number {
    return this.#newlines - 3;
  }
}
