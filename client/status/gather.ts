/** Facts for `status`, from the repositories themselves: names answer most of it; of each target only a few manifests are read. */
import { join } from 'node:path';
import type { LoadedConfig } from '../../config/load.ts';
import { objectivesOf, repositoriesFor } from '../../config/lookup.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { KeyRing } from '../../activities/key-ring.ts';
import { Stores } from '../../activities/stores.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { givenUpIn, listBackups, listRunRecords, type ListedBackup } from '../../providers/repository/catalogue.ts';
import { ManifestCache } from '../../providers/repository/manifest-cache.ts';
import { keysOf } from '../../providers/repository/layout.ts';
import { brokenLink, linksOf, withoutLost } from '../../providers/repository/whole-chain.ts';
import { parseManifest } from '../../providers/vault/publish.ts';
import type { DueTimes } from '../../domain/run-log.ts';
import { recoveryBackup, windowOf } from '../../domain/recovery.ts';
import { readArchive } from '../../providers/wal/archive-read.ts';
import { rememberedDueTimes, runLogNames, targetHealth, type RunLogNames } from './health.ts';
import { walFacts } from './wal.ts';
import { Remembered } from './remembered.ts';
import type { KnownBackup, ScheduleFacts, TargetFacts } from './judge.ts';

interface Copy {
  readonly repository: string;
  readonly store: ObjectStore;
  readonly ref: ListedBackup;
}

export interface RepositoryStatus {
  readonly name: string;
  readonly status: 'ok' | 'unreachable';
  /** Where the store can tell. */
  readonly freeBytes?: number;
  /** Objects are locked for so long. */
  readonly objectLock?: { readonly mode: string; readonly days: number };
  readonly error?: { readonly code: string; readonly message: string };
}

export interface Gathered {
  readonly targets: readonly Omit<TargetFacts, 'schedules'>[];
  readonly repositories: readonly RepositoryStatus[];
}

const isVerified = (ref: ListedBackup): boolean => ref.state.includes('verified') || ref.state.includes('proven');

export async function gatherFacts(loaded: LoadedConfig, only?: readonly string[]): Promise<Gathered> {
  const names = only ?? Object.keys(loaded.config.targets);
  const stores = new Stores(loaded);
  const trusted = await new KeyRing(loaded).trusted().catch(() => [] as string[]);
  const cache = new ManifestCache(join(loaded.stateDir, 'cache', 'manifests'));
  try {
    const used = stores.names().filter((repository) => names.some((name) => repositoriesFor(loaded.config, name).includes(repository)));
    const held = new Map<string, Copy[]>();
    const open = new Map<string, ObjectStore>();
    const free = new Map<string, number>();
    const repositories = await Promise.all(used.map(async (repository): Promise<RepositoryStatus> => {
      try {
        const store = await stores.open(repository);
        const refs = only === undefined ? await listBackups(store) : (await Promise.all(only.map((name) => listBackups(store, name)))).flat();
        for (const ref of refs) {
          const list = held.get(ref.target);
          if (list === undefined) held.set(ref.target, [{ repository, store, ref }]);
          else list.push({ repository, store, ref });
        }
        open.set(repository, store);
        const settings = loaded.config.repositories[repository];
        const freeBytes = await store.freeBytes().catch(() => undefined);
        if (freeBytes !== undefined) free.set(repository, freeBytes);
        return { name: repository, status: 'ok', ...(freeBytes === undefined ? {} : { freeBytes }), ...(settings?.type === 's3' && settings.objectLock !== undefined ? { objectLock: settings.objectLock } : {}) };
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        return { name: repository, status: 'unreachable', error: { code: error.code, message: error.message } };
      }
    }));
    const away = repositories.flatMap(({ name, error }) => (error === undefined ? [] : [{ name, message: error.message }]));
    const remembered = await Remembered.open(join(loaded.stateDir, 'cache', 'status.json'), trusted);
    const now = Date.now();
    const logs = await runLogNames(open);
    const due = rememberedDueTimes(now);
    const targets = await mapBounded(names, 16, async (name) => targetFacts({ loaded, name, copies: held.get(name) ?? [], away, open, free, cache, trusted, remembered, logs, due, now }));
    if (only === undefined) await remembered.keep();
    return { targets, repositories };
  } finally {
    await stores.close();
  }
}

interface Scope {
  readonly loaded: LoadedConfig;
  readonly name: string;
  readonly copies: readonly Copy[];
  readonly away: readonly { readonly name: string; readonly message: string }[];
  readonly open: ReadonlyMap<string, ObjectStore>;
  readonly free: ReadonlyMap<string, number>;
  readonly cache: ManifestCache;
  readonly trusted: readonly string[];
  readonly remembered: Remembered;
  readonly logs: RunLogNames;
  readonly due: DueTimes;
  readonly now: number;
}

