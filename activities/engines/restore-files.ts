import { createHash } from 'node:crypto';
import { access, constants, mkdir, readdir, realpath, rename, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { tmpdir } from 'node:os';
import type { BackupIndex, FilesFacts } from '../../domain/backup.ts';
import type { BackupReader } from '../../domain/ports.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { isWithin, readListing } from '../../providers/files/listing.ts';
import { listingOf, restoreFiles, selects, syncFiles, withFirstNames, type Place } from '../../providers/files/restore.ts';
import { assertSwappable, confirmFiles, mostPath, readSwap, swapBackFiles, unfinished, swapInFiles, type SwapPath } from '../../providers/files/swap.ts';
import { verifyFiles } from '../../providers/files/verify.ts';
import { rootsOf } from '../../providers/files/walk.ts';
import { removeTree } from '../../providers/host/remove-tree.ts';
import { existing, freeBytes } from '../../providers/host/space.ts';
import { syncDirectory } from '../../providers/host/files.ts';
import type { ActivityDeps } from '../deps.ts';
import { plansInPlace } from '../restore-record.ts';
import type { TargetSettings } from '../target-settings.ts';
import { ownPlaces } from './own-places.ts';
import type { RestoreEngine } from './restore-engine.ts';

/** What later steps need: where each part is built, and in place what it takes the place of. */
interface FilesState {
  readonly places: readonly Place[];
  readonly swaps: readonly SwapPath[];
  /** `--only` without leading slashes, with the names that hold the content of further names. */
  readonly only: readonly string[];
  /** The destination was made by this restore. */
  readonly made: boolean;
}

const buildName = (id: string): string => `.resurgo-build-${id}`;
const stateOf = (plan: RestorePlan): FilesState => plan.engineState as FilesState;
const relative = (path: string): string => path.replace(/^\/+|\/+$/g, '');

/** Restores a tree of files: built in a directory of its own on the same file system, compared, then moved by renames. */
export function filesRestoreEngine(deps: ActivityDeps, settings: TargetSettings, factsOf: (index: BackupIndex) => FilesFacts): RestoreEngine {
  return {
    async inspect(input, chain, open) {
      const mode = input.mode ?? 'beside';
      if (input.digest === true) throw new ResurgoError('unsupported', '--digest is for tables; files are compared by SHA-256 always');
      const reader = await open();
      const facts = factsOf(reader.index);
      const listing = listingOf(reader);
      const asked = (input.only ?? []).map(relative);
      const only = withFirstNames(listing, asked);
      const { bytes, longest } = sizesOf(listing, only);
      assertKnown(listing, asked);
      const warnings = facts.unread + facts.changing === 0 ? [] : [`the backup has ${String(facts.unread)} files less than its source, and ${String(facts.changing)} that changed while they were read`];
      const common = { stopsServices: mode === 'in-place' && settings.service?.stop !== undefined, requiredBytes: bytes };
      if (mode === 'in-place') {
        const roots = asked.length > 0 ? rootsOf(asked.map((path) => `/${path}`)) : rootsOf(facts.paths);
        const outside = only.find((path) => !roots.some((root) => isWithin(path, relative(root))));
        if (outside !== undefined) throw new ResurgoError('unsupported', `/${outside} holds the content of another name of it that --only asks for; name both`);
        await assertNonePending(deps, settings.name, input.id);
        const own = await Promise.all(ownPlaces(deps.loaded, settings.config).map(async ({ what, path }) => ({ what, path: await realpath(path).catch(() => path) })));
        const swaps: SwapPath[] = [];
        for (const root of roots.filter((path) => asked.length > 0 || hasEntry(listing, relative(path)))) {
          if (root === '/') throw new ResurgoError('unsupported', 'the root of the file system cannot be swapped while it is in use', { details: { hint: 'Restore beside with --to, or name directories with --only.' } });
          await assertSwappable(root, input.id);
          const real = await realpath(root).catch(() => root);
          const inside = own.find(({ path }) => isWithin(relative(path), relative(real)));
          if (inside !== undefined) throw new ResurgoError('unsupported', `${inside.what} (${inside.path}) lies in ${root}: it would be moved away with the old tree`, { details: { hint: 'Restore beside with --to, or name directories with --only; better, keep it outside of what is backed up.' } });
          swaps.push({ path: root, work: join(dirname(root), `${buildName(input.id)}-${shortHash(root)}`) });
        }
        const places = swaps.map(({ path, work }) => ({ path: relative(path), directory: work, strip: relative(path).split('/').length - 1 }));
        for (const { work } of swaps) await assertWritable(dirname(work));
        assertFits(longest, Buffer.byteLength(`${buildName(input.id)}-${shortHash('')}/`));
        const free = await Promise.all(swaps.map(({ work }) => freeBytes(dirname(work))));
        return {
          ...common,
          destination: swaps.map(({ path }) => path).join(', '),
          replaces: true,
          freeBytes: Math.min(...free),
          warnings: [...warnings, ...(facts.exclude.length === 0 && (settings.config as { include?: readonly string[] }).include === undefined ? [] : ['what the backup leaves out (exclude, include) is not in the restored tree; it stays in the kept copy, and goes with it when the restore is confirmed'])],
          engineState: { places, swaps, only: asked.length === 0 ? [] : only, made: false } satisfies FilesState,
        };
      }
      const destination = mode === 'scratch' ? join(settings.config.staging ?? tmpdir(), `resurgo-scratch-${input.id}`) : resolve(input.to as string);
      const content = await contentOf(destination);
      if (content !== undefined && content.some((name) => !name.startsWith(buildName('')))) throw new ResurgoError('destinationNotEmpty', `${destination} exists and is not empty`);
      await assertWritable(destination);
      assertFits(longest, Buffer.byteLength(join(destination, buildName(input.id))));
      return {
        ...common,
        destination,
        replaces: false,
        freeBytes: await freeBytes(destination),
        warnings,
        engineState: { places: [{ path: '', directory: join(destination, buildName(input.id)), strip: 0 }], swaps: [], only, made: content === undefined } satisfies FilesState,
      };
    },

    async build(plan, chain, { signal, report }) {
      const { places, only, made } = stateOf(plan);
      if (made) await mkdir(plan.destination, { recursive: true, mode: 0o700 });
      for (const { directory } of places) await removeTree(directory);
      const restored = await restoreFiles({ chain, places, only, signal, onProgress: report });
      await syncFiles(places.map(({ directory }) => directory));
      return { bytes: restored.bytes, files: restored.files, records: null, checks: ['the list of files is safe'], warnings: restored.warnings };
    },

    async verify(plan, chain, { signal, report }) {
      const { places, only } = stateOf(plan);
      const found = await verifyFiles({ listing: listingOf(chain.at(-1) as BackupReader), places, only, signal, onProgress: report });
      return { files: found.files, checks: [`${String(found.entries)} entries: type, size, mode, time, ${process.getuid?.() === 0 ? 'owner, ' : ''}links`, 'SHA-256 of every file', ...found.warnings] };
    },

    async swapIn(plan) {
      const kept = await swapInFiles(stateOf(plan).swaps, plan.id);
      return kept.length === 0 ? {} : { kept: kept.join(', ') };
    },

    async swapBack(plan) {
      const { restored } = await swapBackFiles(stateOf(plan).swaps, plan.id, false);
      return restored.length === 0 ? 'the old data was never moved' : `${restored.join(', ')} is the old data again`;
    },

    async settle(plan) {
      const { places: [place] } = stateOf(plan);
      if (plan.mode === 'scratch' || place === undefined) {
        await removeTree(plan.destination);
        return `${plan.destination} was removed`;
      }
      for (const name of (await contentOf(place.directory)) ?? []) await rename(join(place.directory, name), join(plan.destination, name));
      await rmdir(place.directory).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
      await syncDirectory(plan.destination);
      return `${plan.destination} is ready`;
    },

    async discard(plan) {
      const { places, made } = stateOf(plan);
      for (const { directory } of places) await removeTree(directory);
      if (plan.mode === 'scratch') await removeTree(plan.destination);
      else if (made) await rmdir(plan.destination).catch(() => undefined);
      return `${places.map(({ directory }) => directory).join(', ')} was removed`;
    },

    async health(plan) {
      const missing = [];
      for (const { path } of stateOf(plan).swaps) if ((await contentOf(path)) === undefined) missing.push(path);
      if (missing.length > 0) throw new ResurgoError('restoreMismatch', `${missing.join(', ')} is not there`);
      return `${plan.destination} is there`;
    },

    async keeps(plan) {
      for (const { path } of stateOf(plan).swaps) if ((await readSwap(path))?.id === plan.id) return true;
      return false;
    },

    async confirm(plan) {
      const { removed, left } = await confirmFiles(stateOf(plan).swaps, plan.id);
      const words = [...(removed.length === 0 ? [] : [`${removed.join(', ')} was removed`]), ...left.map(({ path, why }) => `what is left of the old data at ${path} could not be removed (${why}): remove it by hand`)];
      return words.length === 0 ? 'there was no old data' : words.join('; ');
    },

    async rollback(plan) {
      const { restored, failed } = await swapBackFiles(stateOf(plan).swaps, plan.id, true);
      return `${restored.length === 0 ? 'there was no old data' : `${restored.join(', ')} is the old data again`}${failed.length === 0 ? '' : `; the restored copy is kept as ${failed.join(', ')}`}`;
    },
  };
}

/** Names of our own stay short, whatever the name is beside which they stand. */
const shortHash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** One restore in place at a time is waiting for a person: a second would be kept and undone in an order that nobody follows. @throws destinationBusy */
async function assertNonePending(deps: ActivityDeps, target: string, id: string): Promise<void> {
  for (const plan of await plansInPlace(deps.loaded.stateDir, target)) {
    if (plan.id === id) continue;
    for (const { path } of (plan.engineState as Partial<FilesState> | undefined)?.swaps ?? []) {
      if ((await readSwap(path))?.id === plan.id) throw unfinished(plan.id, path);
    }
  }
}

/** Names in a directory; a file counts as empty there. Undefined when nothing is there. */
async function contentOf(path: string): Promise<string[] | undefined> {
  try {
    return await readdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR') return [basename(path)];
    throw error;
  }
}

/** @throws inputInvalid for a part the backup does not have */
function assertKnown(listing: string, asked: readonly string[]): void {
  const unknown = new Set(asked);
  for (const entry of readListing(listing)) if (unknown.has(entry.path)) unknown.delete(entry.path);
  if (unknown.size > 0) throw new ResurgoError('inputInvalid', `the backup has no ${[...unknown].map((path) => `/${path}`).join(', ')}`, { details: { hint: 'Give whole paths as they were on the source.' } });
}

function hasEntry(listing: string, path: string): boolean {
  for (const entry of readListing(listing)) if (entry.path === path) return true;
  return false;
}

/** What is to be written, and the path of it that takes the most bytes. */
function sizesOf(listing: string, only: readonly string[]): { bytes: number; longest: string } {
  const wanted = selects(only);
  let bytes = 0;
  let longest = '';
  let most = 0;
  for (const entry of readListing(listing)) {
    // A character takes three bytes at most.
    if (entry.path.length * 3 > most && wanted(entry) && Buffer.byteLength(entry.path) > most) {
      most = Buffer.byteLength(entry.path);
      longest = entry.path;
    }
    if (entry.type === 'f' && entry.hardlink === undefined && wanted(entry)) bytes += entry.extents?.reduce((sum, [, length]) => sum + length, 0) ?? entry.size;
  }
  return { bytes, longest };
}

/** What is built must be compared by its whole path. @throws unsupported */
function assertFits(path: string, more: number): void {
  const length = 1 + Buffer.byteLength(path) + more;
  if (length > mostPath) throw new ResurgoError('unsupported', `${JSON.stringify(`/${path.slice(0, 80)}`)}… would be restored under a path of ${String(length)} bytes; the system takes ${String(mostPath)}`, { details: { hint: 'Restore beside with a shorter --to, or name other parts with --only.' } });
}

/** Making directories on a read-only file system fails with words about something else. @throws destinationDenied */
async function assertWritable(path: string): Promise<void> {
  const at = await existing(path);
  try {
    await access(at, constants.W_OK);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new ResurgoError('destinationDenied', `${at} cannot be written to: ${code === 'EROFS' ? 'its file system is read-only (EROFS)' : code}`, { cause: error });
  }
}
