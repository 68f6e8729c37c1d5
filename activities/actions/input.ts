/** How an action says what its input is: one zod schema gives the parser, problems by field, and the reference. */
import { z } from 'zod';
import type { ActionField } from '../../domain/action.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { didYouMean } from '../../config/suggest.ts';
import { parseDuration } from '../../config/units.ts';

export interface InputProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** `parse` and `fields` of an action. */
export function inputOf<T>(schema: z.ZodType<T>): { readonly parse: (input: unknown) => T; readonly fields: readonly ActionField[] } {
  return {
    parse: (input) => {
      const parsed = schema.safeParse(input ?? {});
      if (parsed.success) return parsed.data;
      const known = Object.keys(shapeOf(schema));
      const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, known));
      throw new ResurgoError('inputInvalid', problems.map(({ path, message }) => `${path.length === 0 ? 'with' : path.join('.')}: ${message}`).join('; '), {
        details: { problems, hint: 'docs/reference/actions.md lists what each action takes.' },
      });
    },
    fields: Object.entries(shapeOf(schema)).map(([key, field]) => ({ key, ...describeField(field) })),
  };
}

function problemsOf(issue: z.core.$ZodIssue, known: readonly string[]): InputProblem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: `${JSON.stringify(key)} is not a known field${path.length > 0 ? '' : didYouMean(key, known) || `; known are ${known.join(', ')}`}` }));
  }
  return [{ path, message: issue.code === 'invalid_type' && issue.message.includes('received undefined') ? 'is missing' : issue.message }];
}

type Shape = Readonly<Record<string, z.ZodType>>;
const shapeOf = (schema: z.ZodType): Shape => (schema._zod.def as { shape?: Shape }).shape ?? {};

function describeField(field: z.ZodType): Omit<ActionField, 'key'> {
  let current = field;
  let required = true;
  for (let def = current._zod.def as { type: string; innerType?: z.ZodType }; (def.type === 'optional' || def.type === 'default') && def.innerType !== undefined; def = current._zod.def as typeof def) {
    required = false;
    current = def.innerType;
  }
  const meta = { ...(current.meta() ?? {}), ...(field.meta() ?? {}) } as { kind?: string; description?: string };
  return { kind: meta.kind ?? kindOf(current), required, description: meta.description ?? '' };
}

function kindOf(schema: z.ZodType): string {
  const def = schema._zod.def as { type: string; element?: z.ZodType; entries?: Record<string, string>; values?: unknown[] };
  if (def.type === 'array' && def.element !== undefined) return `list of ${kindOf(def.element)}`;
  if (def.type === 'enum') return Object.values(def.entries ?? {}).map((value) => `\`${value}\``).join(', ');
  if (def.type === 'literal') return (def.values ?? []).map((value) => `\`${String(value)}\``).join(', ');
  return ({ string: 'text', record: 'mapping', object: 'mapping', boolean: '`true`, `false`' } as Record<string, string>)[def.type] ?? def.type;
}

/** `30s`, `5m`: milliseconds in the parsed input. */
export const durationField = (description: string) =>
  z
    .union([z.string(), z.number()])
    .transform((value, ctx) => {
      const ms = typeof value === 'number' ? undefined : parseDuration(value);
      if (ms !== undefined && ms > 0) return ms;
      ctx.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is not a duration; write for example 30s or 5m` });
      return z.NEVER;
    })
    .meta({ kind: 'duration', description });

export const textField = (description: string) =>
  z
    .union([z.string(), z.number(), z.boolean()])
    .transform(String)
    .pipe(z.string().min(1, 'is empty').max(65_536).refine((value) => !value.includes('\0'), 'holds a NUL character'))
    .meta({ kind: 'text', description });

export const commandField = (description: string) => z.array(textField('one argument')).min(1, 'names no program').max(1000).meta({ kind: 'list of text', description });

export const hostField = z.string().min(1).max(200).optional().meta({ kind: 'name', description: "Worker host it runs on (the worker's `--host`); default any worker." });

export const urlField = (description: string) =>
  z
    .string()
    .refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), 'is not an http:// or https:// URL')
    .refine((value) => !URL.canParse(value) || (new URL(value).username === '' && new URL(value).password === ''), 'carries a login; give it as a header by reference')
    .meta({ kind: 'URL', description });
