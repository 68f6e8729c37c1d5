import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const bufferBytes = 1024 * 1024;

/** Writes lines (or other ended records) to a new file, a megabyte at a time. Synchronous: it is never far from the page cache. */
export class LineWriter {
  readonly #fd: number;
  readonly #end: string;
  /** Text by the megabyte, for one conversion is quicker than thousands; bytes that are no text between. */
  #pending: (string | Buffer)[] = [];
  #text = '';
  #length = 0;
  lines = 0;

  constructor(path: string, end = '\n') {
    this.#fd = openSync(path, 'w', 0o600);
    this.#end = end;
  }

  add(line: string | Buffer): void {
    if (typeof line === 'string') this.#text += line + this.#end;
    else {
      this.#pending.push(this.#text, line);
      this.#text = this.#end;
    }
    this.#length += line.length + 1;
    this.lines++;
    if (this.#length >= bufferBytes) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #flush(): void {
    const bytes = Buffer.concat([...this.#pending, this.#text].map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
    this.#pending = [];
    this.#text = '';
    this.#length = 0;
  }
}

/** The lines of a file, in the memory of a buffer. */
export function* readLines(path: string): Generator<string> {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(bufferBytes);
    let rest = Buffer.alloc(0);
    for (;;) {
      const read = readSync(fd, buffer);
      if (read === 0) break;
      const text = Buffer.concat([rest, buffer.subarray(0, read)]);
      const last = text.lastIndexOf(0x0a);
      rest = Buffer.from(text.subarray(last + 1));
      if (last >= 0) yield* text.toString('utf8', 0, last).split('\n');
    }
    if (rest.length > 0) yield rest.toString('utf8');
  } finally {
    closeSync(fd);
  }
}
