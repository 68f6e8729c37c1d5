import { linkSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { runTool } from '../host/child.ts';
import { pathBytes } from '../vault/tar-path.ts';
import { isWithin } from './listing.ts';
import type { Place } from './restore.ts';

/** A further name of a file whose first name lies in another place: no tar sees both. */
export interface Tie {
  /** As the list has it. */
  readonly path: string;
  /** Where the first name was written. */
  readonly first: string;
  readonly name: string;
  /** Place of `name`. */
  readonly place: number;
}

/** Of a hard link from the place `at`; undefined when its first name is there, too. */
export function tieOf({ path, hardlink }: { readonly path: string; readonly hardlink?: string }, at: number, places: readonly Place[]): Tie | undefined {
  const here = places[at];
  if (hardlink === undefined || here === undefined || isWithin(hardlink, here.path)) return undefined;
  const home = places.find((place) => isWithin(hardlink, place.path));
  return home === undefined ? undefined : { path, first: locate(home, hardlink), name: locate(here, path), place: at };
}

const locate = ({ directory, strip }: Place, path: string): string => [directory, ...path.split('/').slice(strip)].join('/');

/**
 * Gives files their names in other places, after all tars have ended. Where that is another file system the first name there is a copy, and told; the times of the
 * directories stay as tar has set them. @returns warnings
 */
export async function tieNames(ties: readonly Tie[], signal: AbortSignal): Promise<string[]> {
  const times = new Map<string, bigint>();
  const copies: Tie[] = [];
  const names = new Map<string, string>();
  for (const tie of ties) {
    makeAbove(tie.name, times);
    const key = `${String(tie.place)} ${tie.first}`;
    if (names.has(key)) continue;
    names.set(key, tie.name);
    if (!links(tie.first, tie.name)) copies.push(tie);
  }
  // Names may be no UTF-8, which no argument can be.
  const pairs = async (words: readonly [string, string][], command: readonly string[]): Promise<void> => {
    if (words.length > 0) await runTool({ command: 'xargs', args: ['--null', '--max-args=2', ...command], input: Buffer.concat(words.flat().flatMap((word) => [Buffer.from(pathBytes(word)), Buffer.of(0)])), signal });
  };
  await pairs(copies.map(({ first, name }) => [first, name]), ['cp', '--archive', '--no-target-directory']);
  for (const { first, name, place } of ties) {
    const made = names.get(`${String(place)} ${first}`) ?? first;
    if (made !== name) linkSync(pathBytes(made), pathBytes(name));
  }
  await pairs([...times].map(([path, ns]) => [`--date=@${secondsOf(ns)}`, path]), ['touch', '--no-create']);
  return copies.length === 0 ? [] : [`${String(copies.length)} files with names in places that are on several file systems now are copies there: ${copies.slice(0, 5).map(({ path }) => JSON.stringify(`/${path}`)).join(', ')}${copies.length > 5 ? ' …' : ''}`];
}

/** Directories that are in no list are made on the way; what they are made in is changed by that. */
function makeAbove(name: string, times: Map<string, bigint>): void {
  const above = dirname(name);
  for (let at = above; ; at = dirname(at)) {
    if (times.has(at)) break;
    const stats = lstatSync(pathBytes(at), { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) continue;
    times.set(at, stats.mtimeNs);
    break;
  }
  mkdirSync(pathBytes(above), { recursive: true });
}

function links(first: string, name: string): boolean {
  try {
    linkSync(pathBytes(first), pathBytes(name));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false;
    throw error;
  }
}

const secondsOf = (ns: bigint): string => {
  const size = ns < 0n ? -ns : ns;
  return `${ns < 0n ? '-' : ''}${String(size / 1_000_000_000n)}.${String(size % 1_000_000_000n).padStart(9, '0')}`;
};
