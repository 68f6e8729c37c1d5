import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, statfs, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../domain/ports.ts';
import { throwIfAborted } from './abort.ts';
import { mapBounded } from './bounded.ts';
import { DiskDirectories } from './disk-directories.ts';
import { diskError, errnoOf, undefinedIfMissing } from './disk-errors.ts';
import { directoriesIn, temporaryPrefix, walk, walkKeys } from './disk-walk.ts';
import { writeWhole } from './disk-write.ts';
import { repositoryKey } from './layout.ts';
import { safeKey, safePrefix } from './safe-key.ts';

export interface DiskStoreOptions {
  readonly name: string;
  /** Absolute. Made 0700 with the first object when missing. */
  readonly path: string;
  /**
   * `required`: nothing is read or written (but `repository.json`) while that file is missing, so that an unmounted disk is
   * "unreachable" and its empty mount point is never filled. `once-seen` (default): the same from the moment on when this store has
   * seen the file; before that it is a plain place for objects, such as a spool.
   */
  readonly marker?: 'required' | 'once-seen';
}

type GetOptions = { readonly offset?: number; readonly length?: number; readonly signal?: AbortSignal };

/** A directory as object store. Objects 0600, directories 0700; an object appears whole and durable or not at all. */
export class DiskStore implements ObjectStore {
  readonly name: string;
  readonly kind = 'disk' as const;
  readonly root: string;
  readonly #directories: DiskDirectories;
  #markerRequired: boolean;

  constructor(options: DiskStoreOptions) {
    this.name = options.name;
    this.root = resolve(options.path);
    this.#directories = new DiskDirectories(this.root);
    this.#markerRequired = options.marker === 'required';
  }

