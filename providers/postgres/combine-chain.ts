import { stat } from 'node:fs/promises';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { isDiskFull } from '../host/space.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { readDataTree } from './data-tree.ts';
import { isLeftOut } from './extract-link.ts';
import { flushWhile } from './flush-ahead.ts';
import { findPgTool } from './tools.ts';
import type { FindOptions, PgTool } from './tools.ts';

export interface CombineOptions {
  readonly tool: PgTool;
  /** Data directories of the links, oldest first. */
  readonly links: readonly string[];
  readonly output: string;
  /** Directory in the last link → directory of the output. */
  readonly tablespaces: ReadonlyMap<string, string>;
  readonly signal?: AbortSignal | undefined;
}

/** Hard links instead of copies came with 18. */
export const canLink = (major: number): boolean => major >= 18;

/** @throws toolMissing, toolVersion */
export const findCombine = (major: number, options: FindOptions): Promise<PgTool> =>
  findPgTool('pg_combinebackup', major, options);

const escapeMapping = (path: string): string => path.replaceAll('\\', '\\\\').replaceAll('=', '\\=');

/**
 * Combines a chain with PostgreSQL's own program. Links are used up: with hard links output and staging share files.
 * @throws restoreFailed with the program's words, destinationSpace, cancelled
 */
export async function combineChain(options: CombineOptions): Promise<void> {
  const { tool, links, output, signal } = options;
  const args = [
    // Synced by us, in parallel, together with everything else. The links were checked against their manifests; the result gets
    // empty visibility maps, which a manifest would contradict.
    '--no-sync',
    '--no-manifest',
    ...(canLink(tool.major) ? ['--link'] : []),
    ...[...options.tablespaces].flatMap(([from, to]) => [
      '--tablespace-mapping',
      `${escapeMapping(from)}=${escapeMapping(to)}`,
    ]),
    '--output',
    output,
    ...links,
  ];
  try {
    await flushWhile([output, ...options.tablespaces.values()], runTool({ command: tool.path, args, signal }));
  } catch (error) {
    if (!(error instanceof ResurgoError) || error.code !== 'toolFailed') throw error;
    throw new ResurgoError(
      isDiskFull(error) ? 'destinationSpace' : 'restoreFailed',
      `The chain of ${links.length} backups could not be combined: ${error.message}`,
      { cause: error, details: error.details },
    );
  }
}

/** Path in the combined cluster. */
const combinedPath = (path: string): string => path.replace(/(^|\/)INCREMENTAL\.([^/]+)$/, '$1$2');

/**
 * The combined cluster holds exactly the files of the last link, whole files with their size, reconstructed ones in whole blocks.
 * @throws restoreMismatch
 */
export async function checkCombined(
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
    const name = combinedPath(path);
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
    if (!listed.has(path) && !path.startsWith('pg_wal/') && path !== 'backup_manifest')
      problems.push(`${path} was not backed up`);
  if (problems.length > 0)
    throw new ResurgoError(
      'restoreMismatch',
      `The combined cluster ${dir} is not what was backed up: ${problems.slice(0, 5).join('; ')}${problems.length > 5 ? ` and ${problems.length - 5} more` : ''}.`,
    );
}
