import { closeSync } from 'node:fs';
import { chmod, link, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { PartRecord, StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ExtractOptions, ExtractResult, Spooled } from '../../domain/ports.ts';
import { mapBounded } from '../repository/bounded.ts';
import { throwIfAborted } from '../repository/abort.ts';
import { cryptoThreads } from './crypto-pool.ts';
import { planExtract } from './extract-plan.ts';
import type { ExtractPlan, PlannedEntry } from './extract-plan.ts';
import { FileSums } from './file-sums.ts';
import { requireKeys, writePart } from './part-reader.ts';
import type { PartSource } from './part-reader.ts';
import { SafeTree } from './safe-tree.ts';
import { TreeSync } from './sync-tree.ts';
import { pathBytes } from './tar-path.ts';
import { createFile } from './write-extents.ts';

/**
 * Writes a tar stream's entries below `destination`, several parts at once, each by a thread that goes from stored object to
 * file. Files must not exist yet. Symbolic links come last and are never followed, so that nothing is written elsewhere.
 * @throws unsafePath, destinationNotEmpty, destinationSpace, partMissing, partCorrupt, keyMissing
 */
export async function extractStream(
  source: PartSource,
  stream: StreamRecord,
  parts: readonly PartRecord[],
  options: ExtractOptions,
): Promise<ExtractResult> {
  const { destination, map, spool, signal, onProgress, fsync = true } = options;
  if (stream.files === undefined) throw new ResurgoError('bug', `stream ${stream.name} is no tar stream`);
  throwIfAborted(signal, 'The extraction');
  requireKeys(source);
  const sums = options.crc32c === true ? new FileSums() : undefined;
  const sync = fsync !== false ? new TreeSync(destination, signal) : undefined;
  try {
    const tree = await SafeTree.open(destination);
    const plan = planExtract(stream, parts, destination, map, spool);
    for (const entry of plan.directories) await tree.directory(entry.path);
    for (const entry of [...plan.emptyOrSplit, ...plan.parts.flatMap((part) => part.files)])
      await tree.parentOf(entry.path);
    if (spool !== undefined) closeSync(createFile(pathBytes(spool.path), 0o600));
    for (const entry of plan.emptyOrSplit)
      closeSync(createFile(pathBytes(join(destination, entry.path)), entry.file.mode & 0o777));
    const finished = splitFiles(plan);
    for (const { path, file } of plan.emptyOrSplit) if (file.size === 0) sync?.whole(path, 0);
    await mapBounded(plan.parts, cryptoThreads + 1, async ({ part, files, extents, bytes }) => {
      throwIfAborted(signal, 'The extraction');
      const write = extents.map(({ extent }) => extent);
      const crcs = await writePart(source, part, { write, crc32c: sums !== undefined }, signal);
      sums?.add(extents, crcs);
      onProgress?.(bytes);
      if (sync !== undefined)
        for (const { entry, extent } of extents)
          if (extent.create === undefined && entry.spooled === undefined) sync.grew(entry.path, extent.bytes);
      for (const { path, file } of [...files, ...finished(part.n)]) sync?.whole(path, file.size);
    });
    for (const entry of plan.hardlinks) {
      await tree.parentOf(entry.path);
      await link(pathBytes(join(destination, entry.target)), pathBytes(join(destination, entry.path)));
    }
    for (const entry of plan.symlinks) {
      await tree.parentOf(entry.path);
      await symlink(pathBytes(entry.target), pathBytes(join(destination, entry.path)));
    }
    // Deepest first, and after everything in them was made: a mode may forbid writing.
    for (const entry of plan.directories.toReversed())
      await chmod(pathBytes(join(destination, entry.path)), entry.file.mode & 0o777);
    if (fsync === true) await sync?.finish(tree.directories);
    return {
      files: plan.files.length,
      bytes: plan.bytes,
      ...(spool === undefined ? {} : { spooled: spooledFiles(plan) }),
      ...(sums === undefined ? {} : { crc32c: sums.finish(plan.files) }),
    };
  } catch (error) {
    throw asResurgo(error, destination);
  } finally {
    await sync?.settle();
  }
}

const spooledFiles = (plan: ExtractPlan): Map<string, Spooled> =>
  new Map(plan.files.flatMap(({ path, spooled }) => (spooled === undefined ? [] : [[path, spooled]])));

/** Tells, after each part, which of the files spread over several parts are whole now. */
function splitFiles(plan: ExtractPlan): (partNumber: number) => PlannedEntry[] {
  const missing = new Map<string, number>();
  for (const { split } of plan.parts) for (const { path } of split) missing.set(path, (missing.get(path) ?? 0) + 1);
  const byPart = new Map(plan.parts.map(({ part, split }) => [part.n, split]));
  return (n) =>
    (byPart.get(n) ?? []).filter(({ path }) => {
      const left = (missing.get(path) ?? 0) - 1;
      missing.set(path, left);
      return left === 0;
    });
}

function asResurgo(error: unknown, destination: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof ResurgoError || typeof code !== 'string') return error;
  const wrap = (as: 'destinationSpace' | 'destinationNotEmpty' | 'unsafePath' | 'restoreFailed', why: string) =>
    new ResurgoError(as, `extracting into ${destination}: ${why} (${message})`, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT') return wrap('destinationSpace', 'the disk is full');
  if (code === 'EEXIST') return wrap('destinationNotEmpty', 'something is there already');
  if (code === 'ELOOP') return wrap('unsafePath', 'a symbolic link is in the way');
  return wrap('restoreFailed', code);
}
