import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PhysicalFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { canLink, checkCombined, combineChain, findCombine } from './combine-chain.ts';
import { readControlData } from './control-data.ts';
import { finishDirectories, readDataTree, syncDirectory } from './data-tree.ts';
import type { Owner } from './data-tree.ts';
import { extractLink, isLeftOut } from './extract-link.ts';
import type { ExtractedLink } from './extract-link.ts';
import { settleBuild } from './in-place-physical.ts';
import { planPlaces, withinDataDirectory } from './restore-places.ts';
import type { PlacesOptions, RestorePlaces } from './restore-places.ts';
import { restoreOwner } from './restore-owner.ts';
import { assertRestoreSpace } from './restore-space.ts';
import { findPgTool } from './tools.ts';
import { treatFiles } from './tree-pool.ts';
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

const factsOf = (reader: BackupReader): PhysicalFacts => {
  const { engine } = reader.index;
  if (engine.engine !== 'physical')
    throw new ResurgoError(
      'unsupported',
      `Backup ${reader.manifest.name} is a ${engine.engine} one, which makes no data directory.`,
    );
  return engine;
};

const majorOf = (reader: BackupReader): number => Number.parseInt(reader.manifest.versions.server, 10);

/** @throws parentMissing, unsupported, bug */
function assertChain(chain: readonly BackupReader[]): void {
  for (const [i, reader] of chain.entries()) {
    factsOf(reader);
    const { name, kind, parent, systemId } = reader.manifest;
    if (i === 0 && kind !== 'full')
      throw new ResurgoError('parentMissing', `${name} is ${kind}: what it builds on is not here.`);
    const previous = chain[i - 1]?.manifest;
    if (previous && parent !== previous.id)
      throw new ResurgoError('parentMissing', `${name} builds on ${parent ?? 'nothing'}, not on ${previous.name}.`);
    if (
      previous &&
      (systemId !== previous.systemId || majorOf(reader) !== Number.parseInt(previous.versions.server, 10))
    ) {
      throw new ResurgoError(
        'parentMissing',
        `${name} and ${previous.name} are of different database systems or major versions.`,
      );
    }
  }
  if (chain.length === 0) throw new ResurgoError('bug', 'A restore without a backup.');
}

