import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LogicalFacts } from '../../../domain/backup.ts';
import { CopyRowCounter, countNewlines } from '../../../providers/postgres/copy-rows.ts';
import { buildMark, parseBuildMark } from '../../../providers/postgres/create-database.ts';
import { CustomStream } from '../../../providers/postgres/custom-stream.ts';
import { splitNameList } from '../../../providers/postgres/database-properties.ts';
import { extractDump } from '../../../providers/postgres/dump-extract.ts';
import { DumpPacker, parsePieceName } from '../../../providers/postgres/dump-packer.ts';
import { parseToc, TocIncomplete } from '../../../providers/postgres/dump-toc.ts';
import { copyMark, parseCopyMark } from '../../../providers/postgres/in-place-marks.ts';
import { assertDatabaseName, fitName, keptName, workingName } from '../../../providers/postgres/in-place-names.ts';
import { parseTableName } from '../../../providers/postgres/logical-only.ts';
import { databaseArgument } from '../../../providers/postgres/logical-tools.ts';
import { tempDir } from '../../support/index.ts';
import { sealedBackup } from '../../support/sealed-backup.ts';

const pieces = (bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] => {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
};

describe('rows', () => {
  test('B10 newlines are counted as one by one, whatever the alignment and length', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(10, 10, 0, 0x8a, 0x0b, 0xff, 97), { maxLength: 3000 }),
        fc.nat(7),
        (values, offset) => {
          const bytes = new Uint8Array(
            new Uint8Array([...new Array<number>(offset).fill(10), ...values]).buffer,
            offset,
          );
          return countNewlines(bytes) === values.filter((value) => value === 10).length;
        },
      ),
      { numRuns: 300 },
    );
    expect(countNewlines(Buffer.alloc(100_000, 10))).toBe(100_000);
  });

  test('B10 whole tables are told from cut ones, in any pieces', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', '', '\\\\.', '\\N\tx'), { maxLength: 30 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.nat(),
        (rows, cuts, cut) => {
          const text = Buffer.from(`${rows.map((row) => `${row}\n`).join('')}\\.\n\n\n`);
          const whole = new CopyRowCounter();
          for (const piece of pieces(text, cuts)) whole.push(piece);
          expect([whole.complete, whole.rows, whole.bytes]).toEqual([true, rows.length, text.length]);
          const part = new CopyRowCounter();
          part.push(text.subarray(0, cut % text.length));
          expect(part.complete).toBe(false);
        },
      ),
    );
    expect(new CopyRowCounter().complete).toBe(false);
  });
});

