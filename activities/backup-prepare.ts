import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupKind, BackupRef, Manifest } from '../domain/backup.ts';
import type { PreparedBackup } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { backupName } from '../providers/repository/layout.ts';
import { swappedSince, type Swap } from '../domain/swaps.ts';
import { deleteBackup, listBackups, readManifestBytes, type ListedBackup } from '../providers/repository/catalogue.ts';
import { spreadSwaps } from '../providers/repository/swap-notes.ts';
import { brokenLink, linksOf, withoutLost } from '../providers/repository/whole-chain.ts';
import { claimEpoch } from '../providers/repository/writer-epoch.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import { pingBackup } from './deadman.ts';
import type { ActivityDeps } from './deps.ts';
import { ParentKeys } from './parent-keys.ts';
import type { PreparedSource } from './engines/engine.ts';
import { engineDefinition } from './engines/index.ts';
import { targetSettings, type TargetSettings } from './target-settings.ts';

/** Temporary objects of dead writers are swept at this age: nothing that old is still being written. */
const dayMs = 24 * 3600_000;

export interface PrepareInput {
  readonly id: string;
  readonly target: string;
  readonly kind: BackupKind;
  readonly startedBy: string;
  readonly startedAt: string;
}

/**
 * Decides everything about a backup before anything is touched: is the source there, does it allow this kind, which repositories can take it,
 * what does it build on. Also sweeps what dead runs of this target left: the caller holds the target's lock, so nothing unpublished is alive.
 * @throws sourceUnreachable, sourceDenied, sourceVersion, repositoryUnreachable (no repository answers)
 */
export async function prepareBackup(deps: ActivityDeps, input: PrepareInput): Promise<PreparedBackup> {
  const settings = targetSettings(deps, input.target);
  const repositories = repositoriesFor(deps.loaded.config, input.target, input.kind);
  await pingBackup(deps.loaded, input.target, 'start', `${input.kind} backup ${input.id} of ${input.target}`, input.id);
  const source = await engineDefinition(settings.engine).prepare({ deps, settings, kind: input.kind });
  const warnings: string[] = [...source.warnings];
  const reachable: ObjectStore[] = [];
  const epochs: Record<string, string> = {};
  const problems: string[] = [];
  let firstProblem: unknown;
  for (const name of repositories) {
    try {
      // One that was opened before may be away now.
      const store = await deps.stores.open(name, { create: true });
      epochs[name] = await claimEpoch(store, input.target, input.id);
      await sweepUnpublished(store, input.target, input.id);
      await store.sweepTemporary?.(dayMs);
      reachable.push(store);
    } catch (error) {
      if (!isResurgoError(error) || !error.code.startsWith('repository')) throw error;
      firstProblem ??= error;
      problems.push(`${name}: ${error.message}`);
    }
  }
  const [first] = reachable;
  if (first === undefined) {
    if (repositories.length === 1) throw firstProblem;
    throw new ResurgoError('repositoryUnreachable', `no repository of ${input.target} answers: ${problems.join('; ')}`, { cause: firstProblem });
  }
  warnings.push(...problems.map((problem) => `repository not reached at the start: ${problem}`));
  const disk = reachable.find((store) => store.kind === 'disk');
  const swaps = await spreadSwaps(reachable, input.target, source.systemId);
  const parent = input.kind === 'full' ? undefined : await chooseParent(deps, [disk ?? first, ...reachable.filter((store) => store !== (disk ?? first))], settings, withSwaps(source, swaps), input.kind, warnings);
  const kind = parent === undefined ? 'full' : input.kind;
  const primary = disk?.name ?? 'spool';
  const startedAt = await ownSecond(disk ?? first, input.target, input.startedAt, swaps);
  return {
    backup: input.id,
    target: input.target,
    systemId: source.systemId,
    name: backupName({ startedAt, kind, id: input.id }),
    kind,
    ...(kind === input.kind ? {} : { asked: input.kind }),
    engine: settings.engine,
    parent: parent?.id ?? null,
    chain: parent?.chain ?? [],
    startedAt,
    startedBy: input.startedBy,
    repositories: primary === 'spool' ? repositories : [primary, ...repositories.filter((name) => name !== primary)],
    primary,
    configHash: settings.hash,
    epochs,
    warnings,
    verify: settings.verify,
  };
}

/**
 * Names tell which backup is the newest, to the second: one that would share its second with the one before waits for the next, or `latest` and
 * the next incremental might take the older of the two. They also tell whether it was before or after the data was swapped.
 */
