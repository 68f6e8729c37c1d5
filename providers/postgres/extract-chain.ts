import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { crc32cHex } from '../vault/crc32c.ts';
import { factsOf } from './backup-chain.ts';
import { incrementOf, labelFile, planChain } from './chain-plan.ts';
import type { ChainPlan } from './chain-plan.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { finishDirectories, readDataTree } from './data-tree.ts';
import type { Owner } from './data-tree.ts';
import { extractLink, isLeftOut, readManifest } from './extract-link.ts';
import type { ExtractedLink, LinkPlaces } from './extract-link.ts';
import { fetchProgress } from './fetch-progress.ts';
import { withinDataDirectory } from './restore-places.ts';
import type { RestorePlaces } from './restore-places.ts';
import { treatFiles } from './tree-pool.ts';

export interface ExtractChainOptions {
  /** Compare checksums of what is written, or only sizes. */
  readonly depth: 'content' | 'sizes';
  readonly signal: AbortSignal | undefined;
  readonly onProgress: OnProgress | undefined;
}

export interface ExtractedChain {
  readonly plan: ChainPlan;
  /** Oldest first. */
  readonly links: readonly ExtractedLink[];
}

/**
 * Extracts what a combined cluster needs of all links into one tree: whole files to where they will be, increments of each link into one spool
 * beside it, from where they are merged. No file is made that the result does not have. The newest comes first, because it has the directories and links; the
 * full last: syncing its large files would hold up the making of the small ones.
 * @throws restoreMismatch, and what extractLink throws
 */
export async function extractChain(
  chain: readonly BackupReader[],
  places: RestorePlaces,
  options: ExtractChainOptions,
): Promise<ExtractedChain> {
  const { depth, signal } = options;
  const manifests = await Promise.all(chain.map((reader) => readManifest(reader, signal)));
  const plan = planChain(manifests);
  for (const dir of [places.staging, ...places.tablespaces.map(({ staging }) => staging)])
    if (dir !== '') await mkdir(dir, { recursive: true, mode: 0o700 });
  const newest = chain.length - 1;
  const links = new Array<ExtractedLink>(chain.length);
  const progress = fetchProgress(bytesToFetch(chain, manifests, plan), options.onProgress);
  for (const [i, reader] of [...chain.entries()].toReversed()) {
    const needed = plan.needed[i] as ReadonlySet<string>;
    const link = await extractLink(reader, linkPlaces(reader, places, i), {
      manifest: manifests[i] as BackupManifest,
      ...(i === newest ? {} : { only: needed }),
      spools: (path) => incrementOf(path) !== undefined || (i !== newest && path === labelFile),
      flush: i === 0,
      signal,
      onProgress: progress,
    });
    verifyLink(reader, link, needed, depth);
    links[i] = link;
  }
  return { plan, links };
}

/** All of the newest, and what is needed of the others. */
function bytesToFetch(chain: readonly BackupReader[], manifests: readonly BackupManifest[], { needed }: ChainPlan): number {
  let bytes = chain.at(-1)?.manifest.bytes.source ?? 0;
  for (const [i, paths] of needed.slice(0, -1).entries())
    for (const path of paths) bytes += manifests[i]?.files.get(path)?.size ?? 0;
  return bytes;
}

/** A tablespace that was dropped since is in older links only: nothing of it is needed. */
function linkPlaces(reader: BackupReader, places: RestorePlaces, i: number): LinkPlaces {
  return {
    dir: places.work,
    spool: join(places.staging, `${i}.increments`),
    tablespaces: factsOf(reader).tablespaces.flatMap(({ oid, stream }) => {
      const place = places.tablespaces.find((each) => each.oid === oid);
      if (place === undefined) return [];
      const linked = !withinDataDirectory(place);
      const spool = linked ? join(place.staging, `${i}.increments`) : join(places.staging, `${i}.${oid}.increments`);
      return [{ oid, stream, dir: place.build, linked, spool }];
    }),
  };
}

/** What was taken from a link is what its backup_manifest says of it. Its checksums were computed of what was written. @throws restoreMismatch */
function verifyLink(
  reader: BackupReader,
  link: ExtractedLink,
  needed: ReadonlySet<string>,
  depth: 'content' | 'sizes',
): void {
  const { manifest, sizes, crc32c } = link;
  const problems: string[] = [];
  for (const path of needed) {
    if (isLeftOut(path)) continue;
    const expected = manifest.files.get(path);
    const size = sizes.get(path);
    if (expected === undefined || size === undefined) problems.push(`${path} is missing`);
    else if (path === 'postgresql.auto.conf') continue;
    else if (size !== expected.size)
      problems.push(`${path} has ${size} bytes, the manifest says ${expected.size}`);
    else if (depth === 'sizes') continue;
    else if (expected.algorithm !== 'CRC32C')
      problems.push(`${path} has a checksum by ${expected.algorithm}; the links of a chain are compared by CRC32C`);
    else if (crc32cHex(crc32c.get(path) ?? 0) !== expected.checksum)
      problems.push(
        `${path} has CRC32C ${crc32cHex(crc32c.get(path) ?? 0)}, the manifest says ${expected.checksum}`,
      );
  }
  if (problems.length === 0) return;
  const more = problems.length > 5 ? ` and ${problems.length - 5} more` : '';
  throw new ResurgoError(
    'restoreMismatch',
    `Backup ${reader.manifest.name} is not what its backup_manifest says: ${problems.slice(0, 5).join('; ')}${more}.`,
    { details: { problems: problems.slice(0, 100) } },
  );
}

/** Also frees the space, before the rest is synced. */
export async function dropStaging(places: RestorePlaces): Promise<void> {
  await rm(places.staging, { recursive: true, force: true });
  for (const place of places.tablespaces)
    if (place.staging !== '') await rm(place.staging, { recursive: true, force: true });
}

/** Gives everything to its owner and makes it durable. */
export async function finishTree(
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
