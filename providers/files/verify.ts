import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { OnProgress } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { pathBytes } from '../vault/tar-path.ts';
import { comparePaths, isWithin, readListing, type Entry, type EntryStat } from './listing.ts';
import type { Place } from './restore.ts';
import { selects } from './restore.ts';
import { walk } from './walk.ts';

export interface VerifyFilesOptions {
  readonly listing: string;
  readonly places: readonly Place[];
  readonly only: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export interface VerifiedFiles {
  readonly files: number;
  readonly entries: number;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

/**
 * Reads the restored tree and compares it with the list: what is there, types, sizes, modes, times to the nanosecond, owners (as root), links, the content
 * of every file by SHA-256. Effect: none. @throws restoreMismatch naming the first differences
 */
export async function verifyFiles({ listing, places, only, signal, onProgress }: VerifyFilesOptions): Promise<VerifiedFiles> {
  const wrong: string[] = [];
  const totals = { files: 0, entries: 0, bytes: 0 };
  const asRoot = process.getuid?.() === 0;
  let owners = 0;
  const wanted = selects(only);
  /** First names that may have others in further places, where they can be copies. */
  const firsts = new Map<string, Entry>();
  for (const place of places) {
    const inodes = new Map<string, string>();
    const expected = expectedIn(listing, place, wanted);
    let next = expected.next();
    const base = place.directory.replace(/^\/+|\/+$/g, '');
    const note = (path: string, why: string): void => {
      if (wrong.length < 20) wrong.push(`${JSON.stringify(`/${path}`)} ${why}`);
    };
    for await (const batch of walk({ roots: [place.directory], leaveOut: () => false, oneFileSystem: false, onProblem: (path, error) => { note(path, error.message); }, signal })) {
      for (const found of batch) {
        if (found.path === base) continue;
        const path = found.path.slice(base.length + 1);
        while (next.done !== true && comparePaths(next.value.local, path) < 0) {
          note(next.value.entry.path, 'is missing');
          next = expected.next();
        }
        if (next.done === true || next.value.local !== path) {
          note(found.path, 'was not in the backup');
          continue;
        }
        const { entry: listed, synthetic } = next.value;
        next = expected.next();
        if (synthetic) continue;
        if (places.length > 1 && listed.links > 1 && listed.hardlink === undefined && listed.type === 'f') firsts.set(listed.path, listed);
        const entry = standingAlone(listed, place, firsts);
        totals.entries++;
        const why = differences(entry, found, inodes);
        if (why !== undefined) note(entry.path, why);
        if (found.uid !== entry.uid || found.gid !== entry.gid) {
          if (asRoot) note(entry.path, `belongs to ${String(found.uid)}:${String(found.gid)} instead of ${String(entry.uid)}:${String(entry.gid)}`);
          else owners++;
        }
        if (entry.type !== 'f') continue;
        totals.files++;
        if (entry.hardlink !== undefined || entry.sha256 === undefined) continue;
        const digest = await contentDigest(found.path, entry);
        totals.bytes += entry.size;
        if (digest !== entry.sha256) note(entry.path, 'has other content');
      }
      onProgress({ phase: 'compare with the list', doneBytes: totals.bytes, note: `${String(totals.entries)} entries` });
    }
    for (; next.done !== true; next = expected.next()) note(next.value.entry.path, 'is missing');
  }
  if (wrong.length > 0) throw new ResurgoError('restoreMismatch', `the restored files are not those of the backup: ${wrong.slice(0, 5).join('; ')}${wrong.length > 5 ? ' …' : ''}`, { details: { differences: wrong } });
  return { ...totals, warnings: owners === 0 ? [] : [`${String(owners)} entries belong to the user of the worker: only root can give files away`] };
}

/** A further name whose first one is in another place may be a copy of it: what counts is its content. */
function standingAlone(entry: Entry, place: Place, firsts: ReadonlyMap<string, Entry>): Entry {
  const { hardlink, ...alone } = entry;
  if (hardlink === undefined || isWithin(hardlink, place.path)) return entry;
  const { sha256, extents } = firsts.get(hardlink) ?? {};
  return { ...alone, links: 1, ...(sha256 === undefined ? {} : { sha256 }), ...(extents === undefined ? {} : { extents }) };
}

interface Expected {
  readonly entry: Entry;
  /** Below the place's directory. */
  readonly local: string;
  /** A directory above the first entry, made by tar on the way. */
  readonly synthetic: boolean;
}

/** What has to be there, in the order of a walk; the directories above the roots are not in the list. */
function* expectedIn(listing: string, place: Place, wanted: (entry: Entry) => boolean): Generator<Expected> {
  const above = new Set<string>();
  for (const entry of readListing(listing)) {
    if (!isWithin(entry.path, place.path) || !wanted(entry)) continue;
    const names = entry.path.split('/');
    if (names.length <= place.strip) continue;
    for (let i = place.strip + 1; i < names.length; i++) {
      const parent = names.slice(0, i).join('/');
      if (above.has(parent)) continue;
      above.add(parent);
      yield { entry, local: names.slice(place.strip, i).join('/'), synthetic: true };
    }
    if (entry.type === 'd') above.add(entry.path);
    yield { entry, local: names.slice(place.strip).join('/'), synthetic: false };
  }
}

function differences(entry: Entry, found: EntryStat, inodes: Map<string, string>): string | undefined {
  if (entry.hardlink !== undefined || (entry.links > 1 && entry.type !== 'd')) {
    const first = entry.hardlink ?? entry.path;
    const ino = inodes.get(first);
    if (entry.hardlink === undefined) inodes.set(first, found.ino);
    else if (ino !== found.ino) return `is no hard link to ${JSON.stringify(first)}`;
  }
  if (found.type !== entry.type) return `is of type ${found.type} instead of ${entry.type}`;
  if (entry.type === 'f' && found.size !== entry.size) return `has ${String(found.size)} bytes instead of ${String(entry.size)}`;
  if (found.target !== entry.target) return `leads to ${JSON.stringify(found.target)} instead of ${JSON.stringify(entry.target)}`;
  if (entry.type !== 'l' && found.mode !== entry.mode) return `has mode ${found.mode.toString(8)} instead of ${entry.mode.toString(8)}`;
  if (found.mtime !== entry.mtime) return `was changed at ${found.mtime} instead of ${entry.mtime}`;
  return undefined;
}

const sliceBytes = 1024 * 1024;

/** Of a sparse file only what is no hole. */
async function contentDigest(path: string, entry: Entry): Promise<string> {
  const full = pathBytes(`/${path}`);
  if (entry.extents === undefined && entry.size <= sliceBytes) return createHash('sha256').update(await readFile(full)).digest('hex');
  const fd = openSync(full, 'r');
  try {
    const digest = createHash('sha256');
    const buffer = Buffer.alloc(sliceBytes);
    for (const [offset, length] of entry.extents ?? [[0, entry.size] as const]) {
      for (let at = offset; at < offset + length;) {
        const read = readSync(fd, buffer, 0, Math.min(buffer.length, offset + length - at), at);
        if (read === 0) break;
        digest.update(buffer.subarray(0, read));
        at += read;
      }
      await new Promise(setImmediate);
    }
    return digest.digest('hex');
  } finally {
    closeSync(fd);
  }
}
