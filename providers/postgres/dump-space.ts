import { canPunchHoles } from '../host/space.ts';
import type { DatabaseFacts } from './logical-facts.ts';
import type { ResolvedOnly } from './logical-only.ts';

/** Bytes in staging above which pg_dump is held. */
export const defaultBound = 256 * 1024 * 1024;

/** Bytes on disk of what will be dumped; COPY text is near to that, mostly below. */
export const estimate = (
  facts: DatabaseFacts,
  only: ResolvedOnly | undefined,
): { total: number; largest: (count: number) => number } => {
  const chosen = only && new Set(only.tables.map((table) => JSON.stringify([table.schema, table.name])));
  const sizes = [...facts.tables.values()]
    .filter(
      (table) =>
        only === undefined ||
        only.schemas.includes(table.schema) ||
        chosen?.has(JSON.stringify([table.schema, table.name])) === true,
    )
    .map((table) => table.diskBytes)
    .toSorted((a, b) => b - a);
  if (only === undefined) sizes.unshift(facts.largeObjectBytes);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return { total: sum(sizes), largest: (count) => sum(sizes.slice(0, count)) };
};

/** Bytes staging needs. Where holes cannot be punched, the tables being written stay whole until they are finished. */
export const stagingNeed = async (
  staging: string,
  sizes: ReturnType<typeof estimate>,
  options: { readonly stagingBound?: number; readonly jobs: number },
): Promise<number> => {
  const bounded = 2 * (options.stagingBound ?? defaultBound);
  const floor = 4 * 1024 * 1024;
  if (sizes.total <= bounded || (await canPunchHoles(staging))) return floor + Math.min(sizes.total * 1.2, bounded);
  return floor + Math.min(sizes.total, bounded + sizes.largest(options.jobs)) * 1.2;
};