export async function ownSecond(store: ObjectStore, target: string, startedAt: string, swaps: readonly Pick<Swap, 'at'>[] = []): Promise<string> {
  const second = (time: string): number => Math.floor(Date.parse(time) / 1000);
  const [newest] = await listBackups(store, target);
  const before = [...(newest === undefined ? [] : [second(newest.startedAt)]), ...swaps.map(({ at }) => Math.floor(at / 1000))];
  if (before.length === 0) return startedAt;
  const last = Math.max(...before);
  const ahead = last - second(startedAt);
  // One of tomorrow, by a clock that was wrong, is not waited for.
  if (ahead < 0 || ahead > 2) return startedAt;
  const next = (last + 1) * 1000;
  await sleep(Math.max(0, next - Date.now()));
  return new Date(Math.max(next, Date.now())).toISOString();
}

const withSwaps = (source: PreparedSource, swaps: readonly Swap[]): PreparedSource =>
  swaps.length === 0 ? source : { ...source, refusesParent: (manifest) => swappedSince(swaps, manifest.startedAt) ?? source.refusesParent?.(manifest) };

interface Parent {
  readonly id: string;
  readonly chain: readonly string[];
}

/** Differential: the newest full. Incremental: the newest backup of any kind. None: a full is taken and the reason said. */
async function chooseParent(deps: ActivityDeps, stores: readonly [ObjectStore, ...ObjectStore[]], settings: TargetSettings, { systemId, refusesParent }: PreparedSource, kind: BackupKind, warnings: string[]): Promise<Parent | undefined> {
  const [store] = stores;
  const all = (await listBackups(store, settings.name)).filter((ref) => ref.published || ref.state.length > 0);
  // One in which a verification found damage carries nothing.
  const damaged = (ref: ListedBackup): boolean => !ref.published || ref.state.includes('damaged');
  const good = all.filter((ref) => !damaged(ref));
  const here = good.filter((ref) => ref.systemId === systemId);
  const candidates: BackupRef[] = kind === 'differential' ? here.filter((ref) => ref.kind === 'full') : here;
  const trusted = await deps.keys.trusted();
  const manifestOf = async (ref: BackupRef): Promise<Manifest> => parseManifest(await readManifestBytes(store, ref), { ref, trusted });
  const keys = new ParentKeys({
    stores, audience: await deps.keys.audience(),
    original: async (id) => {
      const ref = here.find((one) => one.id === id);
      return ref === undefined ? [] : (await manifestOf(ref)).encryption.recipients;
    },
  });
  let closed = 0;
  for (const ref of candidates) {
    try {
      const manifest = await manifestOf(ref);
      if (manifest.engine !== settings.engine) continue;
      const links = linksOf(all, systemId, manifest.chain);
      const bad = links.find((link) => link.state.includes('damaged'));
      const broken = bad === undefined ? brokenLink(await withoutLost(store, links), systemId, manifest.chain, store.name)?.reason : `${bad.id} of its chain is damaged in ${store.name}`;
      if (broken !== undefined) {
        warnings.push(`${ref.name} is not built on: ${broken}`);
        continue;
      }
      const refusal = refusesParent?.(manifest);
      if (refusal !== undefined) {
        warnings.push(`${ref.name} is not built on: ${refusal}`);
        continue;
      }
      const chain = [...manifest.chain, manifest.id];
      const wrapped = await keys.refusal(chain);
      if (wrapped !== undefined) {
        // After a change of recipients it is the same of every backup before: said once.
        if (closed++ === 0) warnings.push(`${ref.name} is not built on: not everybody in the configuration could restore what is: ${wrapped}`);
        continue;
      }
      return { id: manifest.id, chain };
    } catch (error) {
      if (!isResurgoError(error)) throw error;
      if (error.definition.retryable) throw error;
      warnings.push(`${ref.name} is not built on: ${error.message}`);
    }
  }
  const own = all.filter((ref) => ref.systemId === systemId);
  const why =
    all.length === 0 ? 'there is no backup yet'
    : own.length === 0 ? `the backups there are of another source (this one is ${systemId})`
    : here.length === 0 ? `all of its ${String(own.length)} backups in ${store.name} are damaged`
    : closed > 0 ? 'the keys of those there are are not wrapped for everybody who is to restore now'
    : 'none of its backups can be built on';
  warnings.push(`a full backup was taken instead of ${kind}: ${why}`);
  return undefined;
}

/** Removes directories without a manifest. One whose state says it was published is damage, not an orphan, and stays for a person to see. */
async function sweepUnpublished(store: ObjectStore, target: string, own: string): Promise<void> {
  for (const ref of await listBackups(store, target)) {
    if (!ref.published && ref.id !== own && ref.state.length === 0) await deleteBackup(store, ref);
  }
}
