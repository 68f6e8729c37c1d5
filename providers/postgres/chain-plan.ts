import { basename, dirname } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupManifest } from './backup-manifest.ts';

const prefix = 'INCREMENTAL.';

/**
 * Path of the file that an INCREMENTAL file of a backup becomes part of; undefined for every other file. Only relation files are ever
 * sent as increments; a user's own `INCREMENTAL.txt` elsewhere in the data directory is a file like others.
 */
export function incrementOf(path: string): string | undefined {
  const name = basename(path);
  if (!name.startsWith(prefix) || !/^(?:base|global|pg_tblspc)\//.test(path)) return undefined;
  return `${dirname(path)}/${name.slice(prefix.length)}`;
}

const incrementPath = (path: string): string => `${dirname(path)}/${prefix}${basename(path)}`;

export const labelFile = 'backup_label';

/** A file of the combined cluster that is put together from several links. */
export interface PlannedMerge {
  /** As in the manifests: relative to the data directory. */
  readonly target: string;
  /** Newest first. */
  readonly increments: readonly { readonly link: number; readonly path: string }[];
}

export interface ChainPlan {
  readonly merges: readonly PlannedMerge[];
  /** Of each link, oldest first: the files of its manifest that are needed; of the newest all. */
  readonly needed: readonly ReadonlySet<string>[];
}

/**
 * Which files of which link a combined cluster is made of: all whole files of the newest; for each of its increments the newest whole copy
 * and the increments since. The rest of the older links was overwritten or dropped later. The same choice as pg_combinebackup's; pure.
 * @param manifests oldest first
 * @throws restoreMismatch when an increment has nothing to build on, or a backup has no label
 */
export function planChain(manifests: readonly BackupManifest[]): ChainPlan {
  const [last, ...older] = manifests.toReversed() as [BackupManifest, ...BackupManifest[]];
  for (const [i, { files }] of manifests.entries())
    if (!files.has(labelFile))
      throw new ResurgoError('restoreMismatch', `Backup ${i + 1} of the chain has no ${labelFile}.`);
  const needed = manifests.map(() => new Set([labelFile]));
  const newest = manifests.length - 1;
  const merges: PlannedMerge[] = [];
  for (const path of last.files.keys()) {
    needed[newest]?.add(path);
    const target = incrementOf(path);
    if (target === undefined) continue;
    const increments = [{ link: newest, path }];
    let base: number | undefined;
    for (const [i, { files }] of older.entries()) {
      const link = newest - 1 - i;
      if (files.has(target)) {
        base = link;
        break;
      }
      const increment = incrementPath(target);
      // The file was not there then: what is older is of another one of this name.
      if (!files.has(increment)) break;
      needed[link]?.add(increment);
      increments.push({ link, path: increment });
    }
    if (base === undefined)
      throw new ResurgoError(
        'restoreMismatch',
        `${path} is an increment, and no older backup of the chain has what it builds on (${target}).`,
      );
    needed[base]?.add(target);
    merges.push({ target, increments });
  }
  return { merges, needed };
}
