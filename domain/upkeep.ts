/** What keeps the repositories of one target whole: which copies are missing, which are damaged, which are due to be read back. Pure. */
import type { BackupKind } from './backup.ts';
import type { UpkeepItem, UpkeepPlan } from './operations.ts';
import { decideRetention, type RetentionEntry } from './retention.ts';
import type { RetentionRule } from './retention-rules.ts';

export interface UpkeepCopy {
  readonly id: string;
  readonly name: string;
  readonly systemId: string;
  readonly kind: BackupKind;
  readonly startedAt: string;
  /** From its manifest, here or elsewhere; null when no repository has a readable one. */
  readonly chain: readonly string[] | null;
  readonly bytes: number | null;
  readonly held: boolean;
  /** As of {@link RetentionEntry}. */
  readonly givenUp?: string;
  readonly state: 'verified' | 'unverified' | 'damaged' | 'copying' | 'deleted';
  /** ms since the epoch; null: never. */
  readonly verifiedAt: number | null;
}

export interface UpkeepRepository {
  readonly name: string;
  readonly copies: readonly UpkeepCopy[];
  readonly rules: readonly RetentionRule[];
  /** Kinds of backup that are to be here. */
  readonly kinds: readonly BackupKind[];
}

export interface UpkeepOptions {
  readonly now: number;
  /** Everything is read back once in this time, ms. */
  readonly scrubMs: number;
  /** Time between two runs, ms: the share of one run. */
  readonly everyMs: number;
  readonly most: number;
}

const keyOf = (copy: Pick<UpkeepCopy, 'systemId' | 'id'>): string => `${copy.systemId}/${copy.id}`;
const isHere = (copy: UpkeepCopy): boolean => copy.state === 'verified' || copy.state === 'unverified';
const item = (copy: UpkeepCopy, action: UpkeepItem['action'], repository: string, from: readonly string[], why: string): UpkeepItem => ({
  action, backup: copy.id, name: copy.name, kind: copy.kind, systemId: copy.systemId, startedAt: copy.startedAt, repository, from, bytes: copy.bytes, why,
});

