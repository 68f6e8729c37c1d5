import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stats } from 'node:fs';
import { undefinedIfMissing } from './disk-errors.ts';
import { compareKeys, isSafeKey } from './safe-key.ts';

/** Names of unfinished objects begin so; never listed. */
export const temporaryPrefix = '.tmp-';

export interface WalkedFile {
  readonly key: string;
  readonly path: string;
  readonly stats: Stats;
}

export interface WalkOptions {
  /** Only keys that begin so; directories that cannot hold one are not read. */
  readonly prefix: string;
  /** Unfinished objects instead of finished ones. */
  readonly temporary?: boolean;
}

const statsAtOnce = 16;

/**
 * Regular files below `directory` in key order. Memory: the names of one directory per level. Links, sockets, names that are not
 * UTF-8 or not safe are passed over; so is what vanishes meanwhile.
 */
export async function* walk(directory: string, keyPrefix: string, options: WalkOptions): AsyncGenerator<WalkedFile> {
  const wanted = await wantedIn(directory, keyPrefix, options);
  for (let i = 0; i < wanted.length;) {
    const entry = wanted[i];
    if (entry === undefined) return;
    if (entry.directory) {
      i++;
      yield* walk(join(directory, entry.name), `${keyPrefix}${entry.name}/`, options);
      continue;
    }
    const batch: typeof wanted = [];
    for (let file = wanted[i]; file !== undefined && !file.directory && batch.length < statsAtOnce; file = wanted[i]) {
      batch.push(file);
      i++;
    }
    const files = await Promise.all(
      batch.map(async ({ name }) => {
        const path = join(directory, name);
        const stats = await lstat(path).catch(undefinedIfMissing);
        return stats?.isFile() === true ? { key: keyPrefix + name, path, stats } : undefined;
      }),
    );
    for (const file of files) if (file !== undefined) yield file;
  }
}

/** The same, only the keys: nothing is asked about each file. */
export async function* walkKeys(directory: string, keyPrefix: string, prefix: string): AsyncGenerator<string> {
  for (const entry of await wantedIn(directory, keyPrefix, { prefix })) {
    if (entry.directory) yield* walkKeys(join(directory, entry.name), `${keyPrefix}${entry.name}/`, prefix);
    else yield keyPrefix + entry.name;
  }
}

async function wantedIn(directory: string, keyPrefix: string, options: WalkOptions) {
  return (await entriesOf(directory))
    .map((entry) => ({
      directory: entry.isDirectory(),
      file: entry.isFile(),
      name: entry.name,
      sortKey: entry.isDirectory() ? `${entry.name}/` : entry.name,
    }))
    .filter(({ directory: isDirectory, file, name }) => {
      if (!isDirectory && !(file && name.startsWith(temporaryPrefix) === (options.temporary === true))) return false;
      const key = keyPrefix + name;
      return (
        isSafeKey(key) &&
        (isDirectory
          ? `${key}/`.startsWith(options.prefix) || options.prefix.startsWith(`${key}/`)
          : key.startsWith(options.prefix))
      );
    })
    .sort((a, b) => compareKeys(a.sortKey, b.sortKey));
}

/** Names of the real directories in one, sorted; those that hold nothing (left by a crash) too. */
export async function directoriesIn(directory: string, namePrefix: string): Promise<string[]> {
  const entries = await entriesOf(directory);
  return entries
    .filter((e) => e.isDirectory() && e.name.startsWith(namePrefix) && isSafeKey(e.name))
    .map((e) => e.name)
    .sort(compareKeys);
}

async function entriesOf(directory: string) {
  return (await readdir(directory, { withFileTypes: true }).catch(undefinedIfMissing)) ?? [];
}
