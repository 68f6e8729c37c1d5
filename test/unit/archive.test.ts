import { describe, expect, test } from 'vitest';
import { archivedTarget, archiveName, inRanges, toRanges } from '../../domain/archive.ts';
import { assertVersions, versionDistance } from '../../domain/dataset.ts';
import { formatCopyLine, formatCsvLine, formatJsonLine, linesOf, parseCopyLine, timeOf } from '../../providers/archive/copy-values.ts';
import { formatKeys, parseKeys } from '../../providers/archive/row-keys.ts';

describe('B14 what an archive is written with', () => {
  test('values survive COPY text, whatever is in them', () => {
    const values = [null, '', '\\N', '\\', 'a\tb\nc\rd', '\\t', 'é日', '\b\f\v', 'x\\'];
    expect(parseCopyLine(formatCopyLine(values).slice(0, -1))).toEqual(values);
    expect(parseCopyLine('\\101\\x41\\q')).toEqual(['AAq']);
  });

  test('CSV quotes what it must and tells NULL from empty; JSON keeps every digit', () => {
    expect(formatCsvLine(['a"b', null, '', 'x,y', 'l\nm', 'plain'])).toBe('"a""b",,"","x,y","l\nm",plain\n');
    const columns = [['n', 'numeric(30,2)'], ['i', 'bigint'], ['b', 'boolean'], ['j', 'jsonb'], ['f', 'double precision'], ['t', 'text']].map(([name = '', type = '']) => ({ name, type }));
    expect(formatJsonLine(columns, ['12345678901234567890.10', '9007199254740993', 't', '{"a":[1]}', 'NaN', null])).toBe('{"n":12345678901234567890.10,"i":9007199254740993,"b":true,"j":{"a":[1]},"f":"NaN","t":null}\n');
  });

  test('times as the server writes them', () => {
    expect(timeOf('2026-01-02 03:04:05.678901+00')).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
    expect(timeOf('2026-01-02')).toBe(Date.UTC(2026, 0, 2));
    expect([timeOf('infinity'), timeOf('-infinity'), timeOf('0044-03-15 BC'), timeOf('12026-01-01'), timeOf(null), timeOf('soon')]).toEqual([Infinity, -Infinity, -Infinity, Infinity, undefined, undefined]);
  });

  test('lines are whole wherever the stream is cut', async () => {
    const bytes = Buffer.from('a\té\n\nlonger line\n');
    for (let at = 0; at <= bytes.length; at++) {
      const lines: string[] = [];
      for await (const line of linesOf((async function* () { yield bytes.subarray(0, at); yield bytes.subarray(at); })())) lines.push(line);
      expect(lines).toEqual(['a\té', '', 'longer line']);
    }
  });

  test('ranges, keys and names', () => {
    const ranges = toRanges([5, 1, 2, 3, 9]);
    expect(ranges).toEqual([[1, 3], [5, 5], [9, 9]]);
    expect([0, 1, 3, 4, 5, 8, 9, 10].map((n) => inRanges(ranges, n))).toEqual([false, true, true, false, true, false, true, false]);
    const keys = [{ ctid: '(0,1)', xmin: '731', digest: 'a'.repeat(32) }, { ctid: '(12,3)', xmin: '4294967295', digest: '0'.repeat(32) }];
    expect(parseKeys(formatKeys(keys), 2)).toEqual(keys);
    expect(() => parseKeys(formatKeys(keys), 3)).toThrow(expect.objectContaining({ code: 'contentMismatch' }));
    expect([archivedTarget(archiveName('orders')), archivedTarget('orders'), archivedTarget('.archive')]).toEqual(['orders', undefined, undefined]);
  });
});

test('B6 schema versions: the leading number, either way', () => {
  expect([['3', '4'], ['3', '2.9'], ['v3.1', '3-beta'], ['2026-05', '2028'], ['a', 'a'], ['a', 'b'], ['3', 'a']].map(([a = '', b = '']) => versionDistance(a, b))).toEqual([1, 1, 0, 2, 0, Infinity, Infinity]);
  expect(() => { assertVersions('s', '5', '3', 1); }).toThrow(expect.objectContaining({ code: 'schemaVersion' }));
  expect(() => { assertVersions('s', '5', '3', 2); }).not.toThrow();
});
