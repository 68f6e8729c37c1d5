/** `{ env: NAME }` and `{ file: PATH }` in `with:`: resolved on the worker that uses them, in the moment it does, and nowhere kept. */
import path from 'node:path';
import type { LoadedConfig } from '../../config/load.ts';
import { resolveSecret, type SecretRef } from '../../config/secret.ts';
import type { Json } from '../../domain/plan/model.ts';

export function asReference(value: unknown): SecretRef | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value);
  const [key, name] = entries[0] ?? [];
  if (entries.length !== 1 || typeof name !== 'string' || name === '') return undefined;
  if (key === 'env') return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? { env: name } : undefined;
  return key === 'file' ? { file: name } : undefined;
}

/** @param replace what stands in its place @param at path of the value */
export function mapReferences(value: unknown, replace: (ref: SecretRef, at: readonly (string | number)[]) => unknown, at: readonly (string | number)[] = []): unknown {
  const ref = asReference(value);
  if (ref !== undefined) return replace(ref, at);
  if (Array.isArray(value)) return value.map((inner, index) => mapReferences(inner, replace, [...at, index]));
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapReferences(inner, replace, [...at, key])]));
  return value;
}

/** A file is named from where the configuration lies. @throws configInvalid, configUnsafe */
export const resolveReference = (loaded: Pick<LoadedConfig, 'dir'>, ref: SecretRef, what: string): string => resolveSecret('file' in ref ? { file: path.resolve(loaded.dir, ref.file) } : ref, what);

/** With every reference in the clear: only to hand to an action. @throws configInvalid, configUnsafe */
export function withSecrets(loaded: Pick<LoadedConfig, 'dir'>, input: Json, what: string): unknown {
  return mapReferences(input, (ref, at) => resolveReference(loaded, ref, `${what}, ${at.join('.')}`));
}