describe('large tables leave in pieces', () => {
  test('B1 while the file grows; put together again in order', async () => {
    const dir = tempDir('pieces');
    try {
      const directory = join(dir.path, 'dump');
      mkdirSync(directory);
      const content = Buffer.from(
        `${Array.from({ length: 30_000 }, (_, i) => `row ${String(i)}\n`).join('')}\\.\n\n\n`,
      );
      const { reader } = await sealedBackup<LogicalFacts>(
        async (writer) => {
          const packer = new DumpPacker(directory, writer.openStream('dump.tar', 'tar'), { pieceBytes: 8192 });
          let written = 0;
          for (const size of [5000, 20_000, 100_000, 0, content.length]) {
            appendFileSync(join(directory, '7.dat'), content.subarray(written, Math.max(written, size)));
            written = Math.max(written, size);
            while (await packer.packPieces('7.dat', written));
            expect(written - packer.packed('7.dat')).toBeLessThan(8192);
          }
          await packer.packFinal('7.dat');
          expect(packer.done.get('7.dat')?.copy).toMatchObject({ rows: 30_000, complete: true });
          writeFileSync(join(directory, 'toc.dat'), 'toc');
          writeFileSync(join(directory, 'blob_1.dat'), '');
          for (const name of ['toc.dat', 'blob_1.dat']) await packer.packFinal(name);
          await packer.end();
          expect(readdirSync(directory)).toEqual([]);
          return { engine: 'logical' } as LogicalFacts;
        },
        { partBytes: 65_536 },
      );
      const found = await extractDump({
        reader,
        staging: join(dir.path, 'back'),
        wanted: undefined,
        signal: undefined,
        onBytes: () => undefined,
      });
      expect(readdirSync(found).sort()).toEqual(['7.dat', 'blob_1.dat', 'toc.dat']);
      expect(readFileSync(join(found, '7.dat')).equals(content)).toBe(true);
      const some = await extractDump({
        reader,
        staging: join(dir.path, 'some'),
        wanted: new Set(['blob_1.dat']),
        signal: undefined,
        onBytes: () => undefined,
      });
      expect(readdirSync(some).sort()).toEqual(['blob_1.dat', 'toc.dat']);
    } finally {
      await dir.stop();
    }
  });

  test('names of pieces', () => {
    expect(parsePieceName('12.dat.000003')).toEqual({ file: '12.dat', n: 3 });
    expect([parsePieceName('12.dat'), parsePieceName('toc.dat'), parsePieceName('blobs_1.toc')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

/** A table of contents as pg_dump 18 writes it. */
const archive = (): { head: Buffer; blocks: Buffer } => {
  const int = (value: number): Buffer => {
    const bytes = Buffer.alloc(5);
    bytes[0] = value < 0 ? 1 : 0;
    bytes.writeUInt32LE(Math.abs(value), 1);
    return bytes;
  };
  const text = (value: string | null): Buffer =>
    value === null ? int(-1) : Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);
  const entry = (id: number, desc: string, tag: string, data: boolean): Buffer =>
    Buffer.concat([
      int(id),
      int(data ? 1 : 0),
      text('0'),
      text(String(16000 + id)),
      text(tag),
      text(desc),
      int(3),
      text(''),
      text(''),
      text(null),
      text('public'),
      text(''),
      text(''),
      int(0),
      text('me'),
      text('false'),
      text('2'),
      text(null),
      Buffer.from([2]),
      Buffer.alloc(8),
    ]);
  const head = Buffer.concat([
    Buffer.from('PGDMP'),
    Buffer.from([1, 16, 0, 4, 8, 1, 0]),
    ...Array.from({ length: 7 }, () => int(1)),
    text('db'),
    text('18.4'),
    text('18.4'),
    int(3),
    entry(2, 'TABLE', 'a', false),
    entry(3, 'TABLE DATA', 'a', true),
    entry(4, 'BLOBS', 'BLOBS', true),
  ]);
  const chunk = (value: string): Buffer => Buffer.concat([int(value.length), Buffer.from(value)]);
  const blocks = Buffer.concat([
    Buffer.from([1]),
    int(3),
    chunk('1\n2\n3'),
    chunk('\n\\.\n\n\n'),
    int(0),
    Buffer.from([3]),
    int(4),
    int(901),
    chunk('xyz'),
    int(0),
    int(902),
    int(0),
    int(0),
  ]);
  return { head, blocks };
};

describe('archives', () => {
  test('B10 the table of contents; cut anywhere it is incomplete', () => {
    const { head } = archive();
    const toc = parseToc(head);
    expect(toc).toMatchObject({ version: '1.16', format: 'custom', dumpVersion: '18.4', end: head.length });
    expect(toc.entries[1]).toMatchObject({
      dumpId: 3,
      oid: 16003,
      desc: 'TABLE DATA',
      namespace: 'public',
      owner: 'me',
      dependencies: [2],
      hasData: true,
    });
    for (let length = 0; length < head.length; length++)
      expect(() => parseToc(head.subarray(0, length))).toThrow(TocIncomplete);
    expect(() => parseToc(Buffer.from('GARBAGE!'))).toThrow(/PGDMP/);
  });

  test('B10 rows and large objects are counted while a dump passes; only a whole one is complete', () => {
    const { head, blocks } = archive();
    const all = Buffer.concat([head, blocks]);
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
        const stream = new CustomStream();
        for (const piece of pieces(all, cuts)) stream.push(Buffer.from(piece));
        expect([
          stream.complete,
          stream.largeObjects,
          stream.tables.get(3)?.rows,
          stream.tables.get(3)?.complete,
        ]).toEqual([true, 2, 3, true]);
        expect(stream.head.equals(head)).toBe(true);
      }),
    );
    // Between two blocks a cut cannot be seen here: the table of contents then misses its data.
    const between = head.length + blocks.indexOf(Buffer.from([3, 0, 4, 0, 0, 0]));
    for (let length = 0; length < all.length; length++) {
      if (length === head.length || length === between) continue;
      const stream = new CustomStream();
      stream.push(Buffer.from(all.subarray(0, length)));
      expect(stream.complete, `cut at ${String(length)}`).toBe(false);
    }
  });
});

describe('names', () => {
  test('R2 of databases stay within 63 bytes and whole characters', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 80, unit: 'grapheme' }), (base) => {
        const name = fitName(base, '_old');
        return (
          Buffer.byteLength(name) <= 63 &&
          name.endsWith('_old') &&
          base.startsWith(name.slice(0, -4)) &&
          // What a cut character becomes, unless it was there before.
          (base.includes('\uFFFD') || !name.includes('\uFFFD'))
        );
      }),
    );
    expect([keptName('shop'), workingName('shop', 'abc')]).toEqual(['shop_old', 'shop_resurgo_abc']);
  });

  test('R3 a database name that the server would cut is refused', () => {
    for (const good of ['a', 'x'.repeat(63), 'é'.repeat(31), '--help', '../x', 'a\nb']) expect(() => assertDatabaseName(good), good).not.toThrow();
    for (const bad of ['', 'x'.repeat(64), 'é'.repeat(32), 'a\0b'])
      expect(() => assertDatabaseName(bad), bad).toThrow(expect.objectContaining({ code: 'inputInvalid' }));
  });

  test('of tables', () => {
    expect(parseTableName('app.orders')).toEqual({ schema: 'app', name: 'orders' });
    expect(parseTableName('Orders')).toEqual({ schema: 'public', name: 'Orders' });
    expect(parseTableName('"a.b"."c""d\n"')).toEqual({ schema: 'a.b', name: 'c"d\n' });
    for (const bad of ['', 'a.b.c', 'a.', '.a', '"a', 'a"b'])
      expect(() => parseTableName(bad), bad).toThrow(/not a table name/);
  });

  test('in settings and arguments', () => {
    expect(splitNameList(`"$user", public,"a,""b", c`)).toEqual(['$user', 'public', 'a,"b', 'c']);
    expect(splitNameList('')).toEqual([]);
    expect(splitNameList('""')).toEqual(['']);
    expect(databaseArgument(`a'b\\c=d`)).toMatch(/^dbname='a\\'b\\\\c=d' keepalives_idle/);
  });

  test('R3 marks in comments are read back, others are not ours', () => {
    for (const notes of [{}, { comment: `it's {"a"}\nb` }, { partial: true as const }])
      expect(parseBuildMark(buildMark('id1', 'built', notes))).toEqual({ id: 'id1', state: 'built', notes });
    const mark = { kind: 'kept', restore: 'r', database: 'd', at: 'now', comment: 'was {"x"}' } as const;
    expect(parseCopyMark(copyMark(mark))).toEqual(mark);
    for (const other of [
      null,
      undefined,
      '',
      'resurgo: kept',
      'resurgo: {}',
      'my database',
      'resurgo: restore x, half',
    ])
      expect([parseCopyMark(other), parseBuildMark(other)]).toEqual([undefined, undefined]);
  });
});
