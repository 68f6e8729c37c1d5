import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { readDataTree } from './data-tree.ts';
import { isLeftOut, type ExtractedLink } from './extract-link.ts';
import { incrementOf, incrementPath } from './incremental-file.ts';
import { treatFiles } from './tree-pool.ts';
import type { FileJob } from './tree-file.ts';

export interface MergeOptions {
  /** Oldest first. The last one lies where the result is to be and becomes it; the others are used up. */
  readonly links: readonly ExtractedLink[];
  readonly blockSize: number;
  readonly blocksPerSegment: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes the last link of a chain a whole cluster, in its place: every file that it has as an increment gets the newest whole copy of the older
 * links, by rename, and then only the blocks that changed.
 * @returns number of files merged
 * @throws restoreMismatch when the links do not fit together, restoreFailed, destinationSpace, cancelled
 */
export async function mergeChain(options: MergeOptions): Promise<number> {
  const { links, signal } = options;
  await joinLabels(links);
  const jobs = mergeJobs(options);
  await treatFiles(jobs, { signal });
  return jobs.length;
}

function mergeJobs({ links, blockSize, blocksPerSegment }: MergeOptions): FileJob[] {
  const [last, ...older] = links.toReversed() as [ExtractedLink, ...ExtractedLink[]];
  const jobs: FileJob[] = [];
  for (const [path, { size }] of last.manifest.files) {
    const target = incrementOf(path);
    if (target === undefined) continue;
    const increments = [join(last.dir, path)];
    let bytes = size;
    let base: string | undefined;
    for (const { dir, manifest } of older) {
      if (manifest.files.has(target)) {
        base = join(dir, target);
        break;
      }
      const increment = manifest.files.get(incrementPath(target));
      if (increment === undefined) break;
      increments.push(join(dir, incrementPath(target)));
      bytes += increment.size;
    }
    if (base === undefined)
      throw new ResurgoError(
        'restoreMismatch',
        `${path} is an increment, and no older backup of the chain has what it builds on (${target}).`,
      );
    jobs.push({
      path: join(last.dir, target),
      merge: { base, increments, bytes, blockSize, blocksPerSegment },
      content: false,
      sync: false,
    });
  }
  return jobs;
}

interface Label {
  readonly start: string;
  readonly timeline: string;
  /** Start of the backup it builds on; undefined in a full one. */
  readonly from: { readonly start: string; readonly timeline: string } | undefined;
}

function readLabel(text: string): Label {
  const value = (name: string): string | undefined => new RegExp(`^${name}: (\\S+)`, 'm').exec(text)?.[1];
  const from = value('INCREMENTAL FROM LSN');
  return {
    start: value('START WAL LOCATION') ?? '',
    timeline: value('START TIMELINE') ?? '',
    from: from === undefined ? undefined : { start: from, timeline: value('INCREMENTAL FROM TLI') ?? '' },
  };
}

/** Each link begins where the one before said; then the result's label is that of a whole backup, or the server would refuse it. */
async function joinLabels(links: readonly ExtractedLink[]): Promise<void> {
  const paths = links.map(({ dir }) => join(dir, 'backup_label'));
  const texts = await Promise.all(
    paths.map((path, i) =>
      readFile(path, 'utf8').catch((cause: unknown) => {
        throw new ResurgoError('restoreMismatch', `Backup ${i + 1} of the chain has no backup_label.`, { cause });
      }),
    ),
  );
  const labels = texts.map(readLabel);
  for (const [i, { from }] of labels.entries()) {
    const previous = labels[i - 1];
    if (from?.start === previous?.start && from?.timeline === previous?.timeline) continue;
    const builds = from === undefined ? 'is a full one' : `builds on one that began at ${from.start} on timeline ${from.timeline}`;
    const before = previous === undefined ? 'it is the first' : `the one before it began at ${previous.start} on timeline ${previous.timeline}`;
    throw new ResurgoError('restoreMismatch', `By its backup_label backup ${i + 1} of the chain ${builds}; ${before}.`);
  }
  await writeFile(paths.at(-1) as string, (texts.at(-1) as string).replace(/^INCREMENTAL FROM .*\n/gm, ''));
}

/**
 * The merged cluster holds exactly the files of the last link, whole files with their size, merged ones in whole blocks.
 * @throws restoreMismatch
 */
export async function checkMerged(
  dir: string,
  last: BackupManifest,
  tablespaces: ReadonlyMap<string, string>,
  blockSize: number,
): Promise<void> {
  const tree = await readDataTree(dir, tablespaces);
  const found = new Map(tree.files.map(({ path, full }) => [path, full]));
  const problems: string[] = [];
  const listed = new Set<string>();
  for (const [path, file] of last.files) {
    if (isLeftOut(path)) continue;
    const name = incrementOf(path) ?? path;
    listed.add(name);
    const full = found.get(name);
    if (full === undefined) {
      problems.push(`${name} is missing`);
      continue;
    }
    const { size } = await stat(full);
    if (name === path ? size !== file.size && path !== 'backup_label' : size % blockSize !== 0)
      problems.push(`${name} has ${size} bytes`);
  }
  for (const path of found.keys())
    if (!listed.has(path) && !path.startsWith('pg_wal/')) problems.push(`${path} was not backed up`);
  if (problems.length > 0)
    throw new ResurgoError(
      'restoreMismatch',
      `The combined cluster ${dir} is not what was backed up: ${problems.slice(0, 5).join('; ')}${problems.length > 5 ? ` and ${problems.length - 5} more` : ''}.`,
    );
}
