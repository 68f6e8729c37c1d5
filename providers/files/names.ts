/** Files with several names: they are packed together, or the others would be copies. */
import { comparePaths } from './listing.ts';

export interface Names {
  readonly paths: string[];
  changed: number;
  /** Names that the unchanged ones have their content under. */
  readonly firsts: Set<string>;
}

/** With the first name moved out of the tree, or out of the paths, the others are hard links to nothing. */
export const isMixed = ({ paths, changed, firsts }: Names): boolean =>
  changed < paths.length && (changed > 0 || [...firsts].some((first) => !paths.includes(first)));

/** A name that a file got after its first one was looked at is known when tar has found it: from then on they go together. */
export function tie(names: Map<string, readonly string[]>, first: string, other: string): void {
  const [one, two] = [names.get(first), names.get(other)];
  if (one !== undefined && one === two) return;
  const all = [...new Set([...(one ?? [first]), ...(two ?? [other])])];
  for (const path of all) names.set(path, all);
}

/** Files with several names are packed with all of them, or the others would be copies. */
export function withOtherNames(paths: readonly string[], names: ReadonlyMap<string, readonly string[]>): string[] {
  return [...new Set(paths.flatMap((path) => names.get(path) ?? [path]))].sort(comparePaths);
}
