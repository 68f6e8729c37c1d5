/** Reading what strangers send: own keys only, bounded, never trusted to be of the type it should be. */
import { digest } from '../../../providers/alerts/incident-id.ts';

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
export const objectOf = (value: unknown): Json => (isObject(value) ? value : {});
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
const own = (object: Json, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);

export const maxText = 2000;
/** No control characters but line breaks; cut where it is long. */
export const tidy = (text: string, limit = maxText): string => {
  const clean = text.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, ' ').toWellFormed();
  return clean.length > limit ? `${clean.slice(0, limit - 1)}…` : clean;
};

/** Text, number or boolean as text; undefined for anything else and for what is empty. */
export function textAt(object: unknown, key: string, limit?: number): string | undefined {
  const value = own(objectOf(object), key);
  const text = typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
  return text.trim() === '' ? undefined : tidy(text, limit);
}

/** `a.b.0.c` */
export function at(value: unknown, path: string | undefined): unknown {
  if (path === undefined) return undefined;
  let current: unknown = value;
  for (const part of path.split('.')) {
    if (Array.isArray(current) && /^\d{1,4}$/.test(part)) current = (current as unknown[])[Number(part)];
    else if (isObject(current)) current = own(current, part);
    else return undefined;
  }
  return current;
}

export const textOf = (value: unknown, limit?: number): string | undefined => textAt({ value }, 'value', limit);

export const numberOrText = (value: unknown): number | string | null => {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  const text = textOf(value, 200);
  return text === undefined ? null : text;
};

const maxLabels = 64;
const wellKnown = ['alertname', 'service', 'job', 'app', 'severity', 'priority', 'type', 'instance'];

/** At most {@link maxLabels}: those that rules ask for and the well-known ones first. Names like `__proto__` are plain names here. */
export function labelsOf(value: unknown, wanted: ReadonlySet<string>): Record<string, string> {
  const source = objectOf(value);
  const labels = Object.create(null) as Record<string, string>;
  const take = (key: string): void => {
    const text = textAt(source, key, 500);
    if (text !== undefined && key.length <= 200) labels[tidy(key, 200)] = text;
  };
  for (const key of [...wanted, ...wellKnown]) take(key);
  let taken = Object.keys(labels).length;
  for (const key of Object.keys(source)) {
    if (taken >= maxLabels) break;
    if (key in labels) continue;
    take(key);
    taken++;
  }
  return labels;
}

/** An ISO time, or null where it says nothing (Go's zero time, no time at all, nonsense). */
export function timeAt(object: unknown, key: string): string | null {
  const text = textAt(object, key, 64);
  const ms = text === undefined ? NaN : Date.parse(text.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  return Number.isFinite(ms) && ms > 0 ? new Date(ms).toISOString() : null;
}

/** A digest of labels, whatever order they came in. */
export const labelDigest = (labels: Readonly<Record<string, string>>): string =>
  digest('labels', ...Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)).flat()).slice(0, 16);
