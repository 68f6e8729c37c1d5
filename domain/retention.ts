/**
 * Which backups of one target in one repository stay and which go. Pure: the same answer for the same entries in any order, and, because a rule
 * counts only periods that have backups, the same answer again after some or all of what was to go is gone.
 */
import type { BackupKind } from './backup.ts';
import { keptByRule, type RetentionRule } from './retention-rules.ts';
import { whyGivenUp } from './swaps.ts';

export interface RetentionEntry {
  readonly id: string;
  readonly name: string;
  readonly systemId: string;
  readonly kind: BackupKind;
  readonly startedAt: string;
  /** Ids from the full to the parent; null when the manifest that says so is damaged or gone. */
  readonly chain: readonly string[] | null;
  /** This repository's copy was read back. */
  readonly verified: boolean;
  readonly held: boolean;
  /** The restore in place whose data it holds, where that was rolled back: no backup of what there is now. */
  readonly givenUp?: string;
}

export interface RetentionDecision {
  readonly entry: RetentionEntry;
  readonly action: 'keep' | 'remove';
  /** In words; at least one. */
  readonly reasons: readonly string[];
}

const keyOf = (systemId: string, id: string): string => `${systemId}/${id}`;

/** Newest first; names tell apart what began in the same second. */
const newestFirst = (a: RetentionEntry, b: RetentionEntry): number =>
  Date.parse(b.startedAt) - Date.parse(a.startedAt) || compare(b.name, a.name) || compare(b.systemId, a.systemId);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * A backup stays if any rule keeps it, if a backup that stays needs it, if it is held, damaged, or the newest verified one; and what is newer than that
 * one stays in any case. Where nothing is verified, everything stays. One that was given up is never that one and takes no place from others; it stays as long as it
 * would have had a place.
 * @param rules those that apply to the target in this repository, at least one
 * @returns newest first
 */
export function decideRetention(entries: readonly RetentionEntry[], rules: readonly RetentionRule[], now: number): RetentionDecision[] {
  const all = [...entries].sort(newestFirst);
  const byId = new Map<string, RetentionEntry[]>();
  for (const entry of all) byId.set(keyOf(entry.systemId, entry.id), [...(byId.get(keyOf(entry.systemId, entry.id)) ?? []), entry]);
  const linksOf = (entry: RetentionEntry): RetentionEntry[] => (entry.chain ?? []).flatMap((id) => byId.get(keyOf(entry.systemId, id)) ?? []);
  const missingOf = (entry: RetentionEntry): string[] =>
    (entry.chain ?? []).filter((id) => (byId.get(keyOf(entry.systemId, id)) ?? []).every((link) => link.chain === null));
  const reasons = new Map<RetentionEntry, string[]>(all.map((entry) => [entry, []]));
  const keep = (entry: RetentionEntry, why: string): void => void reasons.get(entry)?.push(why);

  const readable = all.filter((entry) => entry.chain !== null && missingOf(entry).length === 0);
  const whole = readable.filter((entry) => entry.givenUp === undefined);
  const sound = whole.filter((entry) => entry.verified && linksOf(entry).every((link) => link.verified));
  const newest = sound[0];
  const isSound = new Set(sound);

  if (newest === undefined) for (const entry of all) keep(entry, 'no backup here is verified: nothing is removed');
  else keep(newest, 'the newest verified backup');
  for (const rule of rules) {
    byRule(sound, rule, now, keep);
    // What is not verified takes no place from what is, and is kept where it would have had one.
    byRule(whole, rule, now, (entry, why) => {
      if (!isSound.has(entry)) keep(entry, `${why}, not verified`);
    });
    byRule(readable, rule, now, (entry, why) => {
      if (entry.givenUp !== undefined) keep(entry, `${why}, counted apart: ${whyGivenUp(entry.givenUp)}`);
    });
  }
  for (const entry of all) {
    if (entry.held) keep(entry, 'held');
    if (entry.chain === null) keep(entry, 'damaged: its manifest cannot be read');
    else if (missingOf(entry).length > 0) keep(entry, `damaged: of its chain ${missingOf(entry).join(', ')} is gone`);
    else if (newest !== undefined && newestFirst(entry, newest) < 0) keep(entry, 'newer than the newest verified backup');
  }
  keepNeeded(all, reasons, linksOf);
  return all.map((entry) => {
    const why = reasons.get(entry) as string[];
    if (why.length > 0) return { entry, action: 'keep', reasons: [...new Set(why)] };
    const other = newest !== undefined && newest.systemId !== entry.systemId ? [`it is of another database system (${entry.systemId}) than the newest (${newest.systemId})`] : [];
    return { entry, action: 'remove', reasons: ['no rule keeps it', ...other, ...(entry.givenUp === undefined ? [] : [whyGivenUp(entry.givenUp)])] };
  });
}

function byRule(candidates: readonly RetentionEntry[], rule: RetentionRule, now: number, keep: (entry: RetentionEntry, why: string) => void): void {
  const found = keptByRule(candidates.map((entry) => Date.parse(entry.startedAt)), rule, now);
  for (const [i, entry] of candidates.entries()) for (const why of found[i] ?? []) keep(entry, why);
}

/** Whatever a kept backup builds on is kept, down to its full. */
function keepNeeded(all: readonly RetentionEntry[], reasons: Map<RetentionEntry, string[]>, linksOf: (entry: RetentionEntry) => RetentionEntry[]): void {
  const todo = all.filter((entry) => (reasons.get(entry) ?? []).length > 0);
  const followed = new Set(todo);
  for (let entry = todo.pop(); entry !== undefined; entry = todo.pop()) {
    for (const link of entry.chain === null ? possibleLinks(all, entry) : linksOf(entry)) {
      if (followed.has(link)) continue;
      reasons.get(link)?.push(`${entry.id} (${entry.kind}) ${entry.chain === null ? 'may need' : 'needs'} it`);
      followed.add(link);
      todo.push(link);
    }
  }
}

/** Of a backup whose manifest is damaged here but may be whole elsewhere: everything back to the full before it. */
function possibleLinks(all: readonly RetentionEntry[], entry: RetentionEntry): RetentionEntry[] {
  if (entry.kind === 'full') return [];
  const older = all.slice(all.indexOf(entry) + 1).filter((other) => other.systemId === entry.systemId);
  const full = older.findIndex((other) => other.kind === 'full' && other.chain !== null);
  return full < 0 ? older : older.slice(0, full + 1);
}

/** What is to go, what builds on another first: stopped at any point, nothing that is left lacks what it needs. */
export function removalOrder(decisions: readonly RetentionDecision[]): RetentionDecision[] {
  return decisions
    .filter(({ action }) => action === 'remove')
    .sort((a, b) => (b.entry.chain?.length ?? 0) - (a.entry.chain?.length ?? 0) || newestFirst(b.entry, a.entry));
}
