/** Durations and sizes as people write them. */
export { formatBytes, formatDuration } from '../domain/format.ts';

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

export const durationExample = '500ms, 30s, 5m, 4h, 30d or 2w';
export const sizeExample = '512KiB, 64MiB, 2GiB or 100MB';

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(text.trim());
  const unit = match?.[2] ?? '';
  if (!match || !Object.hasOwn(units, unit)) return undefined;
  const value = Number(match[1]) * (units[unit] ?? 0);
  return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : undefined;
}

/** Milliseconds of `4h`, `500ms` or `1.5h`; undefined when it is not a duration. */
export const parseDuration = (text: string): number | undefined => parse(text, durationUnits);

/** Bytes of `64MiB` or `1.5GB`; undefined when it is not a size. */
export const parseSize = (text: string): number | undefined => parse(text, sizeUnits);