/** Removes everything a build made, or an earlier attempt left. Gone already is success. */
export async function discardBuild(places: RestorePlaces): Promise<void> {
  const remove = (path: string): Promise<void> =>
    rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  await remove(places.work);
  await remove(places.staging);
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
 * Builds the cluster of a backup beside its destination: extracts, checks every link against its `backup_manifest`, combines, empties the
 * visibility maps of a combined cluster, gives it to its owner and makes it durable. Nothing that is in use is touched; an earlier
 * attempt with the same id is swept. Follow with settleBuild or swapIn.
 * @throws destinationSpace, restoreMismatch, restoreFailed, toolMissing, toolVersion, parentMissing, partMissing, partCorrupt, cancelled
 */
export async function buildPhysical(options: BuildOptions): Promise<BuiltCluster> {
  const { chain, places, signal } = options;
  assertChain(chain);
  const last = chain.at(-1) as BackupReader;
  const facts = factsOf(last);
  const major = majorOf(last);
  const find = { dirs: options.toolDirs ?? [] };
  const tool = chain.length > 1 ? await findCombine(major, find) : undefined;
  const owner = await restoreOwner(places.destination, options.owner);
  await discardBuild(places);
  await assertRestoreSpace(chain, places, canLink(major));
  await makePlaces(places, owner);
  const tablespaces = new Map(
    places.tablespaces.filter((place) => !withinDataDirectory(place)).map((place) => [place.oid, place.build]),
  );
  const common = { depth: options.verify ?? 'content', signal, mayMiss: isLeftOut } as const;
  const progress = fetchProgress(chain, options.onProgress);

  let signals: readonly string[];
  let files: number;
  let bytes: number;
  const warnings: string[] = [];
  const checks = [common.depth === 'content' ? 'backup_manifest' : 'backup_manifest (sizes)'];
  if (!tool) {
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
      { keepManifest: false, signal, onProgress: progress },
    );
    ({ signals, files, bytes } = link);
    await chmod(places.work, 0o700);
    options.onProgress?.({ phase: 'check and sync', totalBytes: bytes });
    await verifyDirectory(places.work, link.manifest, { ...common, tablespaces, owner, sync: true });
  } else {
    const links = await stageLinks(chain, places, { ...common, progress });
    const newest = links.at(-1) as ExtractedLink;
    ({ signals } = newest);
    options.onProgress?.({ phase: 'combine', note: `${chain.length} backups` });
    await combineChain({
      tool,
      output: places.work,
      signal,
      links: links.map(({ dir }) => dir),
      tablespaces: new Map(
        places.tablespaces
          .filter((place) => !withinDataDirectory(place))
          .map((place) => [join(place.staging, String(chain.length - 1)), place.build]),
      ),
    });
    await checkCombined(places.work, newest.manifest, tablespaces, facts.blockSize);
    checks.push('pg_combinebackup');
    const control = await readControlData(places.work, major, find);
    if (chain.some((reader) => factsOf(reader).dataChecksums !== facts.dataChecksums))
      await disableChecksums(places.work, major, find, warnings);
    const maps = await clearVisibilityMaps(places.work, {
      blockSize: control.blockSize,
      blocksPerSegment: control.blocksPerSegment,
      dataChecksums: control.dataChecksums,
      tablespaces: [...tablespaces.values()],
      fsync: false,
    });
    checks.push(`visibility maps emptied (${maps})`);
    // Hard-linked files have their owner and durability from here; the staging names go first.
    await dropStaging(places);
    options.onProgress?.({ phase: 'sync' });
    ({ files, bytes } = await finishTree(places.work, tablespaces, owner, signal));
  }
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

interface StageOptions {
  readonly depth: 'content' | 'sizes';
  readonly signal: AbortSignal | undefined;
  readonly mayMiss: (path: string) => boolean;
  readonly progress: (bytes: number) => void;
}

/** Extracts all links, the next while the one before is checked. */
async function stageLinks(
  chain: readonly BackupReader[],
  places: RestorePlaces,
  options: StageOptions,
): Promise<ExtractedLink[]> {
  const links: ExtractedLink[] = [];
  const checks: Promise<unknown>[] = [];
  await mkdir(places.staging, { recursive: true, mode: 0o700 });
  try {
    for (const [i, reader] of chain.entries()) {
      const dir = join(places.staging, String(i));
      const tablespaces = factsOf(reader).tablespaces.map(({ oid, stream, path }) => {
        const place = places.tablespaces.find((each) => each.oid === oid);
        // A tablespace that was dropped later is in the older links only; it is staged beside them and goes with them.
        const outside = place ? !withinDataDirectory(place) : path.startsWith('/');
        return {
          oid,
          stream,
          linked: outside,
          dir:
            place && outside
              ? join(place.staging, String(i))
              : outside
                ? join(places.staging, `${i}.${oid}`)
                : join(dir, path),
        };
      });
      const link = await extractLink(
        reader,
        { dir, tablespaces },
        { keepManifest: true, signal: options.signal, onProgress: options.progress },
      );
      links.push(link);
      const check = verifyDirectory(dir, link.manifest, {
        depth: options.depth,
        mayMiss: options.mayMiss,
        signal: options.signal,
        tablespaces: new Map(tablespaces.filter(({ linked }) => linked).map(({ oid, dir: at }) => [oid, at])),
      });
      check.catch(() => undefined);
      checks.push(check);
    }
  } finally {
    // Nothing may work in the staging directories when this fails and they are removed.
    await Promise.allSettled(checks);
  }
  await Promise.all(checks);
  return links;
}

async function dropStaging(places: RestorePlaces): Promise<void> {
  await rm(places.staging, { recursive: true, force: true });
  for (const place of places.tablespaces)
    if (place.staging !== '') await rm(place.staging, { recursive: true, force: true });
}

async function finishTree(
  dir: string,
  tablespaces: ReadonlyMap<string, string>,
  owner: Owner | undefined,
  signal: AbortSignal | undefined,
): Promise<{ files: number; bytes: number }> {
  const tree = await readDataTree(dir, tablespaces);
  let bytes = 0;
  await treatFiles(
    tree.files.map(({ full }) => ({ path: full, content: false, sync: true, ...(owner ? { owner } : {}) })),
    { signal, onSize: (size) => (bytes += size) },
  );
  await finishDirectories(tree, { owner, sync: true });
  return { files: tree.files.length, bytes };
}

async function disableChecksums(
  dir: string,
  major: number,
  find: { dirs: readonly string[] },
  warnings: string[],
): Promise<void> {
  const tool = await findPgTool('pg_checksums', major, find);
  // It refuses a cluster with a backup_label; the label is what makes recovery right, so it is only stepped around.
  await runTool({ command: tool.path, args: ['--disable', '--no-sync', '-D', dir] });
  warnings.push(
    'Page checksums were switched between the backups of this chain: they are off in the restored cluster.',
  );
}

function fetchProgress(chain: readonly BackupReader[], onProgress: OnProgress | undefined): (bytes: number) => void {
  const totalBytes = chain.reduce((sum, reader) => sum + reader.manifest.bytes.source, 0);
  let doneBytes = 0;
  return (bytes) => {
    doneBytes += bytes;
    onProgress?.({ phase: 'fetch', doneBytes, totalBytes });
  };
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
