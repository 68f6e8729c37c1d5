import { ResurgoError } from '../../domain/errors.ts';

/** One entry of a pg_dump table of contents. Texts are in the encoding of the dumped database, kept here byte for byte as latin1. */
export interface TocEntry {
  readonly dumpId: number;
  /** Catalogue and object; for TABLE DATA the object is the table. */
  readonly tableOid: number;
  readonly oid: number;
  readonly tag: string;
  /** `TABLE`, `TABLE DATA`, `INDEX` … */
  readonly desc: string;
  readonly namespace: string | undefined;
  readonly tablespace: string | undefined;
  readonly owner: string | undefined;
  readonly dependencies: readonly number[];
  /** Whether the entry has data of its own in the archive. */
  readonly hasData: boolean;
  /** Name of its data file; directory format only. */
  readonly file: string | undefined;
}

export interface DumpToc {
  /** Archive format, for example 1.16. */
  readonly version: string;
  readonly format: 'custom' | 'directory';
  readonly serverVersion: string;
  readonly dumpVersion: string;
  readonly entries: readonly TocEntry[];
  /** Where the TOC ends; in custom format the data begins here. */
  readonly end: number;
}

/** More bytes are needed: the buffer ends inside the TOC. */
export class TocIncomplete extends Error {}

class TocReader {
  at = 0;
  intSize = 4;
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(count: number): Buffer {
    if (this.at + count > this.#bytes.length) throw new TocIncomplete();
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }
  byte(): number {
    return this.take(1)[0] as number;
  }
  /** A sign byte, then the magnitude, least significant byte first. */
  int(): number {
    const sign = this.byte();
    const value = this.take(this.intSize).readUIntLE(0, Math.min(this.intSize, 6));
    return sign === 0 ? value : -value;
  }
  text(): string | undefined {
    const length = this.int();
    return length < 0 ? undefined : this.take(length).toString('latin1');
  }
}

const damaged = (what: string): ResurgoError =>
  new ResurgoError('dumpFailed', `The dump's table of contents is damaged: ${what}`);

/**
 * Reads `toc.dat` of a directory dump, or the head of a custom-format dump (formats 1.12 to 1.16: pg_dump 9.1 to 18).
 * @throws TocIncomplete when the bytes end too early
 * @throws dumpFailed when they are no TOC, or of an unknown format
 */
export const parseToc = (bytes: Buffer): DumpToc => {
  const reader = new TocReader(bytes);
  if (reader.take(5).toString('latin1') !== 'PGDMP') throw damaged('it does not begin with PGDMP');
  const [major, minor] = [reader.byte(), reader.byte()];
  reader.byte();
  if (major !== 1 || minor < 12) throw damaged(`format ${String(major)}.${String(minor)} is not known`);
  if (minor > 16)
    throw new ResurgoError(
      'toolVersion',
      `pg_dump wrote archive format ${String(major)}.${String(minor)}; 1.16 is the newest that is known`,
    );
  reader.intSize = reader.byte();
  const offsetSize = reader.byte();
  const formatCode = reader.byte();
  const format = formatCode === 1 ? 'custom' : formatCode === 5 || formatCode === 3 ? 'directory' : undefined;
  if (format === undefined) throw damaged(`archive type ${String(formatCode)} is not known`);
  if (minor >= 15) reader.byte();
  else reader.int();
  for (let i = 0; i < 7; i++) reader.int();
  reader.text();
  const serverVersion = reader.text() ?? '';
  const dumpVersion = reader.text() ?? '';
  const count = reader.int();
  const entries: TocEntry[] = [];
  for (let i = 0; i < count; i++) {
    const dumpId = reader.int();
    const hasData = reader.int() !== 0;
    const tableOid = Number(reader.text());
    const oid = Number(reader.text());
    const tag = reader.text() ?? '';
    const desc = reader.text() ?? '';
    reader.int(); // Section.
    for (let skipped = 0; skipped < 3; skipped++) reader.text(); // Definition, drop, copy statement.
    const namespace = reader.text();
    const tablespace = reader.text();
    if (minor >= 14) reader.text(); // Table access method.
    if (minor >= 16) reader.int(); // Kind of relation.
    const owner = reader.text();
    reader.text(); // WITH OIDS of old.
    const dependencies: number[] = [];
    for (let dependency = reader.text(); dependency !== undefined; dependency = reader.text())
      dependencies.push(Number(dependency));
    let file: string | undefined;
    if (format === 'directory') file = reader.text() || undefined;
    else reader.take(1 + offsetSize);
    entries.push({
      dumpId,
      tableOid,
      oid,
      tag,
      desc,
      namespace: namespace || undefined,
      tablespace: tablespace || undefined,
      owner: owner || undefined,
      dependencies,
      hasData,
      file,
    });
  }
  return { version: `${String(major)}.${String(minor)}`, format, serverVersion, dumpVersion, entries, end: reader.at };
};
