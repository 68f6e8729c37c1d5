import { CopyRowCounter } from './copy-rows.ts';
import { parseToc, TocIncomplete, type DumpToc } from './dump-toc.ts';
import { ResurgoError } from '../../domain/errors.ts';

const dataBlock = 1;
const blobsBlock = 3;

/**
 * Reads along while a custom-format dump passes (`pg_dump -Fc -Z0` to a pipe): its table of contents first, then for every table
 * the same count of rows that a directory dump gets. A stream that ends anywhere but after a block was cut.
 */
export class CustomStream {
  toc: DumpToc | undefined;
  /** The bytes of the table of contents, which pg_restore can list. */
  head = Buffer.alloc(0);
  /** By dump id. */
  readonly tables = new Map<number, CopyRowCounter>();
  largeObjects = 0;
  #state: 'block' | 'chunk' | 'object' | 'bytes' = 'block';
  #inBlobs = false;
  #counter: CopyRowCounter | undefined;
  /** Bytes left of the chunk that passes. */
  #left = 0;
  /** A number or tag that is split over two pieces of the stream. */
  #rest = Buffer.alloc(0);
  #intBytes = 5;

  push(piece: Buffer): void {
    let bytes = piece;
    if (this.toc === undefined) {
      this.head = Buffer.concat([this.head, piece]);
      try {
        this.toc = parseToc(this.head);
      } catch (error) {
        if (error instanceof TocIncomplete) return;
        throw error;
      }
      this.#intBytes = 1 + (this.head[8] as number);
      bytes = this.head.subarray(this.toc.end);
      this.head = Buffer.from(this.head.subarray(0, this.toc.end));
    }
    for (let at = 0; at < bytes.length;) {
      if (this.#state === 'bytes') {
        const length = Math.min(this.#left, bytes.length - at);
        this.#counter?.push(bytes.subarray(at, at + length));
        at += length;
        this.#left -= length;
        if (this.#left === 0) this.#state = 'chunk';
        continue;
      }
      const wanted = this.#state === 'block' ? 1 + this.#intBytes : this.#intBytes;
      const taken = Math.min(wanted - this.#rest.length, bytes.length - at);
      const word = Buffer.concat([this.#rest, bytes.subarray(at, at + taken)]);
      at += taken;
      this.#rest = word.length < wanted ? word : Buffer.alloc(0);
      if (word.length === wanted) this.#word(word);
    }
  }

  /** Whether the stream ended where it may. */
  get complete(): boolean {
    return this.toc !== undefined && this.#state === 'block' && this.#rest.length === 0;
  }

  #word(word: Buffer): void {
    const number = word.readUIntLE(word.length - this.#intBytes + 1, this.#intBytes - 1);
    if (this.#state === 'block') {
      this.#inBlobs = word[0] === blobsBlock;
      if (!this.#inBlobs && word[0] !== dataBlock)
        throw new ResurgoError('dumpFailed', `pg_dump's output has a block of unknown kind ${String(word[0])}`);
      this.#counter = this.#inBlobs ? undefined : new CopyRowCounter();
      if (this.#counter !== undefined) this.tables.set(number, this.#counter);
      this.#state = this.#inBlobs ? 'object' : 'chunk';
    } else if (this.#state === 'object') {
      // Oid of the next large object, or 0 after the last.
      if (number === 0) this.#state = 'block';
      else {
        this.largeObjects++;
        this.#state = 'chunk';
      }
    } else if (number === 0) {
      this.#state = this.#inBlobs ? 'object' : 'block';
    } else {
      this.#left = number;
      this.#state = 'bytes';
    }
  }
}