async function targetFacts(scope: Scope): Promise<Omit<TargetFacts, 'schedules'>> {
  const { loaded, name, copies } = scope;
  const objectives = objectivesOf(loaded.config, name);
  const own = repositoriesFor(loaded.config, name);
  // By id, newest first; a copy that is not verified counts for nothing.
  const verified = new Map<string, Copy[]>();
  const known = givenUpIn(copies.map(({ ref }) => ref));
  for (const copy of [...copies].sort((a, b) => (a.ref.name < b.ref.name ? 1 : -1))) {
    // Nor does one of a history that was given up.
    if (!copy.ref.published || !isVerified(copy.ref) || known([copy.ref])[0]?.givenUp !== undefined) continue;
    const same = verified.get(copy.ref.id);
    if (same === undefined) verified.set(copy.ref.id, [copy]);
    else same.push(copy);
  }
  const lost = new Set<string>();
  const newest = await firstWhole(scope, [...verified.values()], lost);
  const fulls = [...verified.values()].filter(([copy]) => copy?.ref.kind === 'full').slice(0, 6);
  const since = newest?.startedAt ?? '';
  const wal = await walFacts(loaded, name, Date.now());
  const lead = newest === undefined ? undefined : verified.get(newest.id)?.[0];
  return {
    name,
    rpoMs: objectives.rpo,
    maxDurationMs: objectives.maxDuration,
    ...(objectives.minSuccess === undefined ? {} : { minSuccess: objectives.minSuccess }),
    health: await targetHealth(name, own, scope.open, scope.logs, scope.now, scope.due),
    newest: newest ?? null,
    fulls: (await Promise.all(fulls.map(async (same) => (same[0]?.ref.id === newest?.id ? newest : read(scope, same))))).flatMap((one) => one ?? []),
    wanted: newest === undefined ? own : repositoriesFor(loaded.config, name, newest.kind),
    unreachable: scope.away.filter((one) => own.includes(one.name)),
    space: own.flatMap((repository) => (scope.free.has(repository) ? [{ name: repository, freeBytes: scope.free.get(repository) ?? 0 }] : [])),
    damaged: lost.size + copies.filter((copy) => !copy.ref.published && copy.ref.state.length > 0).length,
    failedRuns: await failedRuns(scope, own, since),
    ...(wal === undefined ? {} : { wal, ...(lead === undefined ? { walReachable: false } : await walReach(scope, lead)) }),
  };
}

/** Whether the archive of any repository goes on from the backup, and whether to its own end. */
async function walReach(scope: Scope, { store, ref }: Copy): Promise<Pick<TargetFacts, 'walReachable' | 'walCut'>> {
  let cut: Pick<TargetFacts, 'walReachable' | 'walCut'> = { walReachable: false };
  try {
    const { wal, endedAt } = parseManifest(await scope.cache.read(store, ref), { ref, trusted: scope.trusted });
    if (wal === undefined) return cut;
    for (const other of scope.open.values()) {
      const lineages = await readArchive(other, ref.target, ref.systemId, scope.trusted);
      const { fromLsn, to, behindHole } = windowOf(lineages, [recoveryBackup(ref, wal, endedAt)]);
      if (fromLsn === null) continue;
      if (behindHole === undefined) return { walReachable: true };
      cut = { walReachable: true, walCut: { to, behind: behindHole.to } };
    }
  } catch (error) {
    if (!isResurgoError(error)) throw error;
  }
  return cut;
}

/**
 * The newest backup that a repository has whole, with all it builds on; a verified one whose manifest was lost since is no backup. What was
 * read before is remembered, so the store is asked whether the manifests are still there.
 * @param lost is given the manifests that are not
 */
async function firstWhole(scope: Scope, candidates: readonly (readonly Copy[])[], lost: Set<string>): Promise<KnownBackup | undefined> {
  for (const same of candidates) {
    const known = await read(scope, same);
    if (known === undefined) continue;
    const whole: string[] = [];
    for (const copy of same) if (await isWhole(scope, copy, known.chain ?? [], lost)) whole.push(copy.repository);
    if (whole.length > 0) return { ...known, repositories: whole };
  }
  return undefined;
}

async function isWhole({ copies }: Scope, { store, ref, repository }: Copy, chain: readonly string[], lost: Set<string>): Promise<boolean> {
  const listed = copies.flatMap((copy) => (copy.repository === repository ? [copy.ref] : []));
  const needed = await withoutLost(store, linksOf(listed, ref.systemId, [...chain, ref.id]));
  for (const one of needed) if (!one.published) lost.add(`${repository} ${keysOf(one).manifest}`);
  return brokenLink(needed, ref.systemId, [...chain, ref.id], repository) === undefined;
}

async function read(scope: Scope, same: readonly Copy[]): Promise<KnownBackup | undefined> {
  const repositories = same.map(({ repository }) => repository);
  for (const { store, ref, repository } of same) {
    const key = `${repository}/${ref.target}/${ref.systemId}/${ref.name}`;
    const before = scope.remembered.get(key);
    if (before?.chain !== undefined) return { ...before, repositories };
    try {
      const manifest = parseManifest(await scope.cache.read(store, ref), { ref, trusted: scope.trusted });
      const facts = { id: ref.id, kind: ref.kind, startedAt: manifest.startedAt, endedAt: manifest.endedAt, durationMs: manifest.durationMs, engine: manifest.engine, sourceBytes: manifest.bytes.source, chain: manifest.chain };
      scope.remembered.set(key, facts);
      return { ...facts, repositories };
    } catch (error) {
      if (!isResurgoError(error)) throw error;
    }
  }
  return undefined;
}

async function failedRuns({ name, open }: Scope, own: readonly string[], since: string): Promise<TargetFacts['failedRuns']> {
  const found = new Map<string, { startedAt: string; message: string }>();
  for (const repository of own) {
    const store = open.get(repository);
    if (store === undefined) continue;
    for (const record of await listRunRecords(store, name, 5)) if (record.startedAt > since) found.set(record.id, { startedAt: record.startedAt, message: record.error.message });
  }
  return [...found.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** Joined with what Temporal knows, where it could be asked. */
export const withSchedules = (facts: Omit<TargetFacts, 'schedules'>, schedules: ReadonlyMap<string, ScheduleFacts> | undefined): TargetFacts => ({ ...facts, schedules: schedules?.get(facts.name) ?? null });
