/** The kinds of plain values the configuration has, and how they are put together. */
import { z } from 'zod';
import { namePattern } from '../domain/ids.ts';
import { isTimezone, parseCron } from './cron.ts';
import { asText, leaf, refuse } from './leaf-core.ts';
import { didYouMean } from './suggest.ts';
import { durationExample, parseDuration, parseSize, sizeExample } from './units.ts';

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

/** What is wrong with an address, in words. */
export const isHttpUrl = (value: string): string | undefined => (URL.canParse(value) && /^https?:\/\/[^/]/i.test(value) ? undefined : 'is not an http:// or https:// URL');

export const url = (description: string) =>
  leaf<string>(
    { kind: 'URL', description },
    (value) => {
      const word = asText(value);
      const problem = isHttpUrl(word);
      if (problem !== undefined) return refuse(problem);
      const parsed = new URL(word);
      if (parsed.username || parsed.password)
        return refuse('carries a login; give the keys by reference in their own fields');
      return parsed.search || parsed.hash ? refuse('must have no query') : word;
    },
    { secret: true },
  );

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
