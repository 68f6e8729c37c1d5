import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { Spooled } from '../../domain/ports.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { incrementOf, labelFile } from './chain-plan.ts';
import { readDataTree } from './data-tree.ts';
import type { ExtractedChain } from './extract-chain.ts';
import { isLeftOut } from './extract-link.ts';
import type { ExtractedLink } from './extract-link.ts';
import { treatFiles } from './tree-pool.ts';
import type { FileJob } from './tree-file.ts';

export interface MergeOptions extends ExtractedChain {
  readonly blockSize: number;
  readonly blocksPerSegment: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a chain, extracted into one tree, a whole cluster: into every file that the newest backup has as an increment go the blocks that changed since its
 * newest whole copy.
 * @returns number of files merged
 * @throws restoreMismatch when the links do not fit together, restoreFailed, destinationSpace, cancelled
 */
export async function mergeChain(options: MergeOptions): Promise<number> {
  const { plan, links, blockSize, blocksPerSegment, signal } = options;
  const [last] = links.toReversed() as [ExtractedLink, ...ExtractedLink[]];
  await joinLabels(links);
  const jobs = plan.merges.map(({ target, increments }): FileJob => {
    const places = increments.map(({ link, path }) => ({ path, ...spooledOf(links, link, path) }));
    const bytes = places.reduce((sum, place) => sum + place.bytes, 0);
    return {
      path: join(last.dir, target),
      merge: { increments: places, bytes, blockSize, blocksPerSegment },
      content: false,
      sync: false,
    };
  });
  await treatFiles(jobs, { signal });
  return jobs.length;
}

function spooledOf(links: readonly ExtractedLink[], link: number, path: string): Spooled {
  const place = links[link]?.spooled.get(path);
  if (place === undefined) throw new ResurgoError('bug', `${path} of backup ${link + 1} of the chain was not extracted.`);
  return place;
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
  const own = join((links.at(-1) as ExtractedLink).dir, labelFile);
  const texts = await Promise.all(
    links.map((link, i) => (i === links.length - 1 ? readFile(own, 'utf8') : readSpooled(spooledOf(links, i, labelFile)))),
  );
  const labels = texts.map(readLabel);
  for (const [i, { from }] of labels.entries()) {
    const previous = labels[i - 1];
    if (from?.start === previous?.start && from?.timeline === previous?.timeline) continue;
    const builds =
      from === undefined ? 'is a full one' : `builds on one that began at ${from.start} on timeline ${from.timeline}`;
    const before =
      previous === undefined
        ? 'it is the first'
        : `the one before it began at ${previous.start} on timeline ${previous.timeline}`;
    throw new ResurgoError('restoreMismatch', `By its backup_label backup ${i + 1} of the chain ${builds}; ${before}.`);
  }
  await writeFile(own, (texts.at(-1) as string).replace(/^INCREMENTAL FROM .*\n/gm, ''));
}

async function readSpooled({ spool, at, bytes }: Spooled): Promise<string> {
  const handle = await open(spool, 'r');
  try {
    const text = Buffer.alloc(bytes);
    const { bytesRead } = await handle.read(text, 0, bytes, at);
    return text.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
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
