/** Whether everybody who is to restore now can open what a backup would be built on. */
import { isResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { mapBounded } from '../providers/repository/bounded.ts';
import type { AgeAudience } from '../providers/vault/age-file.ts';
import { cannotOpen, wrappedFor } from '../providers/vault/wrapped-for.ts';

export interface ParentKeysOptions {
  /** Where the parent was found first; the others count as far as they hold it and answer. */
  readonly stores: readonly [ObjectStore, ...ObjectStore[]];
  readonly audience: AgeAudience;
  /** For whom the manifest of a backup says it was made. */
  readonly original: (id: string) => Promise<readonly string[]>;
}

/**
 * This host can build on every backup it took, whoever can open it: the metadata key is its own. But what builds on a chain of which one link is closed to
 * a new identity is closed too, and a verification with the keys of its run does not see that.
 */
export class ParentKeys {
  private readonly options: ParentKeysOptions;
  /** Chains share their links. */
  private readonly known = new Map<string, Promise<string | undefined>>();

  constructor(options: ParentKeysOptions) {
    this.options = options;
  }

  /** Why not, in words, of the first link and repository for which it is so. */
  async refusal(chain: readonly string[]): Promise<string | undefined> {
    const found = await mapBounded(chain, 8, (id) => {
      let known = this.known.get(id);
      if (known === undefined) this.known.set(id, (known = this.ask(id)));
      return known;
    });
    return found.find((one) => one !== undefined);
  }

  private async ask(id: string): Promise<string | undefined> {
    const { stores, audience, original } = this.options;
    for (const store of stores) {
      const isFirst = store === stores[0];
      try {
        const keys = await wrappedFor(store, id, () => original(id));
        const why = keys.files === 0 && !isFirst ? undefined : cannotOpen(keys, audience);
        if (why !== undefined) return `the keys of ${id} in ${store.name}: ${why}${keys.files === 0 ? '' : ' (`resurgo keys rewrap` does that, where an identity opens them)'}`;
      } catch (error) {
        // What another repository has is asked for certainty only.
        if (isFirst || !isResurgoError(error) || error.code === 'cancelled') throw error;
      }
    }
    return undefined;
  }
}
