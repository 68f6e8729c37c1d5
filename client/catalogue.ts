/** `backups` and `status` read the repositories themselves: losing Temporal loses no knowledge of backups. */
import { join } from 'node:path';
import type { Manifest } from '../domain/backup.ts';
import type { LoadedConfig } from '../config/load.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { isResurgoError, ResurgoError, type ErrorCode } from '../domain/errors.ts';
import { KeyRing } from '../activities/key-ring.ts';
import { Stores } from '../activities/stores.ts';
import { givenUpIn, listBackups, listRunRecords, type ListedBackup } from '../providers/repository/catalogue.ts';
import { ManifestCache } from '../providers/repository/manifest-cache.ts';
import { brokenLink, withoutLost } from '../providers/repository/whole-chain.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import type { ObjectStore } from '../domain/ports.ts';

export interface BackupEntry {
  readonly id: string;
  readonly target: string;
  readonly kind: string;
  readonly parent: string | null;
  readonly status: 'verified' | 'proven' | 'available' | 'published' | 'damaged';
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly durationMs: number | null;
  readonly bytes: { readonly source: number; readonly stored: number } | null;
  readonly repositories: { readonly name: string; readonly status: 'verified' | 'published' | 'damaged' }[];
  /** Every repository the configuration wants it in has it. */
  readonly complete: boolean;
  /** Retention may not remove it. */
  readonly held: boolean;
  /** The restore in place whose data it holds, where that was rolled back: no backup of what there is now. */
  readonly givenUp: string | null;
  readonly systemId: string;
  readonly engine: string | null;
  readonly counts: Manifest['counts'] | null;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface Listing {
  readonly backups: BackupEntry[];
  readonly problems: { readonly repository: string; readonly code: ErrorCode; readonly message: string }[];
  readonly failedRuns: { readonly id: string; readonly target: string; readonly kind?: string; readonly startedAt: string; readonly endedAt: string; readonly error?: { readonly code: string; readonly message: string } }[];
}

interface Copy {
  readonly repository: string;
  readonly ref: ListedBackup;
  readonly store: ObjectStore;
  /** What else the repository holds of the target. */
  readonly all: readonly ListedBackup[];
}

/** All backups of a target (or of every target), newest first, merged over the repositories that answer. */
export async function listCatalogue(loaded: LoadedConfig, target?: string): Promise<Listing> {
  const stores = new Stores(loaded);
  const trusted = await new KeyRing(loaded).trusted().catch(() => [] as string[]);
  const copies = new Map<string, Copy[]>();
  const problems: Listing['problems'] = [];
  const failedRuns = new Map<string, Listing['failedRuns'][number]>();
  const targets = target === undefined ? Object.keys(loaded.config.targets) : [target];
  const wanted = new Set(targets.flatMap((name) => repositoriesFor(loaded.config, name)));
  try {
    await Promise.all(
      [...wanted].map(async (repository) => {
        try {
          const store = await stores.open(repository);
          // Manifests that were read before are read from a cache, which does not tell that one is gone.
          const all = await withoutLost(store, await listBackups(store, target));
          const ofTarget = Map.groupBy(all, (ref) => ref.target);
          for (const ref of all) {
            if (!ref.published && ref.state.length === 0) continue;
            const key = `${ref.target}/${ref.id}`;
            copies.set(key, [...(copies.get(key) ?? []), { repository, ref, store, all: ofTarget.get(ref.target) ?? [] }]);
          }
          for (const name of targets) for (const record of await listRunRecords(store, name, 20)) failedRuns.set(record.id, record);
        } catch (error) {
          if (!isResurgoError(error)) throw error;
          problems.push({ repository, code: error.code, message: error.message });
        }
      }),
    );
    const cache = new ManifestCache(join(loaded.stateDir, 'cache', 'manifests'));
    const backups = await Promise.all([...copies.values()].map((held) => entryOf(loaded, held, cache, trusted)));
    backups.sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : a.id < b.id ? 1 : -1));
    return { backups, problems, failedRuns: [...failedRuns.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1)) };
  } finally {
    await stores.close();
  }
}

async function entryOf(loaded: LoadedConfig, copies: readonly Copy[], cache: ManifestCache, trusted: readonly string[]): Promise<BackupEntry> {
  const first = copies[0] as Copy;
  let manifest: Manifest | undefined;
  let problem: { code: string; message: string } | undefined;
  const repositories: BackupEntry['repositories'] = [];
  for (const { repository, ref, store, all } of copies) {
    try {
      if (!ref.published) throw new Error(`its manifest is gone from ${repository}`);
      const bytes = await cache.read(store, ref);
      const own = parseManifest(bytes, { ref, trusted });
      manifest ??= own;
      const broken = brokenLink(all, ref.systemId, own.chain, repository);
      if (broken !== undefined) throw new ResurgoError('parentMissing', `it cannot be restored: ${broken.reason}`);
      repositories.push({ name: repository, status: ref.state.includes('damaged') ? 'damaged' : ref.state.includes('verified') || ref.state.includes('proven') ? 'verified' : 'published' });
    } catch (error) {
      problem = { code: isResurgoError(error) ? error.code : 'manifestInvalid', message: error instanceof Error ? error.message : String(error) };
      repositories.push({ name: repository, status: 'damaged' });
    }
  }
  repositories.sort((a, b) => (a.name < b.name ? -1 : 1));
  const { ref } = first;
  const here = Object.hasOwn(loaded.config.targets, ref.target) ? repositoriesFor(loaded.config, ref.target, ref.kind) : [];
  const good = repositories.filter((repository) => repository.status !== 'damaged').map((repository) => repository.name);
  return {
    id: ref.id,
    target: ref.target,
    kind: ref.kind,
    parent: manifest?.parent ?? null,
    status: manifest === undefined || good.length === 0 ? 'damaged' : copies.some((copy) => copy.ref.state.includes('proven')) ? 'proven' : manifest.engine === 'rds' ? 'available' : repositories.some((repository) => repository.status === 'verified') ? 'verified' : 'published',
    startedAt: manifest?.startedAt ?? ref.startedAt,
    endedAt: manifest?.endedAt ?? null,
    durationMs: manifest?.durationMs ?? null,
    bytes: manifest?.bytes ?? null,
    repositories,
    complete: here.every((name) => good.includes(name)),
    held: copies.some((copy) => copy.ref.state.includes('hold')),
    givenUp: givenUpIn(copies.map((copy) => copy.ref))([ref])[0]?.givenUp ?? null,
    systemId: ref.systemId,
    engine: manifest?.engine ?? null,
    counts: manifest?.counts ?? null,
    ...(problem === undefined ? {} : { error: problem }),
  };
}
