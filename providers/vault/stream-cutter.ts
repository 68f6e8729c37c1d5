import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { SealingLine } from './sealing-line.ts';
import { TarIndexer } from './tar-index.ts';

/** Cuts one stream into parts. */
export class StreamCutter {
  readonly name: string;
  readonly #line: SealingLine;
  readonly #tar: TarIndexer | undefined;
  readonly #hash: Hash | undefined;
  #bytes = 0;
  #slot: Uint8Array | undefined;
  #filled = 0;
  /** Where the part being filled begins in the stream. */
  #partOffset = 0;
  #partBytes = 0;
  /** Copies of bytes that came while all buffers were in use. */
  #backlog: Uint8Array[] = [];
  #flushing: Promise<void> | undefined;
  #ended = false;

  constructor(name: string, kind: 'tar' | 'blob', line: SealingLine) {
    this.name = name;
    this.#line = line;
    if (kind === 'tar') this.#tar = new TarIndexer(name);
    else this.#hash = createHash('sha256');
  }

  /** Takes a copy; a promise asks to wait. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#line.assertAlive();
    if (this.#ended) throw new ResurgoError('bug', `stream ${this.name} written after its end`);
    this.#bytes += chunk.length;
    try {
      this.#tar?.write(chunk);
    } catch (error) {
      this.#line.fail(error);
      throw error;
    }
    this.#hash?.update(chunk);
    if (this.#flushing !== undefined) {
      this.#backlog.push(Uint8Array.prototype.slice.call(chunk));
      return this.#flushing;
    }
    const taken = this.#fill(chunk);
    if (taken === chunk.length) return undefined;
    this.#backlog.push(Uint8Array.prototype.slice.call(chunk, taken));
    this.#flushing = this.#flush();
    // Whoever does not wait meets the error at the next write.
    this.#flushing.catch(() => undefined);
    return this.#flushing;
  }

  async end(): Promise<StreamRecord> {
    this.#ended = true;
    if (this.#flushing !== undefined) await this.#flushing;
    this.#line.assertAlive();
    try {
      this.#tar?.end();
    } catch (error) {
      this.#line.fail(error);
      throw error;
    }
    this.#submit();
    return {
      name: this.name,
      kind: this.#tar === undefined ? 'blob' : 'tar',
      bytes: this.#bytes,
      ...(this.#hash === undefined ? {} : { sha256: this.#hash.digest('hex') }),
      ...(this.#tar === undefined ? {} : { files: this.#tar.files }),
    };
  }

  /** Ends it wherever it is; what there is of it counts as a blob, without a digest of the whole where it was to be a tar. */
  async abandon(): Promise<StreamRecord> {
    this.#ended = true;
    if (this.#flushing !== undefined) await this.#flushing;
    this.#line.assertAlive();
    this.#submit();
    return { name: this.name, kind: 'blob', bytes: this.#bytes, ...(this.#hash === undefined ? {} : { sha256: this.#hash.digest('hex') }) };
  }

  /** Copies into part buffers until the chunk ends or there is no free buffer; how many bytes went in. */
  #fill(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#slot === undefined) {
        const partBytes = this.#line.partBytes;
        const slot = this.#line.take();
        if (slot === undefined) return at;
        this.#slot = new Uint8Array(slot);
        this.#partBytes = partBytes;
        this.#filled = 0;
      }
      const step = Math.min(chunk.length - at, this.#partBytes - this.#filled);
      this.#slot.set(at === 0 && step === chunk.length ? chunk : chunk.subarray(at, at + step), this.#filled);
      this.#filled += step;
      at += step;
      if (this.#filled === this.#partBytes) this.#submit();
    }
    return at;
  }

  async #flush(): Promise<void> {
    for (let chunk = this.#backlog.shift(); chunk !== undefined; chunk = this.#backlog.shift()) {
      for (let at = this.#fill(chunk); at < chunk.length; at += this.#fill(chunk.subarray(at)))
        await this.#line.ready();
    }
    this.#flushing = undefined;
  }

  #submit(): void {
    if (this.#slot === undefined) return;
    const slot = this.#slot.buffer as ArrayBuffer;
    this.#slot = undefined;
    this.#line.submit(slot, { stream: this.name, offset: this.#partOffset, plainBytes: this.#filled });
    this.#partOffset += this.#filled;
  }
}
