/** What an action was given by reference comes back in no text of it: outputs, errors and progress are kept in histories and evidence. */
import type { LoadedConfig } from '../../config/load.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { Json } from '../../domain/plan/model.ts';
import { mapReferences, resolveReference } from './references.ts';

const masked = '[secret]';
/** What is shorter is in every text. */
const shortest = 4;

export type Mask = <T>(value: T) => T;

/** Replaces every value that `input` refers to, as it is and as JSON, a URL or a shell would write it. One that cannot be read now is none. */
export function maskOf(loaded: Pick<LoadedConfig, 'dir'>, input: Json): Mask {
  const found = new Set<string>();
  mapReferences(input, (ref) => {
    try {
      const value = resolveReference(loaded, ref, 'a reference');
      for (const text of [value, value.trim(), ...value.split('\n')]) for (const form of [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text.toWellFormed())]) if (form.length >= shortest) found.add(form);
    } catch {
      // Whoever needs it says so.
    }
    return '';
  });
  // The longest first: one may hold another.
  const secrets = [...found].sort((a, b) => b.length - a.length);
  const text = (value: string): string => secrets.reduce((rest, secret) => rest.replaceAll(secret, masked), value);
  const deep = (value: unknown): unknown => {
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value)) return value.map(deep);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [text(key), deep(inner)]));
    return value;
  };
  return secrets.length === 0 ? (value) => value : <T>(value: T): T => deep(value) as T;
}

/** Runs `work`; what it throws says nothing that the mask hides. */
export async function masking<T>(mask: Mask, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ResurgoError) throw new ResurgoError(error.code, mask(error.message), { details: mask(error.details) });
    if (error instanceof Error && error.name !== 'AbortError' && mask(error.message) !== error.message) throw new Error(mask(error.message));
    throw error;
  }
}