export function planUpkeep(repositories: readonly UpkeepRepository[], options: UpkeepOptions): Omit<UpkeepPlan, 'unreachable'> {
  const good = sourcesOf(repositories);
  const hopeless: { backup: string; repository: string }[] = [];
  const heal: UpkeepItem[] = [];
  const copies: UpkeepItem[] = [];
  const reads: UpkeepItem[] = [];
  for (const repository of repositories) {
    for (const copy of repository.copies) {
      if (copy.state !== 'damaged') continue;
      const from = (good.get(keyOf(copy)) ?? []).filter((name) => name !== repository.name);
      if (from.length > 0) heal.push(item(copy, 'heal', repository.name, from, 'a verification found damage'));
      else hopeless.push({ backup: copy.id, repository: repository.name });
    }
    copies.push(...missingIn(repository, repositories, good, options.now));
    reads.push(...dueIn(repository, options));
  }
  // What is built on comes first, whether it is healed or copied: what builds on it is worth nothing without it.
  const mends = [...heal, ...copies].sort((a, b) => Number(a.action === 'forget') - Number(b.action === 'forget') || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const all = [...mends, ...reads];
  return { items: all.slice(0, options.most), more: Math.max(0, all.length - options.most), hopeless };
}

/** Repositories that hold a backup, those that have read it back first. */
function sourcesOf(repositories: readonly UpkeepRepository[]): Map<string, string[]> {
  const good = new Map<string, string[]>();
  for (const state of ['verified', 'unverified'] as const)
    for (const { name, copies } of repositories)
      for (const copy of copies) if (copy.state === state) good.set(keyOf(copy), [...(good.get(keyOf(copy)) ?? []), name]);
  return good;
}

/** What the rules of this repository would keep if it were here, and what that builds on; parents first. */
function missingIn(repository: UpkeepRepository, all: readonly UpkeepRepository[], good: ReadonlyMap<string, readonly string[]>, now: number): UpkeepItem[] {
  const here = new Map(repository.copies.map((copy) => [keyOf(copy), copy]));
  const elsewhere = new Map<string, UpkeepCopy>();
  for (const other of all) {
    if (other.name === repository.name) continue;
    for (const copy of other.copies) {
      const own = here.get(keyOf(copy));
      // What retention put aside here is not brought back behind its back.
      if (isHere(copy) && copy.chain !== null && (own === undefined || own.state === 'copying') && !elsewhere.has(keyOf(copy))) elsewhere.set(keyOf(copy), copy);
    }
  }
  const candidates = [...elsewhere.values()].filter((copy) => repository.kinds.includes(copy.kind));
  const entries = [...repository.copies.filter((copy) => copy.state !== 'copying' && copy.state !== 'deleted'), ...elsewhere.values()].map(
    (copy): RetentionEntry => ({ id: copy.id, name: copy.name, systemId: copy.systemId, kind: copy.kind, startedAt: copy.startedAt, chain: copy.chain, verified: copy.state === 'verified' || elsewhere.has(keyOf(copy)), held: copy.held && here.has(keyOf(copy)), ...(copy.givenUp === undefined ? {} : { givenUp: copy.givenUp }) }),
  );
  const kept = new Set(decideRetention(entries, repository.rules, now).filter(({ action }) => action === 'keep').map(({ entry }) => keyOf(entry)));
  const wanted = new Map<string, UpkeepCopy>();
  for (const copy of candidates.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!kept.has(keyOf(copy))) continue;
    const links = (copy.chain ?? []).map((id) => `${copy.systemId}/${id}`).filter((key) => !isHereAs(here.get(key)));
    // A link that nobody has whole would make a copy of no use.
    if (links.some((key) => !elsewhere.has(key))) continue;
    for (const key of links) wanted.set(key, elsewhere.get(key) as UpkeepCopy);
    wanted.set(keyOf(copy), copy);
  }
  const copies = [...wanted].map(([key, copy]) => item(copy, 'copy', repository.name, (good.get(key) ?? []).filter((name) => name !== repository.name), here.has(key) ? 'an earlier copy was not finished' : 'it is not here'));
  const forgotten = repository.copies.filter((copy) => copy.state === 'copying' && !wanted.has(keyOf(copy))).map((copy) => item(copy, 'forget', repository.name, [], 'an unfinished copy that nobody wants any more'));
  return [...copies, ...forgotten];
}

const isHereAs = (copy: UpkeepCopy | undefined): boolean => copy !== undefined && isHere(copy);

/** The longest unread first, as much as this run's share of the whole; twice that while something is overdue. What was never read back is due at once. */
function dueIn(repository: UpkeepRepository, { now, scrubMs, everyMs }: UpkeepOptions): UpkeepItem[] {
  const copies = repository.copies.filter(isHere).sort((a, b) => (a.verifiedAt ?? 0) - (b.verifiedAt ?? 0) || (a.name < b.name ? -1 : 1));
  const total = copies.reduce((sum, copy) => sum + (copy.bytes ?? 0), 0);
  const share = (total * everyMs) / scrubMs;
  const due: UpkeepItem[] = [];
  let bytes = 0;
  for (const copy of copies) {
    const age = copy.verifiedAt === null ? Infinity : now - copy.verifiedAt;
    // Read in the last tenth of the time: nothing new to learn.
    if (age < scrubMs / 10 || (age !== Infinity && bytes >= (age < scrubMs ? share : 2 * share))) break;
    due.push(item(copy, 'read back', repository.name, [], copy.verifiedAt === null ? 'it was never read back here' : `last read back ${new Date(copy.verifiedAt).toISOString().slice(0, 10)}`));
    bytes += copy.bytes ?? 0;
  }
  return due;
}
