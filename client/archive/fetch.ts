/** `resurgo archive fetch`: rows of a date range, across the archives of a target, into a file or scratch tables; never into live ones. */
import { archiveName, inRanges, rowsStream, type ArchiveFacts, type Ranges } from '../../domain/archive.ts';
import type { ColumnFacts } from '../../domain/dataset.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, ObjectStore } from '../../domain/ports.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { KeyRing } from '../../activities/key-ring.ts';
import { Stores } from '../../activities/stores.ts';
import { listSets, readDeleted, readDeleting } from '../../activities/archive/sets.ts';
import { linesOf, parseCopyLine, timeOf } from '../../providers/archive/copy-values.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { fileOutput, scratchOutput, type FetchFormat, type RowOutput } from './outputs.ts';

export interface FetchOptions {
  readonly target: string;
  readonly from: string;
  readonly to: string;
  /** As the configuration named them; default all. */
  readonly tables?: readonly string[];
  readonly file?: string;
  readonly format: FetchFormat;
  readonly scratchTable?: string;
  readonly signal: AbortSignal;
  readonly onNote: (text: string) => void;
}

export interface FetchResult {
  readonly schemaVersion: 1;
  readonly target: string;
  readonly from: string;
  readonly to: string;
  readonly records: number;
  readonly tables: readonly { readonly table: string; readonly records: number; readonly archives: number; readonly to: string }[];
  readonly warnings: readonly string[];
}

interface Found {
  readonly id: string;
  readonly facts: ArchiveFacts;
  readonly reader: BackupReader;
  /** Rows that stayed live. */
  readonly kept: Ranges;
}

/** A date is its whole day (UTC): `--from` its beginning, `--to` its end. @throws usage */
export function parseBound(text: string, end: boolean): number {
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(ms)) throw new ResurgoError('usage', `${JSON.stringify(text)} is not a date (2026-08-01) or time (2026-08-01T12:00:00Z)`);
  return end && text.length === 10 ? ms + 86_400_000 : ms;
}

/** @throws backupUnknown when the target has no archives, destinationNotEmpty, keyMissing, wrongKey, partCorrupt … */
export async function fetchArchived(loaded: LoadedConfig, options: FetchOptions): Promise<FetchResult> {
  const from = parseBound(options.from, false);
  const to = parseBound(options.to, true);
  if (from >= to) throw new ResurgoError('usage', `--from ${options.from} is not before --to ${options.to}`);
  if ((options.file === undefined) === (options.scratchTable === undefined)) throw new ResurgoError('usage', 'give either --to-file or --scratch-table');
  const stores = new Stores(loaded);
  try {
    const warnings: string[] = [];
    const found = await findSets(loaded, stores, options, { from, to }, warnings);
    const byTable = new Map<string, Found[]>();
    for (const set of found) byTable.set(set.facts.table.table, [...(byTable.get(set.facts.table.table) ?? []), set]);
    const tables: FetchResult['tables'][number][] = [];
    for (const [table, sets] of byTable) {
      const columns = union(sets);
      const output = await open(loaded, options, table, columns, byTable.size > 1);
      try {
        let records = 0;
        for (const set of sets) records += await copySet(set, columns, { from, to }, output, options.signal);
        await output.finish();
        tables.push({ table, records, archives: sets.length, to: output.name });
      } catch (error) {
        await output.discard();
        throw error;
      }
    }
    return {
      schemaVersion: 1, target: options.target, from: new Date(from).toISOString(), to: new Date(to).toISOString(),
      records: tables.reduce((sum, one) => sum + one.records, 0), tables, warnings,
    };
  } finally {
    await stores.close();
  }
}

interface Range {
  readonly from: number;
  readonly to: number;
}

