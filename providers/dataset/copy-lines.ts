import { countNewlines } from '../postgres/copy-rows.ts';

const newline = 10;

/** Counts the rows of COPY text: a line each, newlines in values are escaped. */
export class CopyLines {
  #rows = 0;
  #bytes = 0;
  #last = newline;

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#rows += countNewlines(chunk);
    this.#bytes += chunk.length;
    this.#last = chunk[chunk.length - 1] as number;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether it ends where a row ends. */
  get whole(): boolean {
    return this.#last === newline;
  }
}
