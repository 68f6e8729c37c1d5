/** The kinds of values the configuration has. Every leaf explains itself in words and takes `{ env }` or `{ file }` in place of its text. */
import { z } from 'zod';
import { isErrorCode, isResurgoError } from '../domain/errors.ts';
import { namePattern } from '../domain/ids.ts';
import { isBech32 } from './bech32.ts';
import { isTimezone, parseCron } from './cron.ts';
import { LiteralSecret, redactUrl } from './secret.ts';
import type { Secret, SecretRef } from './secret.ts';
import { didYouMean } from './suggest.ts';
import { durationExample, parseDuration, parseSize, sizeExample } from './units.ts';

/** What docs/reference/config.md says about a key. */
export interface LeafMeta {
  readonly kind: string;
  readonly description: string;
  readonly example?: string;
  [key: string]: unknown;
}

/** Thrown by a leaf's parser: the reason, to follow the shown value. */
class Refusal extends Error {}
const refuse = (reason: string): never => {
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

function leaf<T>(meta: LeafMeta, parse: (value: string | number | boolean) => T, options: { secret?: boolean } = {}) {
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

const asText = (value: string | number | boolean): string => {
  if (typeof value !== 'string') return refuse(`is a ${typeof value}, not text; put it in quotes`);
  if (value.trim() === '') return refuse('is empty');

  if (/[\u0000-\u001f\u007f]/.test(value)) return refuse('has control characters or line breaks');
  return value;
};

export const text = (
  description: string,
  options: { example?: string; check?: (value: string) => string | undefined } = {},
) =>
  leaf<string>(
    { kind: 'text', description, ...(options.example === undefined ? {} : { example: options.example }) },
    (value) => {
      const word = asText(value);
      const reason = options.check?.(word);
      return reason === undefined ? word : refuse(reason);
    },
  );

/** A path; made absolute, from the directory of the configuration, once everything is parsed. */
export const filePath = (description: string, options: { absolute?: boolean } = {}) =>
  leaf<string>({ kind: 'path', description }, (value) => {
    const word = asText(value);
    if (options.absolute && !word.startsWith('/')) return refuse('must be an absolute path');
    return word.startsWith('~') ? refuse('begins with ~, which is not expanded; write the whole path') : word;
  });

export const name = (description: string) =>
  leaf<string>({ kind: 'name', description }, (value) => {
    const word = asText(value);
    return namePattern.test(word) ? word : refuse(nameRule);
  });

export const nameRule =
  'is not a name: letters, digits, ".", "_" and "-", beginning with a letter or digit, at most 63';

export const oneOf = <const T extends string>(values: readonly [T, ...T[]], description: string) =>
  leaf<T>({ kind: values.map((v) => `\`${v}\``).join(', '), description }, (value) => {
    const found = values.find((v) => v === value);
    return found ?? refuse(`is none of ${values.join(', ')}${didYouMean(String(value), values)}`);
  });

export const duration = (description: string, options: { min?: number } = {}) =>
  leaf<number>({ kind: 'duration', description }, (value) => {
    const ms = parseDuration(String(value));
    if (typeof value === 'number') return refuse(`has no unit; write for example ${value}s`);
    if (ms === undefined) return refuse(`is not a duration; write for example ${durationExample}`);
    return ms < (options.min ?? 1) ? refuse('is too short') : ms;
  });

export const size = (description: string, options: { min?: number; max?: number; rate?: boolean } = {}) =>
  leaf<number>({ kind: options.rate ? 'size per second' : 'size', description }, (value) => {
    if (typeof value === 'number') return refuse(`has no unit; write for example ${sizeExample}`);
    const bytes = parseSize(options.rate ? String(value).replace(/\/s$/, '') : String(value));
    if (bytes === undefined) return refuse(`is not a size; write for example ${sizeExample}`);
    if (bytes < (options.min ?? 1)) return refuse(`is too small; at least ${options.min ?? 1} bytes`);
    return options.max !== undefined && bytes > options.max
      ? refuse(`is too large; at most ${options.max} bytes`)
      : bytes;
  });

export const integer = (description: string, min: number, max: number) =>
  leaf<number>({ kind: `number ${min}–${max}`, description }, (value) => {
    const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number)) return refuse('is not a whole number');
    return number < min || number > max ? refuse(`is not between ${min} and ${max}`) : number;
  });

export const flag = (description: string) =>
  leaf<boolean>({ kind: '`true`, `false`', description }, (value) => {
    if (value === true || value === 'true') return true;
    return value === false || value === 'false' ? false : refuse('is neither true nor false');
  });

