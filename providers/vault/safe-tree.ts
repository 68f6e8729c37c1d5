import { lstat, mkdir } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { cleanPath } from './tar-index.ts';
import { pathBytes } from './tar-path.ts';

/** Directories below a destination, made as needed; a symbolic link in the way is refused, never followed. */
export class SafeTree {
  readonly #root: string;
  /** Relative paths of directories known to be real. */
  readonly #known = new Set<string>(['.']);

  private constructor(root: string) {
    this.#root = root;
  }

  /** @throws unsafePath when the destination is not absolute or not a directory */
  static async open(root: string): Promise<SafeTree> {
    if (!isAbsolute(root)) throw new ResurgoError('unsafePath', `the destination ${root} is not an absolute path`);
    await mkdir(root, { recursive: true, mode: 0o700 });
    return new SafeTree(root);
  }

  /** Relative paths of all directories seen, the root as `.`. */
  get directories(): string[] {
    return [...this.#known];
  }

  async parentOf(path: string): Promise<void> {
    await this.directory(dirname(path));
  }

  /** Makes the directory and those above it. */
  async directory(path: string): Promise<void> {
    if (this.#known.has(path)) return;
    await this.directory(dirname(path));
    const full = pathBytes(join(this.#root, path));
    try {
      await mkdir(full, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (!(await lstat(full)).isDirectory())
        throw new ResurgoError(
          'unsafePath',
          `${join(this.#root, path)} is in the way: a directory is needed there, and it is something else`,
        );
    }
    this.#known.add(path);
  }
}

/** A relative path that stays below its root. @throws unsafePath */
export function safeRelative(path: string, what: string): string {
  const clean = cleanPath(path);
  if (clean === undefined || clean === '.')
    throw new ResurgoError('unsafePath', `${what}: ${JSON.stringify(path)} leads outside the destination`);
  return clean;
}
