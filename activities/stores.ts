import { join } from 'node:path';
import type { ObjectStore } from '../domain/ports.ts';
import { ResurgoError } from '../domain/errors.ts';
import type { LoadedConfig } from '../config/load.ts';
import { resolveRepository } from '../config/resolve.ts';
import { knownRepository, rememberRepository } from './known-repositories.ts';
import { initRepository, openRepository } from '../providers/repository/catalogue.ts';
import { openStore } from '../providers/repository/open-store.ts';

export interface StorePool {
  names(): string[];
  /** @throws repositoryUnreachable, repositoryDenied, repositoryFormat */
  open(name: string, options?: { create?: boolean }): Promise<ObjectStore>;
  spool(backup: string): Promise<ObjectStore>;
  spoolPath(backup: string): string;
  close(): Promise<void>;
}

/** The repositories of a configuration, opened once per process and checked for their format at first use. */
export class Stores implements StorePool {
  private readonly loaded: LoadedConfig;
  private readonly opened = new Map<string, Promise<ObjectStore>>();
  private readonly openStore: typeof openStore;

  /** @param open what makes a store of its settings; tests have others */
  constructor(loaded: LoadedConfig, open: typeof openStore = openStore) {
    this.loaded = loaded;
    this.openStore = open;
  }

  names(): string[] {
    return Object.keys(this.loaded.config.repositories);
  }

  open(name: string, options: { create?: boolean } = {}): Promise<ObjectStore> {
    const known = this.opened.get(name);
    if (known !== undefined) return known;
    const opening = this.reallyOpen(name, options.create ?? false);
    this.opened.set(name, opening);
    opening.catch(() => this.opened.delete(name));
    return opening;
  }

  /** The bounded staging of a policy without a disk repository: a disk store of its own, gone when the run ends. */
  async spool(backup: string): Promise<ObjectStore> {
    return this.openStore('spool', { type: 'disk', path: this.spoolPath(backup) });
  }

  spoolPath(backup: string): string {
    return join(this.loaded.stateDir, 'spool', backup);
  }

  async close(): Promise<void> {
    const all = await Promise.allSettled(this.opened.values());
    this.opened.clear();
    for (const result of all) {
      if (result.status === 'fulfilled') await result.value.close();
    }
  }

  private async reallyOpen(name: string, create: boolean): Promise<ObjectStore> {
    const settings = this.loaded.config.repositories[name];
    if (settings === undefined) throw new ResurgoError('configInvalid', `there is no repository "${name}" in ${this.loaded.path}`);
    const store = await this.openStore(name, resolveRepository(this.loaded, name));
    try {
      // A repository this host has seen before is never made anew: an empty mount point looks like a fresh start.
      const expectId = await knownRepository(this.loaded.stateDir, name);
      const { id } = create ? await initRepository(store, expectId === undefined ? {} : { expectId }) : await openRepository(store, expectId === undefined ? {} : { expectId });
      if (expectId === undefined) await rememberRepository(this.loaded.stateDir, name, id);
      return store;
    } catch (error) {
      await store.close().catch(() => undefined);
      throw error;
    }
  }
}
