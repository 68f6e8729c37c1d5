/** Whether backups that a listing takes for published still have their manifests: asked of the store by name, without reading one. */
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from './bounded.ts';
import type { ListedBackup } from './catalogue.ts';
import { keysOf } from './layout.ts';

/** In a listing the state `verified` stands for the manifest, which somebody may have deleted since. One request for each of these backups. */
export async function withoutLost<R extends ListedBackup>(store: ObjectStore, refs: readonly R[], signal?: AbortSignal): Promise<R[]> {
  return mapBounded(refs, 16, async (ref) => (ref.published && (await store.head(keysOf(ref).manifest, signal)) === undefined ? { ...ref, published: false } : ref));
}

/** What keeps a backup from being restored from a repository alone. */
export interface BrokenLink {
  readonly id: string;
  readonly reason: string;
}

/** The first link of a chain that is not in a listing (of one repository, each looked for by {@link withoutLost}) as a backup. */
export function brokenLink(all: readonly ListedBackup[], systemId: string, chain: readonly string[], repository: string): BrokenLink | undefined {
  for (const id of chain) {
    const link = all.find((other) => other.id === id && other.systemId === systemId);
    if (link === undefined) return { id, reason: `${id} of its chain is gone from ${repository}` };
    if (!link.published) return { id, reason: `${id} of its chain has lost its manifest in ${repository}` };
  }
  return undefined;
}

/** The links of a chain that a listing has. */
export const linksOf = <R extends ListedBackup>(all: readonly R[], systemId: string, chain: readonly string[]): R[] =>
  all.filter((ref) => ref.systemId === systemId && chain.includes(ref.id));
