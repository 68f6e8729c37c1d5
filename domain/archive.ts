/** The archive (B14): rows move from live tables into encrypted sets, verified before they are deleted. */
import type { ColumnFacts } from './dataset.ts';

/** Archive sets of a target lie in the repositories beside its backups, under a name of their own that no target may have. */
export const archiveSuffix = '.archive';
export const archiveName = (target: string): string => `${target}${archiveSuffix}`;
/** The target whose archive this is; undefined for a plain target. */
export const archivedTarget = (name: string): string | undefined => (name.endsWith(archiveSuffix) && name.length > archiveSuffix.length ? name.slice(0, -archiveSuffix.length) : undefined);

/** One table (a partition is one) whose rows are archived, and which of them. JSON, without secrets. */
export interface ArchiveTable {
  /** As the configuration names it. */
  readonly table: string;
  readonly schema: string;
  /** The table or partition the rows lie in. */
  readonly name: string;
  /** Time column, where the configuration names one. */
  readonly column: string | null;
  /** SQL condition besides, where there is one. */
  readonly where: string | null;
}

/** What a set holds; lies in the encrypted index. */
export interface ArchiveFacts {
  readonly engine: 'archive';
  readonly database: string;
  readonly serverVersion: string;
  readonly encoding: string;
  /** Of the run. */
  readonly run: string;
  readonly cutoff: string;
  readonly snapshot: { readonly at: string; readonly lsn?: string };
  readonly table: ArchiveTable;
  readonly columns: readonly ColumnFacts[];
  readonly rows: number;
  readonly bytes: number;
  /** Values of the time column of the first and the last row, as the server writes them (UTC); null without a column. */
  readonly from: string | null;
  readonly to: string | null;
}

/** Stream of a set with its rows as COPY text. */
export const rowsStream = 'rows.copy';

/** Which rows of a set are no longer (only) in it: `[first, last]`, both counted from 0. */
export type Ranges = readonly (readonly [number, number])[];

/** Sorted numbers as ranges. */
export function toRanges(numbers: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && n === last[1] + 1) last[1] = n;
    else ranges.push([n, n]);
  }
  return ranges;
}

export const inRanges = (ranges: Ranges, n: number): boolean => {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last] = ranges[middle] as readonly [number, number];
    if (n < first) high = middle - 1;
    else if (n > last) low = middle + 1;
    else return true;
  }
  return false;
};

/** Written beside a set in every repository before the transaction that deletes its rows commits: whoever finds it later asks the server how that ended. */
export interface DeletingMark {
  readonly at: string;
  /** Of the database the rows were in. */
  readonly systemId: string;
  /** Transaction id, 64 bits, decimal. */
  readonly xid: string;
  readonly deleted: number;
  readonly freedBytes: number;
  /** Rows that had changed, were locked or are referred to: they stay live, and are not taken for archived. */
  readonly kept: Ranges;
}

/** Written when that transaction is known to have committed. */
export interface DeletedMark extends DeletingMark {
  readonly committedAt: string;
  /** Nobody can tell any more whether it did: the rows are kept here, and may be live too. */
  readonly uncertain?: true;
}

export interface ArchiveInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** ISO date or time in place of the configured ages. */
  readonly before?: string;
  readonly preview?: boolean;
  readonly onBusy?: 'wait' | 'skip' | 'refuse';
  readonly startedBy?: string;
}

export interface ArchiveProblem {
  /** `table` or `archive` (a set that could not be expired or finished). */
  readonly of: 'table' | 'archive' | 'repository';
  readonly name: string;
  readonly code: string;
  readonly message: string;
}

export interface ArchivedTable {
  readonly table: string;
  readonly archivedRecords: number;
  readonly deletedRecords: number;
  /** Archived, then found changed, locked or referred to: still live, and left out of what the archive is taken to hold. */
  readonly keptRecords: number;
  /** Bytes the deleted rows took in the table, as the server measured them; the table can use them again after VACUUM. */
  readonly freedBytes: number;
  /** Ids of the sets. */
  readonly archives: readonly string[];
  /** In a preview: rows that would be moved. */
  readonly dueRecords?: number;
}

export interface ArchiveResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly status: 'archived' | 'preview' | 'incomplete' | 'skipped';
  readonly cutoff: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly archivedRecords: number;
  readonly deletedRecords: number;
  readonly keptRecords: number;
  readonly freedBytes: number;
  readonly expiredArchives: number;
  readonly tables: readonly ArchivedTable[];
  readonly errors: readonly ArchiveProblem[];
  readonly warnings: readonly string[];
}

/** What one set is to be made of; travels with its backup plan. */
export interface ArchiveStep {
  readonly run: string;
  readonly cutoff: string;
  readonly table: ArchiveTable;
  /** At most so many rows. */
  readonly batch: number;
}
