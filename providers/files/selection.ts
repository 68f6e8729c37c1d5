import picomatch from 'picomatch';

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

/** @throws whatever picomatch says of a pattern that is none */
const matcher = (patterns: readonly string[]): ((path: string) => boolean) => {
  const globs = patterns.map((pattern) => (pattern.startsWith('/') ? pattern.slice(1) : pattern.startsWith('**/') ? pattern : `**/${pattern}`));
  return globs.length === 0 ? () => false : picomatch(globs, options);
};

/** Says what of a walk is left out; paths without the leading `/`. */
export function leavesOut({ paths, exclude, include, never }: Selection): (path: string, isDirectory: boolean) => boolean {
  const excluded = matcher(exclude);
  const included = include.length === 0 ? undefined : matcher(include);
  const roots = new Set(paths.map((path) => path.replace(/^\/+/, '')));
  const own = new Set(never.map((path) => path.replace(/^\/+/, '')));
  return (path, isDirectory) => {
    if (own.has(path)) return true;
    if (roots.has(path)) return false;
    if (excluded(path)) return true;
    return included !== undefined && !isDirectory && !included(path);
  };
}
