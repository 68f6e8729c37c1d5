import { ResurgoError } from '../../domain/errors.ts';
import { crc32cHex } from '../vault/crc32c.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { finishDirectories, readDataTree } from './data-tree.ts';
import type { Owner } from './data-tree.ts';
import { treatFiles } from './tree-pool.ts';
import type { FileJob } from './tree-file.ts';

export interface VerifyDirectoryOptions {
  /** Oid → directory that holds the tablespace (the one with `PG_18_…` in it). */
  readonly tablespaces?: ReadonlyMap<string, string>;
  /** Threads. */
  readonly concurrency?: number;
  /** `content` (default) hashes every file, `sizes` only compares sizes. */
  readonly depth?: 'content' | 'sizes';
  /**
   * CRC-32C of files as they were written a moment ago, by their path in the manifest: with it, and the size on disk, a file
   * need not be read again.
   */
  readonly written?: ReadonlyMap<string, number>;
  /** Listed files that may be missing. */
  readonly mayMiss?: (path: string) => boolean;
  /** In the same pass over the files: give them to this owner … */
  readonly owner?: Owner | undefined;
  /** … and make them durable. */
  readonly sync?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (bytes: number) => void;
}

/** Unlisted by PostgreSQL, or written by those who prepare a restore; the same set as pg_verifybackup's. */
const ignored = (path: string): boolean =>
  path.startsWith('pg_wal/') ||
  ['backup_manifest', 'postgresql.auto.conf', 'recovery.signal', 'standby.signal'].includes(path);

/**
 * What pg_verifybackup does for a plain data directory: every file of the manifest is there with its size and checksum, and no other
 * is. WAL is not parsed. Memory is bounded by the number of files, not by their size.
 * @returns number of files compared
 * @throws restoreMismatch with the first problems named
 */
export async function verifyDirectory(
  dir: string,
  manifest: BackupManifest,
  options: VerifyDirectoryOptions = {},
): Promise<number> {
  const { owner, sync = false, mayMiss, depth = 'content' } = options;
  const tree = await readDataTree(dir, options.tablespaces);
  const problems: string[] = [];
  const jobs: FileJob[] = [];
  const seen = new Set<string>();
  for (const { path, full } of tree.files) {
    seen.add(path);
    const expected = manifest.files.get(path);
    if (!expected && !ignored(path)) problems.push(`${path} is not in the manifest`);
    const check = expected && path !== 'postgresql.auto.conf';
    const crc = expected?.algorithm === 'CRC32C' ? options.written?.get(path) : undefined;
    if (check && depth === 'content' && crc !== undefined && crc32cHex(crc) !== expected.checksum)
      problems.push(`${path} has CRC32C ${crc32cHex(crc)}, the manifest says ${expected.checksum}`);
    jobs.push({
      path: full,
      content: depth === 'content' && crc === undefined,
      sync,
      ...(check ? { expected } : {}),
      ...(owner ? { owner } : {}),
    });
  }
  for (const path of manifest.files.keys())
    if (!seen.has(path) && !mayMiss?.(path)) problems.push(`${path} is missing`);
  const work = jobs.filter((job) => job.expected !== undefined || job.sync || job.owner !== undefined);
  problems.push(
    ...(await treatFiles(work, {
      signal: options.signal,
      onProgress: options.onProgress,
      ...(options.concurrency === undefined ? {} : { threads: options.concurrency }),
    })),
  );
  if (problems.length > 0) {
    const more = problems.length > 5 ? ` and ${problems.length - 5} more` : '';
    throw new ResurgoError(
      'restoreMismatch',
      `${dir} is not what its backup_manifest says: ${problems.slice(0, 5).join('; ')}${more}.`,
      { details: { problems: problems.slice(0, 100) } },
    );
  }
  await finishDirectories(tree, { owner, sync });
  return manifest.files.size;
}