export const cron = (description: string) =>
  leaf<string>({ kind: 'cron', description }, (value) => {
    const word = asText(value);
    const parsed = parseCron(word);
    return typeof parsed === 'string' ? refuse(`is not a schedule: ${parsed}`) : word;
  });

export const timezone = (description: string) =>
  leaf<string>({ kind: 'time zone', description }, (value) => {
    const word = asText(value);
    return isTimezone(word) ? word : refuse('is not a time zone; write for example Asia/Seoul or UTC');
  });

export const url = (description: string) =>
  leaf<string>(
    { kind: 'URL', description },
    (value) => {
      const word = asText(value);
      if (!URL.canParse(word) || !/^https?:\/\/[^/]/i.test(word)) return refuse('is not an http:// or https:// URL');
      const parsed = new URL(word);
      if (parsed.username || parsed.password)
        return refuse('carries a login; give the keys by reference in their own fields');
      return parsed.search || parsed.hash ? refuse('must have no query') : word;
    },
    { secret: true },
  );

export const recipient = (description: string) =>
  leaf<string>({ kind: 'age recipient', description }, (value) => {
    if (typeof value === 'string' && /^AGE-(SECRET-KEY|PLUGIN)-/i.test(value))
      return refuse(
        'is an identity (the secret half), not a recipient; replace that key, it was in a file it should not be in',
      );
    if (typeof value !== 'string' || !/^age1[a-z0-9]+$/.test(value))
      return refuse('is not an age recipient; it begins with age1');
    return isBech32(value)
      ? value
      : refuse('is not a valid age recipient: its checksum does not fit; was a character lost or changed?');
  });

export const publicKey = (description: string) =>
  leaf<string>({ kind: 'ed25519 public key', description }, (value) => {
    const word = asText(value);
    return Buffer.from(word, 'base64').length === 32 && /^[A-Za-z0-9+/]{43}=$/.test(word)
      ? word
      : refuse('is not an ed25519 public key: 32 bytes in base64');
  });

/** A secret: kept as a reference, resolved where it is used. Its value is never shown. */
export const secret = (
  description: string,
  options: { check?: (value: string) => string | undefined; shown?: (value: string) => string } = {},
) =>
  secretLeaf({ kind: 'secret', description }, (value) => {
    if (typeof value !== 'string')
      return refuse(
        `is a ${typeof value}, not text; put it in quotes, or better give it as { env: NAME } or { file: PATH }`,
      );
    if (value === '') return refuse('is empty');
    const reason = options.check?.(value);
    return reason === undefined ? new LiteralSecret(value, options.shown?.(value)) : refuse(reason);
  });

/** A connection URL, by reference or, without the password, in plain words. */
export const connection = (description: string) =>
  secretLeaf({ kind: 'PostgreSQL URL', description, example: '{ env: SHOP_URL }' }, (value) => {
    if (typeof value !== 'string') return refuse('is not a PostgreSQL URL');
    const word = value.trim();
    return /^postgres(ql)?:\/\/./.test(word)
      ? new LiteralSecret(word, redactUrl(word))
      : refuse('must begin with postgres:// or postgresql://');
  });

/** A key file: a path, `{ file }` or `{ env }`; the key itself may not stand in the configuration. */
export const keyFile = (description: string, example?: string) =>
  secretLeaf({ kind: 'key file', description, ...(example === undefined ? {} : { example }) }, (value) => {
    if (typeof value !== 'string') return refuse('is not a path');
    if (/secret|-----BEGIN|\n/i.test(value))
      return refuse('holds the key itself; keep it in a file of mode 0600 and name that: { file: ./resurgo.key }');
    return value.trim() === '' ? refuse('is empty') : { file: value };
  });

function secretLeaf(meta: LeafMeta, parse: (value: unknown) => Secret) {
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

/** A key of the interface that this version has not built; its presence is an error, never ignored. */
export const notYet = (what: string, remedy = 'Remove it') =>
  z
    .unknown()
    .transform((_, ctx): never => {
      ctx.addIssue({ code: 'custom', message: `${what} not supported by this version. ${remedy}.` });
      return z.NEVER;
    })
    .meta({ kind: 'unsupported', description: what });

/** A mapping of known keys. The message of an unknown one carries the known names for {@link explain}. */
export const mapping = <T extends z.ZodRawShape>(shape: T, description = '') =>
  z
    .strictObject(shape, {
      error: (issue) => (issue.code === 'unrecognized_keys' ? Object.keys(shape).join(' ') : undefined),
    })
    .meta({ kind: 'mapping', description });

export const list = <T extends z.ZodType>(item: T, description: string) =>
  z.array(item).min(1).meta({ kind: 'list', description });
