import picomatch from 'picomatch';
import { isWithin } from './listing.ts';

export interface Selection {
  /** Absolute. */
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  readonly include: readonly string[];
  /** Absolute directories left out without being asked: repositories, our own state. */
  readonly never: readonly string[];
}

/** A newline is a character of a name like any other; names that begin with a dot are no exception. */
const options = { dot: true, flags: 's' } as const;

type Matcher = (path: string) => boolean;

/** @throws whatever picomatch says of a pattern that is none */
const matcher = (patterns: readonly string[]): Matcher => {
  const globs = patterns.map((pattern) => (pattern.startsWith('/') ? pattern.slice(1) : pattern.startsWith('**/') ? pattern : `**/${pattern}`));
  return globs.length === 0 ? () => false : picomatch(globs, options);
};

/**
 * A pattern that leaves a root itself out would leave all of it out, though it is named: such a pattern is about the names below the root. Of roots inside each
 * other the innermost counts.
 */
function excludes(roots: readonly string[], patterns: readonly string[]): Matcher {
  const everywhere = matcher(patterns);
  const byRoot = roots.map((root) => {
    const about = patterns.filter((pattern) => matcher([pattern])(root));
    const [outside, below] = [matcher(patterns.filter((pattern) => !about.includes(pattern))), matcher(about)];
    return { root, isOwn: about.length > 0, excluded: about.length === 0 ? everywhere : (path: string) => outside(path) || below(path.slice(root.length).replace(/^\//, '')) };
  }).sort((a, b) => b.root.length - a.root.length);
  // Most selections have none.
  if (!byRoot.some(({ isOwn }) => isOwn)) return everywhere;
  return (path) => (byRoot.find(({ root }) => isWithin(path, root))?.excluded ?? everywhere)(path);
}

/** Says what of a walk is left out; paths without the leading `/`. */
export function leavesOut({ paths, exclude, include, never }: Selection): (path: string, isDirectory: boolean) => boolean {
  const roots = new Set(paths.map((path) => path.replace(/^\/+|\/+$/g, '')));
  const excluded = excludes([...roots], exclude);
  const included = include.length === 0 ? undefined : matcher(include);
  const own = new Set(never.map((path) => path.replace(/^\/+/, '')));
  return (path, isDirectory) => {
    if (own.has(path)) return true;
    if (roots.has(path)) return false;
    if (excluded(path)) return true;
    return included !== undefined && !isDirectory && !included(path);
  };
}
