import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupReader } from '../../domain/ports.ts';
import { factsOf } from './backup-chain.ts';
import { finishDirectories, readDataTree } from './data-tree.ts';
import type { Owner } from './data-tree.ts';
import { extractLink } from './extract-link.ts';
import type { ExtractedLink } from './extract-link.ts';
import { withinDataDirectory } from './restore-places.ts';
import type { RestorePlaces } from './restore-places.ts';
import { treatFiles } from './tree-pool.ts';
import { verifyDirectory } from './verify-directory.ts';

export interface StageOptions {
  readonly depth: 'content' | 'sizes';
  readonly signal: AbortSignal | undefined;
  readonly mayMiss: (path: string) => boolean;
  readonly progress: (bytes: number) => void;
}

/**
 * Extracts all links, one while the one before is checked: the last where the result will be, the others into staging beside it, from
 * where the result takes their files by rename. The full comes last: the syncing of its large files would hold up the making of many small ones.
 * @returns oldest first
 */
export async function stageLinks(
  chain: readonly BackupReader[],
  places: RestorePlaces,
  options: StageOptions,
): Promise<ExtractedLink[]> {
  const links = new Array<ExtractedLink>(chain.length);
  const checks: Promise<unknown>[] = [];
  await mkdir(places.staging, { recursive: true, mode: 0o700 });
  try {
    for (const [i, reader] of [...chain.entries()].toReversed()) {
      const newest = i === chain.length - 1;
      const dir = newest ? places.work : join(places.staging, String(i));
      const tablespaces = factsOf(reader).tablespaces.map(({ oid, stream, path }) => {
        const place = places.tablespaces.find((each) => each.oid === oid);
        const linked = place ? !withinDataDirectory(place) : path.startsWith('/');
        if (!linked) return { oid, stream, linked, dir: join(dir, path) };
        // A tablespace that was dropped later is in the older links only; it is staged beside them and goes with them.
        if (!place) return { oid, stream, linked, dir: join(places.staging, `${i}.${oid}`) };
        return { oid, stream, linked, dir: newest ? place.build : join(place.staging, String(i)) };
      });
      const link = await extractLink(
        reader,
        { dir, tablespaces },
        { flush: i === 0, signal: options.signal, onProgress: options.progress },
      );
      links[i] = link;
      const check = verifyDirectory(dir, link.manifest, {
        depth: options.depth,
        written: link.crc32c,
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
