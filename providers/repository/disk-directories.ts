import { constants } from 'node:fs';
import { lstat, mkdir, open, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { errnoOf } from './disk-errors.ts';

/**
 * The directories of a disk repository: made 0700 and durable, never through a symbolic link below the root; one fsync of a
 * directory serves all entries that were made before it began.
 */
export class DiskDirectories {
  readonly root: string;
  readonly #known = new Set<string>();
  readonly #syncs = new Map<string, { running: Promise<void>; next?: Promise<void> }>();

  constructor(root: string) {
    this.root = root;
  }

  /**
   * Absolute path of a directory below the root, made where it is missing (the root and what lies above it too).
   * @param segments relative, already checked
   * @throws unsafePath when a part is a symbolic link or no directory
   */
  async make(segments: readonly string[]): Promise<string> {
    const path = join(this.root, ...segments);
    if (this.#known.has(path)) return path;
    await this.#makeRoot();
    let directory = this.root;
    for (const segment of segments) {
      const parent = directory;
      directory = join(parent, segment);
      if (this.#known.has(directory)) continue;
      if (!(await this.#isDirectory(directory))) {
        await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
          if (errnoOf(error) !== 'EEXIST') throw error;
        });
        if (!(await this.#isDirectory(directory))) throw Object.assign(new Error('vanished'), { code: 'ENOENT' });
        await this.sync(parent);
      }
      // Bounded: a repository with very many directories only loses the short cut.
      if (this.#known.size > 4096) this.#known.clear();
      this.#known.add(directory);
    }
    return path;
  }

  /** Path of an existing directory, each part checked; undefined when it is missing. @throws unsafePath */
  async find(segments: readonly string[]): Promise<string | undefined> {
    let directory = this.root;
    for (const segment of segments) {
      directory = join(directory, segment);
      if (!(await this.#isDirectory(directory))) return undefined;
    }
    return directory;
  }

  /** A directory may be gone: look again before the next use. */
  forget(): void {
    this.#known.clear();
  }

  /** Makes the entries of a directory durable. Calls that come while one runs share the next. */
  sync(directory: string): Promise<void> {
    const state = this.#syncs.get(directory);
    if (state === undefined) {
      const running = this.#fsync(directory);
      this.#track(directory, running);
      return running;
    }
    state.next ??= (async () => {
      await state.running.catch(() => undefined);
      const running = this.#fsync(directory);
      this.#track(directory, running);
      await running;
    })();
    return state.next;
  }

  /** Removes a directory and its parents up to the root while they are empty; returns the one that stayed. */
  async removeEmpty(directory: string): Promise<string> {
    let current = directory;
    while (current !== this.root && current.startsWith(`${this.root}/`)) {
      try {
        this.#known.delete(current);
        await rmdir(current);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') return current;
      }
      current = dirname(current);
    }
    return this.root;
  }

  #track(directory: string, running: Promise<void>): void {
    const state = { running };
    this.#syncs.set(directory, state);
    const done = (): void => {
      const now = this.#syncs.get(directory);
      if (now === state && now.next === undefined) this.#syncs.delete(directory);
    };
    running.then(done, done);
  }

  async #fsync(directory: string): Promise<void> {
    const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } catch (error) {
      // Some network and FUSE file systems cannot sync a directory; their metadata is synchronous or beyond our reach.
      if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'ENOTSUP') throw error;
    } finally {
      await handle.close();
    }
  }

  async #makeRoot(): Promise<void> {
    if (this.#known.has(this.root)) return;
    const missing: string[] = [];
    for (let path = this.root; ; path = dirname(path)) {
      // The root itself and what lies above may be links: the administrator chose them.
      const found = await stat(path).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return undefined;
        throw error;
      });
      if (found?.isDirectory() === true) break;
      if (found !== undefined) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
      missing.unshift(path);
    }
    for (const path of missing) {
      await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
        if (errnoOf(error) !== 'EEXIST') throw error;
      });
      await this.sync(dirname(path));
    }
    this.#known.add(this.root);
  }

  async #isDirectory(path: string): Promise<boolean> {
    try {
      const found = await lstat(path);
      if (found.isDirectory()) return true;
      throw new ResurgoError(
        'unsafePath',
        `${path} is ${found.isSymbolicLink() ? 'a symbolic link' : 'no directory'}; a repository follows no links and expects a directory there.`,
      );
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    }
  }
}
