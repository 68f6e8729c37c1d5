/** What every value of the configuration has in common: it explains itself in words and takes `{ env }` or `{ file }` in place of its text. */
import { z } from 'zod';
import { isErrorCode, isResurgoError } from '../domain/errors.ts';
import type { Secret, SecretRef } from './secret.ts';

/** What docs/reference/config.md says about a key. */
export interface LeafMeta {
  readonly kind: string;
  readonly description: string;
  readonly example?: string;
  [key: string]: unknown;
}

/** Thrown by a leaf's parser: the reason, to follow the shown value. */
class Refusal extends Error {}
export const refuse = (reason: string): never => {
  throw new Refusal(reason);
};

/** How references in fields that are no secrets are resolved while loading; parsing is synchronous, so one place is enough. */
let resolveReference: (ref: SecretRef) => string = () => refuse('a reference cannot be resolved here');
export function withReferences<T>(resolve: (ref: SecretRef) => string, parse: () => T): T {
  const before = resolveReference;
  resolveReference = resolve;
  try {
    return parse();
  } finally {
    resolveReference = before;
  }
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The reference a value is, or undefined; a broken one is refused. */
export function referenceOf(value: unknown): SecretRef | undefined {
  if (!isMapping(value)) return undefined;
  const keys = Object.keys(value);
  const [key = ''] = keys;
  if (keys.length !== 1 || (key !== 'env' && key !== 'file'))
    return refuse('must be one value, { env: NAME } or { file: PATH }');
  const name = value[key];
  if (typeof name !== 'string' || name === '')
    return refuse(`is a reference without a name; write { ${key}: ${key === 'env' ? 'NAME' : 'PATH'} }`);
  if (key === 'env')
    return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
      ? { env: name }
      : refuse(`${JSON.stringify(name)} is not a name of an environment variable`);
  return { file: name };
}

/** Shown in problems; long values are cut. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isMapping(value)) return 'a mapping';
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** A value known when the file is loaded: a reference is resolved at once. */
export function leaf<T>(
  meta: LeafMeta,
  parse: (value: string | number | boolean) => T,
  options: { secret?: boolean } = {},
) {
  return z
    .unknown()
    .transform((input, ctx): T => {
      let origin = '';
      try {
        if (input === undefined) refuse('is missing');
        if (input === null) refuse('is empty; give it a value or remove the key');
        if (Array.isArray(input)) refuse('must be one value, not a list');
        const ref = referenceOf(input);
        if (ref) origin = 'env' in ref ? `environment variable ${ref.env}` : `file ${ref.file}`;
        return parse(ref ? resolveReference(ref) : (input as string | number | boolean));
      } catch (error) {
        if (isResurgoError(error))
          ctx.addIssue({
            code: 'custom',
            message: `${error.message.replace(/\.$/, '')}. ${error.hint}`,
            params: { code: isErrorCode(error.code) ? error.code : 'configInvalid' },
          });
        else if (error instanceof Refusal) {
          const scalar = input !== undefined && input !== null && typeof input !== 'object';
          const shown = origin ? `(from ${origin}) ` : options.secret || !scalar ? '' : `${show(input)} `;
          ctx.addIssue({ code: 'custom', message: `${shown}${error.message}` });
        } else throw error;
        return z.NEVER;
      }
    })
    .meta({ ...meta });
}

/** A value kept as a reference, resolved where it is used. */
export function secretLeaf(meta: LeafMeta, parse: (value: unknown) => Secret) {
  return z
    .unknown()
    .transform((input, ctx): Secret => {
      try {
        if (input === undefined) refuse('is missing');
        if (input === null) refuse('is empty; give it as { env: NAME } or { file: PATH }');
        if (Array.isArray(input)) refuse('must be one value, not a list');
        return referenceOf(input) ?? parse(input);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        ctx.addIssue({ code: 'custom', message: error.message });
        return z.NEVER;
      }
    })
    .meta({ ...meta });
}

export const asText = (value: string | number | boolean): string => {
  if (typeof value !== 'string') return refuse(`is a ${typeof value}, not text; put it in quotes`);
  if (value.trim() === '') return refuse('is empty');
  if (/[\u0000-\u001f\u007f]/.test(value)) return refuse('has control characters or line breaks');
  return value;
};
