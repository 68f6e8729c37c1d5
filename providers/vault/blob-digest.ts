import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';

/** SHA-256 of a blob stream against the index, as its bytes pass; streams without one pass unlooked at. */
export class BlobDigest {
  readonly #stream: StreamRecord;
  readonly #hash: Hash | undefined;

  constructor(stream: StreamRecord) {
    this.#stream = stream;
    this.#hash = stream.sha256 === undefined ? undefined : createHash('sha256');
  }

  write(chunk: Uint8Array): void {
    this.#hash?.update(chunk);
  }

  /** @throws contentMismatch */
  end(): void {
    const found = this.#hash?.digest('hex');
    if (found !== this.#stream.sha256)
      throw new ResurgoError(
        'contentMismatch',
        `stream ${this.#stream.name}: SHA-256 is ${String(found)}, the index says ${String(this.#stream.sha256)}`,
      );
  }
}
