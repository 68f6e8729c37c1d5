import { accessSync, constants, statSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FilesFacts } from '../../domain/backup.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { pathBytes } from '../vault/tar-path.ts';
import { LineWriter, readLines } from './line-file.ts';
import { comparePaths, entryOf, isUnchanged, lineOf, ListingWriter, misfits, readLinesOf, type ListedLine, type Entry, type EntryStat } from './listing.ts';
import { isMixed, tie, withOtherNames, type Names } from './names.ts';
import { packFiles } from './pack.ts';
import { Problems } from './problems.ts';
import { leavesOut, type Selection } from './selection.ts';
import type { MemberContent, TarMember } from './tar-members.ts';
import { absolute, identityOf, statOf, walk } from './walk.ts';

export interface FilesDumpOptions {
  readonly selection: Selection;
  readonly oneFileSystem: boolean;
  /** Position of this backup in its chain; 0 is a full. */
  readonly link: number;
  /** List of the parent. */
  readonly parent?: string | undefined;
  readonly writer: BackupWriter;
  /** Empty directory of our own; removed by the caller. */
  readonly staging: string;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export interface FilesDump {
  readonly facts: FilesFacts;
  readonly listing: string;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
}

/** How often a file that changes while it is read is read again. */
const rounds = 4;
/** Times of files have the grain of the kernel's clock tick; what is younger than this when it is read may change once more unseen. */
const freshNs = 50_000_000n;
export const streamName = (n: number): string => `files-${String(n)}.tar`;

/**
 * Reads what changed since the parent, and lists everything. What changed while it was read is read again; what still changes, cannot be read or
 * vanished is told. Effect: streams `files-<n>.tar`, `files.json` in the writer.
 * @throws sourceUnreachable when none of the paths is there, dumpFailed
 */
export async function dumpFiles(options: FilesDumpOptions): Promise<FilesDump> {
  const { writer, staging, link, signal, onProgress } = options;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const problems = new Problems();
  const draft = join(staging, 'draft');
  const listed = join(staging, 'list');
  const walked = await survey(options, { draft, list: listed }, problems);
  let sealedBytes = 0;
  let phase = '';
  const onBytes = (bytes: number): void => {
    sealedBytes += bytes;
    onProgress({ phase, doneBytes: sealedBytes });
  };
  const round = async (stream: number, list: string, onMember: (member: TarMember, content: MemberContent) => void): Promise<Map<string, string>> => {
    phase = stream === 1 ? `pack ${String(walked.changed)} of ${String(walked.entries)} files` : `read again what changed, round ${String(stream)}`;
    const sink = writer.openStream(streamName(stream), 'blob');
    const said = await packFiles({ list, stream: streamName(stream), sink, onMember, onBytes, signal });
    await sink.end();
    return said;
  };

  // First round: everything that changed, in the order of the draft; the results go to a second file beside it.
  const results = join(staging, 'results');
  const again = new Map<string, string>();
  const packed = new LineWriter(results);
  if (walked.changed > 0) {
    const startedAt = nowNs();
    const wanted = changedIn(draft);
    let next = wanted.next();
    const miss = (entry: Entry): void => void again.set(entry.path, 'it was not read');
    const said = await round(1, listed, (member, content) => {
      while (next.done !== true && next.value.path !== member.path) {
        miss(next.value);
        next = wanted.next();
      }
      if (next.done === true) throw new ResurgoError('dumpFailed', `tar packed ${member.path}, which it was not told to`);
      const { entry, whole } = settle(next.value, member, content, { link, stream: 1, startedAt });
      if (!whole) again.set(entry.path, 'it changed while it was read');
      if (entry.hardlink !== undefined) tie(walked.names, entry.hardlink, entry.path);
      packed.add(lineOf(entry));
      next = wanted.next();
    });
    for (; next.done !== true; next = wanted.next()) miss(next.value);
    for (const [path, message] of said) if (/^(Read error|File shrank)/.test(message)) again.set(path, message);
  }
  packed.close();
  for (const path of walked.mixed) if (!again.has(path)) again.set(path, 'another name of it changed');

  const mended = new Map<string, Entry>();
  // Lists of nothing but single files cannot come apart.
  const mayMisfit = (): boolean => walked.names.size > 0 || mended.size > 0 || problems.gone.size > 0;
  const listedNow = function* (without: ReadonlySet<string>): Generator<Entry> {
    for (const line of finalLines(draft, results, mended, true)) {
      const entry = line as Entry;
      if (!without.has(entry.path) && !problems.gone.has(entry.path)) yield entry;
    }
  };
  /** Nothing was packed since the list was last seen to fit. */
  let fits = false;
  for (let n = 2; n <= rounds; n++) {
    if (mayMisfit()) for (const { path, leader } of misfits(listedNow(new Set()))) for (const each of leader === undefined ? [path] : [path, leader]) if (!again.has(each)) again.set(each, 'another name of it changed');
    fits = again.size === 0;
    if (fits) break;
    if (n > 2) await sleep(100 * n, undefined, { signal });
    const list = join(staging, `list-${String(n)}`);
    const stats = listAgain(list, withOtherNames([...again.keys()], walked.names), again, problems);
    again.clear();
    if (stats.size === 0) continue;
    const startedAt = nowNs();
    const pending = new Map(stats);
    const said = await round(n, list, (member, content) => {
      const stat = stats.get(member.path);
      if (stat === undefined) throw new ResurgoError('dumpFailed', `tar packed ${member.path}, which it was not told to`);
      pending.delete(member.path);
      const { entry, whole } = settle({ ...stat, link, stream: n }, member, content, { link, stream: n, startedAt });
      if (entry.hardlink !== undefined) tie(walked.names, entry.hardlink, entry.path);
      mended.set(entry.path, whole ? entry : { ...entry, torn: true });
      if (!whole) again.set(entry.path, 'it changed while it was read');
    });
    for (const path of pending.keys()) again.set(path, said.get(path) ?? 'it was not read');
    for (const [path, message] of said) if (/^(Read error|File shrank)/.test(message)) again.set(path, message);
  }
  // What could not be read as a whole is in no backup; what changed each time is, and is told.
  const lost = new Set<string>();
  for (const [path, why] of again) {
    if (why !== 'it changed while it was read') {
      lost.add(path);
      problems.report(path, why);
    } else if (mended.get(path)?.type === 'f') problems.changing.push(path);
  }

  // A list that no restore would take is never written: what does not fit into it is left out, and told.
  for (let misfit = !fits && mayMisfit(); misfit;) {
    misfit = false;
    for (const { path, why } of misfits(listedNow(lost))) {
      misfit = true;
      lost.add(path);
      problems.report(path, why);
    }
  }

  const listing = new ListingWriter();
  // Names of an unchanged file are packed again when another name of it changed.
  const parse = mended.size + lost.size + problems.gone.size > 0;
  const totals = parse ? noTotals() : walked.unchanged;
  for (const line of finalLines(draft, results, mended, parse)) {
    if (typeof line === 'string') listing.add(line);
    else if (!lost.has(line.path) && !problems.gone.has(line.path)) {
      tally(totals, line);
      listing.add(lineOf(line));
    }
  }
  const facts = { engine: 'files' as const, paths: options.selection.paths, exclude: options.selection.exclude, ...totals, changed: walked.changed, sockets: problems.sockets, changing: problems.changing.length, unread: problems.unread.size };
  const summary = writer.openStream('files.json', 'blob');
  await summary.write(Buffer.from(`${JSON.stringify(facts)}\n`));
  await summary.end();
  return {
    facts,
    listing: listing.finish(),
    checks: ['every file was the same before and after it was read', ...(problems.sockets > 0 ? [`${String(problems.sockets)} sockets left out`] : [])],
    warnings: problems.warnings(),
  };
}

interface Surveyed {
  readonly entries: number;
  readonly changed: number;
  /** What the lines of the parent that still hold add up to. */
  readonly unchanged: Totals;
  /** All names of every file that has several, as far as they are known. */
  readonly names: Map<string, readonly string[]>;
  /** Names of files of which some names are unchanged and others are not, or the one with the content is gone: they are packed together. */
  readonly mixed: readonly string[];
}

/** Walks the tree beside the parent's list, both in the same order. */
async function survey(options: FilesDumpOptions, out: { draft: string; list: string }, problems: Problems): Promise<Surveyed> {
  const { selection, parent, link, onProgress } = options;
  const before = parent === undefined ? undefined : readLinesOf(parent);
  let old = before?.next();
  const listed = (path: string): ListedLine | undefined => {
    while (old?.done === false) {
      const here = old.value;
      const same = here.path === path;
      if (!same && comparePaths(here.path, path) > 0) return undefined;
      old = before?.next();
      if (same) return here;
    }
    return undefined;
  };
  const draft = new LineWriter(out.draft);
  const list = new LineWriter(out.list, '\0');
  const totals = noTotals();
  const names = new Map<string, Names>();
  for await (const batch of walk({
    roots: selection.paths,
    leaveOut: leavesOut(selection),
    never: identitiesOf(selection.never),
    oneFileSystem: options.oneFileSystem,
    onProblem: (path, error) => {
      if (error.code !== 'ENOENT') problems.report(path, error.message);
      else if (selection.paths.some((root) => root.replace(/^\/+|\/+$/g, '') === path)) problems.report(path, 'it does not exist');
      else problems.vanished.push(path);
    },
    onSocket: () => {
      problems.sockets++;
    },
    signal: options.signal,
  })) {
    for (const stat of batch) {
      const then = listed(stat.path);
      const same = then?.saysOnly(stat) === true;
      const unchanged = then !== undefined && (same || isUnchanged(stat, then.entry));
      // Most lines of an incremental are the parent's as they are; a changed one gets its own link and stream.
      if (unchanged) {
        draft.add(`=${then.line}`);
        tally(totals, same ? stat : then.entry);
      } else draft.add(`+${lineOf({ ...stat, link, stream: 0 })}`);
      if (!unchanged) list.add(Buffer.from(pathBytes(stat.path === '' ? '.' : stat.path)));
      if (stat.links > 1) {
        const group = names.get(stat.ino) ?? { paths: [], changed: 0, firsts: new Set() };
        group.paths.push(stat.path);
        if (!unchanged) group.changed++;
        else if (!same && then.entry.hardlink !== undefined) group.firsts.add(then.entry.hardlink);
        names.set(stat.ino, group);
      }
    }
    onProgress({ phase: 'look at files', note: `${String(draft.lines)} so far, ${String(list.lines)} changed` });
  }
  draft.close();
  list.close();
  if (draft.lines === 0) throw new ResurgoError('sourceUnreachable', `none of ${selection.paths.join(', ')} can be read: ${problems.warnings().join('; ')}`);
  const groups = [...names.values()];
  return {
    entries: draft.lines,
    changed: list.lines,
    unchanged: totals,
    names: new Map(groups.flatMap(({ paths }) => paths.map((path) => [path, paths] as const))),
    mixed: groups.filter(isMixed).flatMap(({ paths }) => paths),
  };
}

/** Of those that are there: the paths may lead to them by a symbolic link or a bind mount. */
function identitiesOf(directories: readonly string[]): Set<string> {
  return new Set(directories.flatMap((path) => {
    try {
      return [identityOf(statSync(path, { bigint: true }))];
    } catch {
      // Not there, or not to be looked at: left out by its name alone.
      return [];
    }
  }));
}

function* changedIn(draft: string): Generator<Entry> {
  for (const line of readLines(draft)) if (line.startsWith('+')) yield entryOf(line.slice(1));
}

/** The draft with what became of it; lines of the parent as they are, unless some of them may have been packed after all. */
function* finalLines(draft: string, results: string, mended: ReadonlyMap<string, Entry>, parse: boolean): Generator<Entry | string> {
  const packed = readLines(results);
  let next = packed.next();
  for (const line of readLines(draft)) {
    if (line.startsWith('=') && !parse) {
      yield line.slice(1);
      continue;
    }
    const entry = entryOf(line.slice(1));
    const result = next.done === true || line.startsWith('=') ? undefined : entryOf(next.value);
    const isPacked = result?.path === entry.path;
    if (isPacked) next = packed.next();
    const final = mended.get(entry.path) ?? (isPacked ? result : entry);
    if (final.stream > 0) yield final;
  }
}

type Totals = { -readonly [K in 'entries' | 'files' | 'directories' | 'links' | 'others' | 'bytes']: number };
const noTotals = (): Totals => ({ entries: 0, files: 0, directories: 0, links: 0, others: 0, bytes: 0 });

function tally(totals: Totals, entry: EntryStat & Partial<Pick<Entry, 'hardlink' | 'extents'>>): void {
  totals.entries++;
  if (entry.type === 'f') totals.files++;
  else if (entry.type === 'd') totals.directories++;
  else if (entry.type === 'l') totals.links++;
  else totals.others++;
  if (entry.type === 'f' && entry.hardlink === undefined) totals.bytes += entry.extents?.reduce((sum, [, length]) => sum + length, 0) ?? entry.size;
}

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** What was packed, and whether the file was the same before and after. */
function settle(before: Entry, member: TarMember, content: MemberContent, at: { link: number; stream: number; startedAt: bigint }): { entry: Entry; whole: boolean } {
  const { target: _, ...stat } = before;
  // It may have become something else by now; a further name is whatever the first one is.
  const type = member.hardlink === undefined ? member.type : before.type;
  const target = member.hardlink === undefined ? member.target : before.target;
  const entry: Entry = {
    ...stat,
    type,
    ...(target === undefined ? {} : { target }),
    mode: member.mode, uid: member.uid, gid: member.gid, mtime: member.mtime,
    size: member.hardlink !== undefined ? before.size : type === 'f' ? member.size : 0,
    link: at.link, stream: at.stream,
    ...content,
    ...(member.hardlink === undefined ? {} : { hardlink: member.hardlink }),
    ...(BigInt(before.ctime) + freshNs >= at.startedAt ? { fresh: true as const } : {}),
  };
  return { entry, whole: isSame(before, member) && isSameNow(before) };
}

/** What tar saw is what was seen before it. */
const isSame = (before: EntryStat, member: TarMember): boolean =>
  (member.hardlink !== undefined || member.type === before.type) && member.mtime === before.mtime && (before.type !== 'f' || member.hardlink !== undefined || member.size === before.size) && (before.type !== 'l' || member.hardlink !== undefined || member.target === before.target);

function isSameNow(before: EntryStat): boolean {
  try {
    const now = statOf(before.path);
    return now !== undefined && isUnchanged(now, { ...before, link: 0, stream: 0 });
  } catch {
    // Gone by now: what was read of it was whole when the times agree, and it is the next backup's to miss it.
    return true;
  }
}

/** What is still there is listed; the rest is vanished or unreadable, and told. */
function listAgain(list: string, paths: readonly string[], why: ReadonlyMap<string, string>, problems: Problems): Map<string, EntryStat> {
  const stats = new Map<string, EntryStat>();
  const writer = new LineWriter(list, '\0');
  for (const path of paths) {
    try {
      const stat = statOf(path);
      if (stat === undefined) continue;
      if (stat.type === 'f') accessSync(absolute(path), constants.R_OK);
      stats.set(path, stat);
      writer.add(Buffer.from(pathBytes(path === '' ? '.' : path)));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      problems.gone.add(path);
      if (code === 'ENOENT' || code === 'ENOTDIR') problems.vanished.push(path);
      else problems.report(path, why.get(path)?.startsWith('it was not') === true ? message : (why.get(path) ?? message));
    }
  }
  writer.close();
  return stats;
}
