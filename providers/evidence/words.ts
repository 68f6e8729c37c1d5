import { formatBytes, formatDuration } from '../../domain/format.ts';

/** Names that mean more than their letters. */
const known: Readonly<Record<string, string>> = {
  p50Ms: 'p50',
  p95Ms: 'p95',
  p99Ms: 'p99',
  limitP95Ms: 'p95 allowed',
  baselineP95Ms: 'p95 before',
  rpoBasis: 'RPO counted by',
  rtoMs: 'Recovery time (RTO)',
  rpoMs: 'Data loss window (RPO)',
  dataLossRatio: 'Data loss',
};

/** `fetchMs` → `Fetch`, `lagBytes` → `Lag`, `rtoMs` → `Recovery time (RTO)`. */
export function label(name: string): string {
  if (Object.hasOwn(known, name)) return known[name] ?? name;
  const words = name
    .replace(/(Ms|Bytes|Ratio)$/, '')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/[_-]+/g, ' ')
    .toLowerCase()
    .trim();
  return words === '' ? name : words.charAt(0).toUpperCase() + words.slice(1);
}

/** A number with the unit its name tells. */
export function valueOf(name: string, value: number | null | undefined): string {
  if (value === null || value === undefined) return 'not measured';
  if (name.endsWith('Ms')) return formatDuration(value);
  if (name.endsWith('Bytes')) return formatBytes(value);
  if (name.endsWith('Ratio')) return `${(value * 100).toFixed(value === 0 || value >= 0.01 ? 2 : 4)} %`;
  return Number.isInteger(value) ? value.toLocaleString('en') : String(Math.round(value * 1000) / 1000);
}

/** HTML, attributes included. Control characters and what turns the direction of text cannot be shown and are replaced. */
export const escapeHtml = (text: string): string =>
  text
    .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g, '\ufffd')
    .toWellFormed()
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

/** `2026-11-25 22:40:01 UTC`; the text itself where it is no time. */
export function moment(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

export const good: ReadonlySet<string> = new Set(['passed', 'completed', 'resolved', 'restored', 'succeeded']);
export const doubtful: ReadonlySet<string> = new Set(['warning', 'skipped', 'compensated', 'unknown', 'restored-with-warnings', 'completed-with-warnings', 'cancelled', 'paused']);
/** Class of a status or outcome, for its colour. */
export const tone = (status: string): 'good' | 'bad' | 'doubtful' => (good.has(status) ? 'good' : doubtful.has(status) ? 'doubtful' : 'bad');
