/** The reference of all keys, from the schema itself. */
import type { z } from 'zod';
import { configSchema } from './schema.ts';
import { formatBytes, formatDuration } from './units.ts';

export interface KeyDescription {
  readonly key: string;
  /** What kind of value, in words. */
  readonly kind: string;
  readonly presence: 'required' | 'optional';
  /** As one would write it. */
  readonly default?: string;
  readonly description: string;
  /** Section that tells more. */
  readonly section?: string;
}

export interface SectionDescription {
  /** `targets.NAME`, `policies[]` … */
  readonly path: string;
  readonly description: string;
  readonly keys: readonly KeyDescription[];
}

/** What is read here of zod's schema definitions. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly defaultValue?: unknown;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly values?: readonly unknown[];
}

const definition = (schema: z.ZodType): Definition => schema._zod.def;
const metaOf = (schema: z.ZodType): { kind?: string; description?: string; example?: string } =>
  (schema.meta() ?? {}) as { kind?: string; description?: string; example?: string };

function unwrap(schema: z.ZodType): { schema: z.ZodType; optional: boolean; fallback?: unknown } {
  let current = schema;
  let optional = false;
  let fallback: unknown;
  for (
    let def = definition(current);
    (def.type === 'optional' || def.type === 'default') && def.innerType;
    def = definition(current)
  ) {
    optional = true;
    if (def.type === 'default') fallback = def.defaultValue;
    current = def.innerType;
  }
  return { schema: current, optional, fallback };
}

function written(value: unknown, kind: string): string {
  if (typeof value === 'number') {
    if (kind === 'duration')
      return formatDuration(value)
        .replaceAll(' ', '')
        .replace(/m00s$|h00m$/, (end) => end[0] ?? '')
        .replace(/\.0s$/, 's');
    if (kind.startsWith('size'))
      return formatBytes(value)
        .replace(/\.0+(?= )/, '')
        .replace(' ', '');
  }
  if (typeof value === 'object' && value !== null)
    return Object.values(value).every((v) => typeof v === 'string')
      ? Object.values(value as Record<string, string>).join(', ')
      : '';
  return String(value);
}

/** Every mapping of the configuration, the outermost first. Keys that are not built yet are left out. */
export function describeConfig(): SectionDescription[] {
  const sections: SectionDescription[] = [];
  const visited = new Set<z.ZodType>();

  const visitMapping = (schema: z.ZodType, path: string): void => {
    if (visited.has(schema)) return;
    visited.add(schema);
    const inner: (() => void)[] = [];
    const keys = Object.entries(definition(schema).shape ?? {}).flatMap(([key, value]): KeyDescription[] => {
      const { schema: type, optional, fallback } = unwrap(value);
      const def = definition(type);
      const meta = metaOf(type);
      if (meta.kind === 'unsupported') return [];
      const at = path === '' ? key : `${path}.${key}`;
      const section = visitInner(type, at, inner);
      const literal = def.type === 'literal' ? `\`${String(def.values?.[0])}\`` : undefined;
      const listed = def.element ? metaOf(def.element) : undefined;
      const kind =
        literal ??
        (listed
          ? `list of ${listed.kind === 'mapping' ? 'mappings' : plural(listed.kind ?? 'text')}`
          : (meta.kind ?? def.type));
      const shown = fallback === undefined ? '' : written(fallback, kind);
      const description = literal
        ? ''
        : `${meta.description ?? ''}${meta.example === undefined ? '' : ` For example \`${meta.example}\`.`}`;
      return [
        {
          key,
          kind,
          presence: optional ? 'optional' : 'required',
          ...(shown === '' ? {} : { default: shown }),
          description,
          ...(section === undefined ? {} : { section }),
        },
      ];
    });
    sections.push({ path, description: metaOf(schema).description ?? '', keys });
    for (const next of inner) next();
  };

  const visitInner = (schema: z.ZodType, path: string, inner: (() => void)[]): string | undefined => {
    const def = definition(schema);
    if (def.shape) {
      const known = sectionOf.get(schema);
      if (known !== undefined) return known;
      sectionOf.set(schema, path);
      inner.push(() => visitMapping(schema, path));
      return path;
    }
    if (def.element && definition(def.element).shape) return visitInner(def.element, `${path}[]`, inner);
    if (def.type !== 'record' || !def.valueType) return undefined;
    const values = (definition(def.valueType).options ?? [def.valueType]).filter(
      (option) =>
        definition(option).shape && 'type' in (definition(option).shape ?? {}) && metaOf(option).kind === 'mapping',
    );
    const named = values.map((option) => {
      const type = definition((definition(option).shape ?? {})['type'] as z.ZodType).values?.[0];
      return visitInner(option, `${path}.NAME (type: ${String(type)})`, inner);
    });
    return named[0];
  };
  const sectionOf = new Map<z.ZodType, string>();
  visitMapping(configSchema, '');
  return sections;
}

const plural = (kind: string): string => (kind === 'text' ? 'texts' : kind.includes('`') ? kind : `${kind}s`);
