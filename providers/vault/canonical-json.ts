/**
 * JSON with sorted keys (by UTF-16 code unit) and no white space: the same value always gives the same bytes.
 * Fields that are `undefined` are left out, as `JSON.stringify` does.
 * @throws TypeError for what JSON cannot say (NaN, functions, cycles, bigint)
 */
export function canonicalJson(value: unknown): string {
  return encode(value, 0);
}

function encode(value: unknown, depth: number): string {
  if (depth > 100) throw new TypeError('canonical JSON: nested too deeply (or a cycle)');
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`canonical JSON: ${String(value)} is not a JSON number`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item: unknown) => encode(item ?? null, depth + 1)).join(',')}]`;
  if (typeof value !== 'object') throw new TypeError(`canonical JSON: a ${typeof value} is not JSON`);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${encode(field, depth + 1)}`).join(',')}}`;
}