  /** @throws objectExists, repositoryFull, repositoryDenied, repositoryUnreachable, unsafePath, cancelled */
  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<void> {
    const { directory, file } = this.#split(key);
    await this.#guard(`Writing ${key}`, async () => {
      if (key !== repositoryKey) await this.#checkMarker();
      // A concurrent delete may remove a directory that has just become empty: make it again.
      for (let attempt = 1; ; attempt++) {
        try {
          const path = await this.#directories.make(directory);
          await writeWhole(path, file, body, options);
          await this.#directories.sync(path);
          return;
        } catch (error) {
          if (errnoOf(error) !== 'ENOENT' || attempt === 5) throw error;
          this.#directories.forget();
        }
      }
    });
  }

  /** A range beyond the end gives what is there. @throws objectMissing, repositoryUnreachable, repositoryDenied, unsafePath */
  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    return this.#guard(`Reading ${key}`, async () => {
      throwIfAborted(options.signal, `Reading ${key}`);
      const handle = await this.#open(key);
      if (handle === undefined) {
        if (key !== repositoryKey) await this.#checkMarker();
        throw new ResurgoError('objectMissing', `${key} is not in repository ${this.name} (${this.root}).`);
      }
      try {
        const { size } = await handle.stat();
        const from = Math.min(options.offset ?? 0, size);
        const buffer = Buffer.allocUnsafe(Math.min(options.length ?? size, size - from));
        for (let done = 0; done < buffer.length;) {
          throwIfAborted(options.signal, `Reading ${key}`);
          const { bytesRead } = await handle.read(buffer, done, buffer.length - done, from + done);
          if (bytesRead === 0)
            throw new ResurgoError(
              'repositoryUnreachable',
              `${key} in repository ${this.name} ended after ${String(from + done)} of ${String(size)} bytes.`,
            );
          done += bytesRead;
        }
        return buffer;
      } finally {
        await handle.close();
      }
    });
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const { directory, file } = this.#split(key);
    return this.#guard(`Looking up ${key}`, async () => {
      throwIfAborted(signal, `Looking up ${key}`);
      const path = await this.#directories.find(directory);
      const stats = path === undefined ? undefined : await lstat(join(path, file)).catch(undefinedIfMissing);
      if (stats === undefined && key !== repositoryKey) await this.#checkMarker();
      return stats?.isFile() === true ? infoOf(key, stats) : undefined;
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    safePrefix(prefix);
    const what = `Listing ${prefix}`;
    try {
      await this.#checkMarker();
      const cut = prefix.lastIndexOf('/') + 1;
      const start = await this.#directories.find(prefix.slice(0, cut).split('/').filter(Boolean));
      if (start === undefined) return;
      for await (const { key, stats } of walk(start, prefix.slice(0, cut), { prefix })) {
        throwIfAborted(signal, what);
        yield infoOf(key, stats);
      }
    } catch (error) {
      throw this.#explain(error, what);
    }
  }

  async *listKeys(prefix: string, signal?: AbortSignal): AsyncGenerator<string> {
    safePrefix(prefix);
    const what = `Listing ${prefix}`;
    try {
      await this.#checkMarker();
      const cut = prefix.lastIndexOf('/') + 1;
      const start = await this.#directories.find(prefix.slice(0, cut).split('/').filter(Boolean));
      if (start === undefined) return;
      for await (const key of walkKeys(start, prefix.slice(0, cut), prefix)) {
        throwIfAborted(signal, what);
        yield key;
      }
    } catch (error) {
      throw this.#explain(error, what);
    }
  }

  async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    safePrefix(prefix);
    return this.#guard(`Listing ${prefix}`, async () => {
      throwIfAborted(signal, `Listing ${prefix}`);
      await this.#checkMarker();
      const cut = prefix.lastIndexOf('/') + 1;
      const start = await this.#directories.find(prefix.slice(0, cut).split('/').filter(Boolean));
      return start === undefined ? [] : directoriesIn(start, prefix.slice(cut));
    });
  }

  /** Durable when it returns, so that "manifest first, then the rest" holds through a power loss. */
  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const places = keys.map((key) => ({ key, ...this.#split(key) }));
    await this.#guard(
      `Deleting ${keys.length === 1 ? (keys[0] ?? '') : `${String(keys.length)} objects`}`,
      async () => {
        await this.#checkMarker();
        const touched = new Set<string>();
        await mapBounded(places, 8, async ({ key, directory, file }) => {
          throwIfAborted(signal, `Deleting ${key}`);
          const path = await this.#directories.find(directory);
          if (path === undefined) return;
          await unlink(join(path, file)).catch(undefinedIfMissing);
          // Also when it was gone already: a crash may have left the directory empty.
          touched.add(path);
        });
        // Deepest first, so that emptied parents go too.
        const left = new Set<string>();
        for (const path of [...touched].sort((a, b) => b.length - a.length))
          left.add(await this.#directories.removeEmpty(path));
        for (const path of left) await this.#directories.sync(path).catch(undefinedIfMissing);
      },
    );
  }

  async freeBytes(): Promise<number> {
    return this.#guard('Asking for free space', async () => {
      for (let path = this.root; ; path = dirname(path)) {
        const found = await statfs(path).catch(undefinedIfMissing);
        if (found !== undefined) return found.bavail * found.bsize;
      }
    });
  }

  /** Removes unfinished objects older than this (milliseconds), which a crash left. Returns how many. */
  async sweepTemporary(olderThanMs: number, signal?: AbortSignal, prefix = ''): Promise<number> {
    safePrefix(prefix);
    return this.#guard('Sweeping unfinished objects', async () => {
      let swept = 0;
      const before = Date.now() - olderThanMs;
      const start = await this.#directories.find(prefix.split('/').filter(Boolean));
      if (start === undefined) return 0;
      for await (const { path, stats } of walk(start, prefix, { prefix, temporary: true })) {
        throwIfAborted(signal, 'Sweeping unfinished objects');
        if (stats.mtimeMs > before) continue;
        await unlink(path).then(() => swept++, undefinedIfMissing);
      }
      return swept;
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #open(key: string): Promise<FileHandle | undefined> {
    const { directory, file } = this.#split(key);
    const path = await this.#directories.find(directory);
    // Non-blocking: a FIFO put there by someone must not hang us.
    const handle =
      path === undefined
        ? undefined
        : await open(join(path, file), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
            undefinedIfMissing,
          );
    if (handle === undefined) return undefined;
    const regular = await handle.stat().then(
      (s) => s.isFile(),
      () => false,
    );
    if (regular) return handle;
    await handle.close();
    return undefined;
  }

  #split(key: string): { directory: string[]; file: string } {
    const segments = safeKey(key).split('/');
    if (segments.some((segment) => segment.startsWith(temporaryPrefix)))
      throw new ResurgoError(
        'unsafePath',
        `The object key ${key} is not allowed: names that begin with ${temporaryPrefix} are kept for unfinished objects.`,
      );
    return { directory: segments.slice(0, -1), file: basename(key) };
  }

  async #checkMarker(): Promise<void> {
    const marker = await lstat(join(this.root, repositoryKey)).catch(undefinedIfMissing);
    if (marker?.isFile() === true) {
      this.#markerRequired = true;
      return;
    }
    if (!this.#markerRequired) return;
    this.#directories.forget();
    throw new ResurgoError(
      'repositoryUnreachable',
      `Repository ${this.name}: ${this.root} holds no ${repositoryKey}.`,
      { details: { hint: 'Mount the disk; `resurgo init` makes a new repository.' } },
    );
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#explain(error, what);
    }
  }

  #explain(error: unknown, what: string): ResurgoError {
    return diskError(error, `${what} in repository ${this.name} (${this.root})`);
  }
}

const infoOf = (key: string, stats: Stats): ObjectInfo => ({
  key,
  size: stats.size,
  modifiedAt: stats.mtime.toISOString(),
});
