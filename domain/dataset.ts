/** Data sets (B6): named groups of tables and queries with a schema version. */
import { ResurgoError } from './errors.ts';

export interface ColumnFacts {
  readonly name: string;
  /** As SQL writes it, with its modifier: `numeric(10,2)`, `public.mood`. */
  readonly type: string;
  readonly notNull: boolean;
}

/** One table or query of a set, as it lies in a backup. */
export interface SetMember {
  readonly kind: 'table' | 'query';
  /** `schema.table`, or the name of the query. */
  readonly name: string;
  /** Where it came from (table), or goes back to (query, when the configuration names a table). */
  readonly table?: { readonly schema: string; readonly name: string };
  readonly columns: readonly ColumnFacts[];
  /** Stream of COPY text. */
  readonly stream: string;
  /** Exact: the server counted them, and so did we. */
  readonly rows: number;
  readonly bytes: number;
}

export interface SetFacts {
  readonly name: string;
  readonly schemaVersion: string;
  readonly members: readonly SetMember[];
}

export interface DatasetFacts {
  readonly engine: 'dataset';
  readonly database: string;
  readonly serverVersion: string;
  readonly encoding: string;
  /** The one snapshot all of it was read in. */
  readonly snapshot: { readonly at: string; readonly lsn?: string };
  readonly sets: readonly SetFacts[];
}

/** The leading whole number of a schema version: `3`, `v3.1`, `2026-05` → 3, 3, 2026; undefined where there is none. */
export function leadingNumber(version: string): number | undefined {
  const digits = /^\s*v?(\d{1,15})/i.exec(version)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * How far two schema versions are apart: the difference of their leading numbers, either way. Versions without a number are apart by
 * nothing when they are the same, else infinitely.
 */
export function versionDistance(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [leadingNumber(a), leadingNumber(b)];
  return left === undefined || right === undefined ? Infinity : Math.abs(left - right);
}

/** @throws schemaVersion when a set was backed up at a version too far from the destination's */
export function assertVersions(set: string, backedUp: string, destination: string, allowed: number): void {
  const distance = versionDistance(backedUp, destination);
  if (distance <= allowed) return;
  const apart = Number.isFinite(distance) ? `${String(distance)} apart` : 'not comparable';
  throw new ResurgoError('schemaVersion', `set ${set} was backed up at schema version ${backedUp}; the destination is at ${destination}: they are ${apart}, at most ${String(allowed)} is allowed`);
}

/** The sets that are meant; all where none is named. @throws inputInvalid */
export function chooseSets(sets: readonly SetFacts[], only: readonly string[]): SetFacts[] {
  const unknown = only.filter((name) => !sets.some((set) => set.name === name));
  if (unknown.length > 0) throw new ResurgoError('inputInvalid', `the backup has no set ${unknown.join(', ')}; it has ${sets.map((set) => set.name).join(', ')}`);
  return only.length === 0 ? [...sets] : sets.filter((set) => only.includes(set.name));
}
