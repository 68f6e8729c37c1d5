import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { assertChain, factsOf, majorOf } from './backup-chain.ts';
import { readControlData } from './control-data.ts';
import { syncDirectory } from './data-tree.ts';
import type { Owner } from './data-tree.ts';
import { extractLink, isLeftOut } from './extract-link.ts';
import type { ExtractedLink } from './extract-link.ts';
import { fetchProgress } from './fetch-progress.ts';
import { settleBuild } from './in-place-physical.ts';
import { checkMerged, mergeChain } from './merge-chain.ts';
import { planPlaces, withinDataDirectory } from './restore-places.ts';
import type { PlacesOptions, RestorePlaces } from './restore-places.ts';
import { restoreOwner } from './restore-owner.ts';
import { assertRestoreSpace } from './restore-space.ts';
import { dropStaging, extractChain, finishTree } from './extract-chain.ts';
import { findPgTool } from './tools.ts';
import { verifyDirectory } from './verify-directory.ts';
import { clearVisibilityMaps } from './visibility-maps.ts';

export interface BuildOptions {
  /** Full first. */
  readonly chain: readonly BackupReader[];
  readonly places: RestorePlaces;
  /** Where PostgreSQL's programs may be (see findPgTool). */
  readonly toolDirs?: readonly string[];
  readonly owner?: Owner | undefined;
  /** `content` (default): every file against its checksum in backup_manifest; `sizes`: only sizes (the parts were authenticated anyway). */
  readonly verify?: 'content' | 'sizes';
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress;
}

export interface BuiltCluster {
  /** The new data directory, complete and durable. */
  readonly dataDir: string;
  readonly files: number;
  readonly bytes: number;
  /** In words. */
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
}

/** Removes everything a build made, or an earlier attempt left. Gone already is success. */
export async function discardBuild(places: RestorePlaces): Promise<void> {
  const remove = (path: string): Promise<void> =>
    rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  await remove(places.work);
  await remove(places.staging);
  await remove(`${places.staging}.wal`);
  for (const place of places.tablespaces) if (!withinDataDirectory(place)) await remove(dirname(place.build));
}

async function makePlaces(places: RestorePlaces, owner: Owner | undefined): Promise<void> {
  const make = async (path: string): Promise<void> => {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined || !owner) return;
    for (let at = path; ; at = dirname(at)) {
      await chown(at, owner.uid, owner.gid);
      if (at === first) break;
    }
  };
  await make(dirname(places.work));
  for (const place of places.tablespaces) {
    if (withinDataDirectory(place)) continue;
    await make(place.location);
    // The server must pass through to what is built below; nobody else.
    await make(dirname(place.build));
  }
}

/**
 * Builds the cluster of a backup beside its destination: extracts, checks every link against its `backup_manifest`, merges, empties the
 * visibility maps of a combined cluster, gives it to its owner and makes it durable. Nothing that is in use is touched; an earlier
 * attempt with the same id is swept. Follow with settleBuild or swapIn.
 * @throws destinationSpace, restoreMismatch, restoreFailed, toolMissing, toolVersion, parentMissing, partMissing, partCorrupt, cancelled
 */
export async function buildPhysical(options: BuildOptions): Promise<BuiltCluster> {
  const { chain, places, signal } = options;
  assertChain(chain);
  const last = chain.at(-1) as BackupReader;
  const major = majorOf(last);
  const find = { dirs: options.toolDirs ?? [] };
  // Missed before anything is fetched, not an hour later.
  if (chain.length > 1) await findPgTool('pg_controldata', major, find);
  const owner = await restoreOwner(places.destination, options.owner);
  await discardBuild(places);
  await assertRestoreSpace(chain, places);
  await makePlaces(places, owner);
  const tablespaces = new Map(
    places.tablespaces.filter((place) => !withinDataDirectory(place)).map((place) => [place.oid, place.build]),
  );
  const common = { depth: options.verify ?? 'content', signal, mayMiss: isLeftOut } as const;

  let signals: readonly string[];
  let files: number;
  let bytes: number;
  const warnings: string[] = [];
  const checks = [common.depth === 'content' ? 'backup_manifest' : 'backup_manifest (sizes)'];
  if (chain.length === 1) {
    const link = await extractLink(
      last,
      {
        dir: places.work,
        tablespaces: places.tablespaces.map((place) => ({
          oid: place.oid,
          stream: place.stream,
          dir: place.build,
          linked: !withinDataDirectory(place),
        })),
      },
      { flush: true, signal, onProgress: fetchProgress(last.manifest.bytes.source, options.onProgress) },
    );
    ({ signals, files, bytes } = link);
    options.onProgress?.({ phase: 'check and sync', totalBytes: bytes });
    await verifyDirectory(places.work, link.manifest, {
      ...common,
      written: link.crc32c,
      tablespaces,
      owner,
      sync: true,
    });
  } else {
    const extracted = await extractChain(chain, places, { depth: common.depth, signal, onProgress: options.onProgress });
    const newest = extracted.links.at(-1) as ExtractedLink;
    ({ signals } = newest);
    options.onProgress?.({ phase: 'combine', note: `${chain.length} backups` });
    const control = await readControlData(places.work, major, find);
    const { blockSize, blocksPerSegment } = control;
    const merged = await mergeChain({ ...extracted, blockSize, blocksPerSegment, signal });
    await checkMerged(places.work, newest.manifest, tablespaces, blockSize);
    checks.push(`${chain.length} backups combined (${merged} files)`);
    const maps = await clearVisibilityMaps(places.work, {
      blockSize,
      blocksPerSegment,
      dataChecksums: control.dataChecksums,
      tablespaces: [...tablespaces.values()],
      fsync: false,
    });
    checks.push(`visibility maps emptied (${maps})`);
    await dropStaging(places);
    options.onProgress?.({ phase: 'sync' });
    ({ files, bytes } = await finishTree(places.work, tablespaces, owner, signal));
  }
  await chmod(places.work, 0o700);
  await syncDirectory(dirname(places.work));
  if (signals.length > 0)
    warnings.push(
      `The backup was taken from a standby: ${signals.join(', ')} was left out, so that the restored server does not follow the old primary.`,
    );
  if (chain.length > 1)
    warnings.push(
      'The visibility maps of a combined cluster start empty; run VACUUM (ANALYZE) soon, so that index-only scans are fast again.',
    );
  return { dataDir: places.work, files, bytes, checks, warnings };
}

/** Plan, build and settle in one: for callers that have nothing to do in between. @throws like planPlaces, buildPhysical and settleBuild */
export async function restorePhysical(
  options: Omit<BuildOptions, 'places'> &
    Pick<PlacesOptions, 'destination' | 'id' | 'tablespaceMap' | 'tablespaceRoot'>,
): Promise<BuiltCluster> {
  const last = options.chain.at(-1);
  if (!last) throw new ResurgoError('bug', 'A restore without a backup.');
  const places = await planPlaces({ ...options, mode: 'new', tablespaces: factsOf(last).tablespaces });
  try {
    const built = await buildPhysical({ ...options, places });
    return { ...built, ...(await settleBuild(places)) };
  } catch (error) {
    await discardBuild(places);
    throw error;
  }
}
