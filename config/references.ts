import { LiteralSecret } from './secret.ts';

/** A copy of plain settings in which every `{ file: PATH }` names an absolute path. For sections whose only paths are references. */
export function absoluteReferences<T>(value: T, at: (file: string) => string): T {
  if (value instanceof LiteralSecret || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => absoluteReferences(item, at)) as T;
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === 'file' && typeof first[1] === 'string') return { file: at(first[1]) } as T;
  return Object.fromEntries(entries.map(([key, item]) => [key, absoluteReferences(item as unknown, at)])) as T;
}
