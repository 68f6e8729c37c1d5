import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { checksumOfBlock, pageSum } from './page-checksum.ts';

export interface VisibilityMapOptions {
  readonly blockSize: number;
  readonly dataChecksums: boolean;
  /** Of a relation's segment files; 131072 unless the server was built otherwise. */
  readonly blocksPerSegment?: number;
  /** Directories of the tablespaces (those with `PG_18_…` in them). */
  readonly tablespaces?: readonly string[];
  /** Default true. */
  readonly fsync?: boolean;
}

const fileName = /^\d+_vm(?:\.(\d+))?$/;
const headerBytes = 24;
const pageLayoutVersion = 4;

/** What PageInit leaves: a header, and no bit set. */
export function emptyVisibilityPage(blockSize: number): Buffer {
  const page = Buffer.alloc(blockSize);
  page.writeUInt16LE(headerBytes, 12); // pd_lower
  page.writeUInt16LE(blockSize, 14); // pd_upper
  page.writeUInt16LE(blockSize, 16); // pd_special
  page.writeUInt16LE(blockSize | pageLayoutVersion, 18); // pd_pagesize_version
  return page;
}

async function listDirectories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

async function rewrite(
  path: string,
  segment: number,
  page: Buffer,
  sum: number,
  options: VisibilityMapOptions,
): Promise<void> {
  const { blockSize } = options;
  const handle = await open(path, 'r+');
  try {
    const { size } = await handle.stat();
    const pages = Math.floor(size / blockSize);
    // A torn extension at the end holds nothing that counts.
    if (pages * blockSize !== size) await handle.truncate(pages * blockSize);
    const first = segment * (options.blocksPerSegment ?? 131_072);
    for (let i = 0; i < pages; i++) {
      if (options.dataChecksums) page.writeUInt16LE(checksumOfBlock(sum, first + i), 8);
      await handle.write(page, 0, blockSize, i * blockSize);
    }
    if (options.fsync ?? true) await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes every visibility map of a combined cluster empty, before its first start. PostgreSQL (up to 17.10 and 18.4, and for chains
 * begun there) clears visibility bits without telling WAL about the map's page, so that the WAL summarizer misses it and an incremental
 * backup restores the old map: index-only scans then return deleted rows (docs/adr/0003-visibility-maps.md). An empty map is always
 * right: scans look at the heap, and VACUUM fills it again. The pages stay, initialised and with their checksums, because newer servers
 * replay WAL that names them.
 * @returns number of files rewritten
 * @throws restoreFailed
 */
export async function clearVisibilityMaps(dataDir: string, options: VisibilityMapOptions): Promise<number> {
  const databases = [...(await listDirectories(join(dataDir, 'base'))), join(dataDir, 'global')];
  for (const tablespace of options.tablespaces ?? []) {
    for (const version of await listDirectories(tablespace)) databases.push(...(await listDirectories(version)));
  }
  const page = emptyVisibilityPage(options.blockSize);
  const sum = pageSum(page);
  let files = 0;
  for (const directory of databases) {
    for (const name of await readdir(directory)) {
      const match = fileName.exec(name);
      if (!match) continue;
      try {
        await rewrite(join(directory, name), Number(match[1] ?? 0), page, sum, options);
      } catch (error) {
        throw new ResurgoError(
          'restoreFailed',
          `The visibility map ${join(directory, name)} could not be emptied: ${(error as Error).message}`,
          { cause: error },
        );
      }
      files += 1;
    }
  }
  return files;
}
