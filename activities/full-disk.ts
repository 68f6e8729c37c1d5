import { isResurgoError, ResurgoError, type ErrorCode } from '../domain/errors.ts';
import { freeBytes, isDiskFull } from '../providers/host/space.ts';

export interface DiskPlace {
  /** In words, for the message. */
  readonly what: string;
  readonly path: string;
}

/** A disk on which less is left is taken for the one that is full. */
const fullBelow = 1024 * 1024;

/** Does `work`; when a disk was too full for it, says which: the system's own error names no place. What a provider has named already passes as it is. */
export async function namingFullDisk<T>(code: ErrorCode, places: readonly DiskPlace[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const full = rootOf(error);
    if (full === undefined) throw error;
    const free = await Promise.all(places.map(({ path }) => freeBytes(path).catch(() => Infinity)));
    const named = places.filter((_, i) => (free[i] ?? Infinity) < fullBelow);
    const where = (named.length > 0 ? named : places).map(({ what, path }) => `${what} (${path})`).join(named.length > 0 ? ' and ' : ' or ');
    throw new ResurgoError(code, `no space left for ${where}: ${full.message}`, { cause: error, details: { hint: 'Free space there, or enlarge it; then start it again.' } });
  }
}

function rootOf(error: unknown): Error | undefined {
  // A repository names its own disk.
  if (isResurgoError(error, 'repositoryFull') || isResurgoError(error, 'destinationSpace')) return undefined;
  for (let current: unknown = error; current instanceof Error; current = current.cause) if (isDiskFull(current)) return current;
  return undefined;
}