async function findSets(loaded: LoadedConfig, pool: Stores, options: FetchOptions, { from, to }: Range, warnings: string[]): Promise<Found[]> {
  const keys = new KeyRing(loaded);
  const stores: ObjectStore[] = [];
  for (const name of pool.names()) {
    await pool.open(name).then((store) => stores.push(store), (error: unknown) => {
      if (!isResurgoError(error)) throw error;
      warnings.push(`repository ${name}: ${error.message}`);
    });
  }
  const sets = await listSets(stores, archiveName(options.target));
  if (sets.length === 0) throw new ResurgoError('backupUnknown', `there are no archives of ${options.target}${warnings.length === 0 ? '' : ` (${warnings.join('; ')})`}`, { details: { hint: '`resurgo archive TARGET` makes them.' } });
  const [credentials, trusted] = [await keys.credentials(), await keys.trusted()];
  const found: Found[] = [];
  for (const { ref, copies } of sets) {
    options.signal.throwIfAborted();
    const holders = copies.map(({ store }) => store);
    const reader = await openBackup({ stores: holders, ref, credentials, trusted, signal: options.signal });
    const { engine } = reader.index;
    if (engine.engine !== 'archive') continue;
    if (options.tables !== undefined && !options.tables.includes(engine.table.table)) continue;
    const first = timeOf(engine.from ?? engine.snapshot.at.replace('T', ' ').replace('Z', '')) ?? -Infinity;
    const last = timeOf(engine.to ?? engine.snapshot.at.replace('T', ' ').replace('Z', '')) ?? Infinity;
    if (last < from || first >= to) continue;
    const deleted = await readDeleted(holders, ref);
    if (deleted === undefined) {
      const deleting = await readDeleting(holders, ref);
      if (deleting === undefined) {
        warnings.push(`archive ${ref.id} was not finished: its rows are live in ${engine.table.schema}.${engine.table.name}, and are not fetched`);
        continue;
      }
      warnings.push(`archive ${ref.id} is being finished, or its run died: its rows are fetched, and may be live too`);
    } else if (deleted.uncertain === true) warnings.push(`archive ${ref.id}: nobody could tell whether its rows were deleted; they are fetched, and may be live too`);
    found.push({ id: ref.id, facts: engine, reader, kept: deleted?.kept ?? [] });
  }
  const unknown = (options.tables ?? []).filter((table) => !found.some((set) => set.facts.table.table === table));
  for (const table of unknown) options.onNote(`no archived rows of ${table} in that range`);
  return found;
}

/** All columns that any of the sets has, in the order they came up; a type that changed becomes text. */
function union(sets: readonly Found[]): ColumnFacts[] {
  const columns = new Map<string, ColumnFacts>();
  for (const { facts } of sets) {
    for (const column of facts.columns) {
      const known = columns.get(column.name);
      columns.set(column.name, known === undefined || known.type === column.type ? { ...column, notNull: false } : { ...known, type: 'text' });
    }
  }
  return [...columns.values()];
}

async function copySet({ facts, reader, kept }: Found, columns: readonly ColumnFacts[], { from, to }: Range, output: RowOutput, signal: AbortSignal): Promise<number> {
  const places = columns.map(({ name }) => facts.columns.findIndex((column) => column.name === name));
  const time = facts.table.column === null ? -1 : facts.columns.findIndex(({ name }) => name === facts.table.column);
  let n = 0;
  let records = 0;
  for await (const line of linesOf(reader.stream(rowsStream, signal))) {
    const values = parseCopyLine(line);
    if (values.length !== facts.columns.length) throw new ResurgoError('contentMismatch', `archive of ${facts.table.table}: row ${String(n + 1)} has ${String(values.length)} values, not ${String(facts.columns.length)}`);
    const at = time < 0 ? undefined : timeOf(values[time] ?? null);
    const within = time < 0 || (at !== undefined && at >= from && at < to);
    if (within && !inRanges(kept, n)) {
      await output.write(places.map((place) => (place < 0 ? null : (values[place] ?? null))));
      records++;
    }
    n++;
  }
  if (n !== facts.rows) throw new ResurgoError('contentMismatch', `archive of ${facts.table.table} holds ${String(n)} rows, not ${String(facts.rows)}`);
  return records;
}

const open = (loaded: LoadedConfig, options: FetchOptions, table: string, columns: readonly ColumnFacts[], several: boolean): Promise<RowOutput> =>
  options.scratchTable === undefined
    ? fileOutput(options.file as string, { table, columns, format: options.format, several })
    : scratchOutput(loaded, options.target, several ? `${options.scratchTable}_${table.split('.').at(-1) ?? table}` : options.scratchTable, columns, options.signal);
