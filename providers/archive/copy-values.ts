/** COPY text as values, and values as CSV and JSON. */
import type { ColumnFacts } from '../../domain/dataset.ts';

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Values of one line of COPY text (without its line feed); null for `\N`. */
export function parseCopyLine(line: string): (string | null)[] {
  return line.split('\t').map((field) => {
    if (field === '\\N') return null;
    return field.includes('\\') ? field.replaceAll(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|[^])/g, (_, what: string) => {
      if (/^x/.test(what) && what.length > 1) return String.fromCharCode(parseInt(what.slice(1), 16));
      if (/^[0-7]/.test(what)) return String.fromCharCode(parseInt(what, 8));
      return escapes[what] ?? what;
    }) : field;
  });
}

const backslashed: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\b': '\\b', '\f': '\\f', '\v': '\\v' };
export const formatCopyLine = (values: readonly (string | null)[]): string =>
  `${values.map((value) => (value === null ? '\\N' : value.replaceAll(/[\\\n\r\t\b\f\v]/g, (char) => backslashed[char] ?? char))).join('\t')}\n`;

/** RFC 4180; NULL is empty, an empty text is "". */
export const formatCsvLine = (values: readonly (string | null)[]): string =>
  `${values.map((value) => (value === null ? '' : value === '' || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(',')}\n`;

const numeric = /^(smallint|integer|bigint|real|double precision|numeric(\(.*\))?)$/;

/** Numbers keep all their digits, JSON stays JSON; what JSON has no word for is text. */
export function formatJsonLine(columns: readonly Pick<ColumnFacts, 'name' | 'type'>[], values: readonly (string | null)[]): string {
  const fields = columns.map(({ name, type }, i) => `${JSON.stringify(name)}:${jsonValue(type, values[i] ?? null)}`);
  return `{${fields.join(',')}}\n`;
}

function jsonValue(type: string, value: string | null): string {
  if (value === null) return 'null';
  if (type === 'boolean') return value === 't' ? 'true' : 'false';
  if (type === 'json' || type === 'jsonb') return value.replaceAll(/[\r\n]/g, ' ');
  if (numeric.test(type) && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value)) return value;
  return JSON.stringify(value);
}

/** Milliseconds since the epoch of a time as our sessions have the server write it (ISO, UTC); undefined for what is none. */
export function timeOf(text: string | null): number | undefined {
  if (text === null) return undefined;
  if (text === 'infinity') return Infinity;
  if (text === '-infinity' || text.endsWith(' BC')) return -Infinity;
  const match = /^(\d{4,})-(\d\d)-(\d\d)(?:[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?)?$/.exec(text);
  if (match === null) return undefined;
  const [, year = '', month, day, time] = match;
  if (year.length > 4) return Infinity;
  const ms = Date.parse(`${year}-${month ?? ''}-${day ?? ''}T${time ?? '00:00:00'}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Lines of a byte stream, without their line feeds; memory is bounded by the longest line. */
export async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of source) {
    let start = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, start)) {
      const piece = chunk.subarray(start, at);
      yield (rest.length === 0 ? piece : Buffer.concat([...rest, piece])).toString('utf8');
      rest = [];
      start = at + 1;
    }
    if (start < chunk.length) rest.push(Buffer.from(chunk.subarray(start)));
  }
  if (rest.length > 0) yield Buffer.concat(rest).toString('utf8');
}
