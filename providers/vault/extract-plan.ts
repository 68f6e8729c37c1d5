import { join } from 'node:path';
import type { FileRecord, PartRecord, StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ExtractOptions, Spooled } from '../../domain/ports.ts';
import { cleanPath } from './tar-index.ts';
import { safeRelative } from './safe-tree.ts';
import type { Extent } from './write-extents.ts';

/** An entry and where it goes, relative to the destination. */
export interface PlannedEntry {
  readonly file: FileRecord;
  readonly path: string;
  /** Its content goes here instead of into a file of its own. */
  readonly spooled?: Spooled;
}
/** What one extent of a part belongs to. */
export interface PlannedExtent {
  readonly entry: PlannedEntry;
  readonly extent: Extent;
}
export interface PlannedPart {
  readonly part: PartRecord;
  /** Files created by this part. */
  readonly files: readonly PlannedEntry[];
  /** Files of which this part holds a piece, and other parts the rest. */
  readonly split: readonly PlannedEntry[];
  readonly extents: readonly PlannedExtent[];
  readonly bytes: number;
}
export interface ExtractPlan {
  readonly directories: readonly PlannedEntry[];
  /** Regular files, all of them. */
  readonly files: readonly PlannedEntry[];
  /** Regular files made before any content is written: those of no bytes, and those whose content several parts hold. */
  readonly emptyOrSplit: readonly PlannedEntry[];
  readonly hardlinks: readonly (PlannedEntry & { readonly target: string })[];
  readonly symlinks: readonly (PlannedEntry & { readonly target: string })[];
  /** Only parts that hold something wanted. */
  readonly parts: readonly PlannedPart[];
  readonly bytes: number;
}

/** What is to be done to extract a stream; pure. @throws unsafePath, restoreFailed */
export function planExtract(
  stream: StreamRecord,
  parts: readonly PartRecord[],
  destination: string,
  map: ExtractOptions['map'],
  spool?: ExtractOptions['spool'],
): ExtractPlan {
  const directories: PlannedEntry[] = [];
  const files: PlannedEntry[] = [];
  const emptyOrSplit: PlannedEntry[] = [];
  const hardlinks: (PlannedEntry & { target: string })[] = [];
  const symlinks: (PlannedEntry & { target: string })[] = [];
  const placed = new Map<string, string>();
  const planned = parts.map((part) => ({
    part,
    files: [] as PlannedEntry[],
    split: [] as PlannedEntry[],
    extents: [] as PlannedExtent[],
    bytes: 0,
  }));
  let bytes = 0;
  let spooledBytes = 0;
  let at = 0;
  for (const file of stream.files ?? []) {
    const mapped = map === undefined ? file.path : map(file);
    if (mapped === undefined || (file.type === 'directory' && cleanPath(mapped) === '.')) continue;
    const path = safeRelative(mapped, `stream ${stream.name}`);
    const entry = { file, path };
    if (file.type === 'directory') directories.push(entry);
    else if (file.type === 'symlink') symlinks.push({ ...entry, target: file.linkTarget ?? '' });
    else if (file.type === 'hardlink') {
      // The archive names its target as it was packed; only what was extracted here may be linked to.
      const target = placed.get(file.linkTarget ?? '');
      if (target === undefined)
        throw new ResurgoError(
          'unsafePath',
          `stream ${stream.name}: ${JSON.stringify(file.path)} is a hard link to ${JSON.stringify(file.linkTarget ?? '')}, which is not extracted with it`,
        );
      hardlinks.push({ ...entry, target });
    } else if (file.type === 'file') {
      const goes: PlannedEntry =
        spool?.takes(path) === true
          ? { ...entry, spooled: { spool: spool.path, at: spooledBytes, bytes: file.size } }
          : entry;
      files.push(goes);
      bytes += file.size;
      if (goes.spooled === undefined) placed.set(file.path, path);
      else spooledBytes += file.size;
      if (file.size === 0) {
        if (goes.spooled === undefined) emptyOrSplit.push(goes);
        continue;
      }
      // Entries come in stream order, so the search for the first part goes on where it stopped.
      while (at < planned.length && end(planned[at]?.part) <= file.offset) at++;
      const whole = file.offset + file.size <= end(planned[at]?.part);
      if (!whole && goes.spooled === undefined) emptyOrSplit.push(goes);
      let covered = 0;
      for (let i = at; i < planned.length && covered < file.size; i++) {
        const target = planned[i];
        if (target === undefined) break;
        const from = Math.max(file.offset - target.part.offset, 0);
        const length = Math.min(file.offset + file.size, end(target.part)) - target.part.offset - from;
        const within = target.part.offset + from - file.offset;
        target.extents.push({
          entry: goes,
          extent: {
            path: goes.spooled?.spool ?? join(destination, path),
            from,
            bytes: length,
            at: (goes.spooled?.at ?? 0) + within,
            ...(whole && goes.spooled === undefined ? { create: { mode: file.mode & 0o777 } } : {}),
          },
        });
        target.bytes += length;
        if (goes.spooled === undefined) (whole ? target.files : target.split).push(goes);
        covered += length;
      }
      if (covered !== file.size)
        throw new ResurgoError(
          'manifestInvalid',
          `stream ${stream.name}: the parts hold ${String(covered)} of the ${String(file.size)} bytes of ${JSON.stringify(file.path)}`,
        );
    }
  }
  return {
    directories,
    files,
    emptyOrSplit,
    hardlinks,
    symlinks,
    parts: planned.filter((part) => part.extents.length > 0),
    bytes,
  };
}

const end = (part: PartRecord | undefined): number => (part === undefined ? Infinity : part.offset + part.plainBytes);
