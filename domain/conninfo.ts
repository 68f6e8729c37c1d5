/** libpq connection strings (`host=… port=…`), as they stand in `primary_conninfo`. */

/** @throws RangeError when it is not one */
export function parseConninfo(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const pattern = /\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gy;
  let end = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    values.set((match[1] ?? '').toLowerCase(), (match[2] ?? match[3] ?? '').replaceAll(/\\(.)/g, '$1'));
    end = pattern.lastIndex;
  }
  if (text.slice(end).trim() !== '') throw new RangeError('this is no list of keyword=value');
  return values;
}

export const formatConninfo = (values: ReadonlyMap<string, string>): string =>
  [...values].map(([key, value]) => `${key}=${/^[\w./:-]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, '\\$&')}'`}`).join(' ');
