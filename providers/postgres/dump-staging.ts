import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { openFiles, processTree } from '../host/processes.ts';

export interface StagedFile {
  readonly name: string;
  readonly size: number;
  /** No process of the dump writes to it any more. */
  readonly final: boolean;
}

/**
 * Looks at the files a running pg_dump has in its directory. A file is final when it has content and none of the dump's processes
 * has it open: each file is opened once, by one worker. An empty file may be one whose descriptor is not yet to be seen, so it
 * is final only when pg_dump has ended; so is every file where /proc cannot be read.
 */
export class DumpStaging {
  readonly #directory: string;
  readonly #pid: number;
  readonly #jobs: number;
  readonly #known: Set<number>;

  /** @param directory absolute, without symbolic links */
  constructor(directory: string, pid: number, jobs: number) {
    this.#directory = directory;
    this.#pid = pid;
    this.#jobs = jobs;
    this.#known = new Set([pid]);
  }

  /** Sizes first, descriptors after: whatever had content at the first look had its descriptor open by then. */
  async look(packed: ReadonlyMap<string, unknown>): Promise<StagedFile[]> {
    const files = await this.#list(packed);
    if (files.length === 0) return [];
    const open = await this.#open();
    return files.map(({ name, size }) => ({
      name,
      size,
      final: open !== undefined && size > 0 && !open.has(join(this.#directory, name)),
    }));
  }

  /** After pg_dump has ended: everything is final. */
  async rest(packed: ReadonlyMap<string, unknown>): Promise<StagedFile[]> {
    return (await this.#list(packed)).map((file) => ({ ...file, final: true }));
  }

  /** What is not packed yet; a packed file may stay for a while. */
  async #list(packed: ReadonlyMap<string, unknown>): Promise<{ name: string; size: number }[]> {
    const names = await readdir(this.#directory).catch((error: unknown): string[] => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const files: { name: string; size: number }[] = [];
    for (const [i, name] of names.entries()) {
      // Two microseconds each, where the thread pool takes thirty; but hundreds of thousands must not stop the heartbeat.
      if (i % 10_000 === 9999) await new Promise(setImmediate);
      if (!packed.has(name)) files.push({ name, size: statSync(join(this.#directory, name)).size });
    }
    return files;
  }

  async #open(): Promise<Set<string> | undefined> {
    // The workers are forked together, before the first data file: once all are known no more come.
    const workers = this.#jobs > 1 ? this.#jobs + 1 : 1;
    if (this.#known.size < workers) for (const pid of await processTree(this.#pid)) this.#known.add(pid);
    if (this.#known.size < workers) return undefined;
    const paths = new Set<string>();
    let seen = 0;
    for (const pid of this.#known) {
      const targets = await openFiles(pid);
      if (targets === undefined) continue; // Ended: it has nothing open.
      seen++;
      for (const target of targets) paths.add(target);
    }
    return seen === 0 ? undefined : paths;
  }
}
