import type { ArchiveResult } from '../../domain/archive.ts';
import { formatBytes } from '../../config/units.ts';
import { formatTable } from '../text.ts';

/** 0 done, 7 when a table or an old archive failed and others did not, 1 when nothing was done and something failed. */
export function archiveExitCode(result: ArchiveResult): number | undefined {
  if (result.errors.length === 0) return undefined;
  const failedTables = new Set(result.errors.filter((one) => one.of === 'table').map((one) => one.name));
  const allFailed = result.tables.every((table) => failedTables.has(table.table)) && result.deletedRecords === 0 && result.expiredArchives === 0;
  return allFailed && failedTables.size > 0 ? 1 : 7;
}

export function describeArchive(result: ArchiveResult): string {
  if (result.status === 'skipped') return `skipped: another operation on ${result.target} was running`;
  const preview = result.tables.some((table) => table.dueRecords !== undefined);
  const head = preview
    ? `preview of ${result.target}: nothing was touched; rows from before ${result.cutoff.slice(0, 19).replace('T', ' ')} UTC`
    : `${result.target}: ${String(result.deletedRecords)} rows from before ${result.cutoff.slice(0, 19).replace('T', ' ')} UTC moved into the archive, ${formatBytes(result.freedBytes)} free for use again; ${String(result.expiredArchives)} old archives removed`;
  const rows = result.tables.map((table) => preview
    ? [table.table, String(table.dueRecords ?? '?')]
    : [table.table, String(table.archivedRecords), String(table.deletedRecords), String(table.keptRecords), formatBytes(table.freedBytes), table.archives.slice(0, 3).join(', ') + (table.archives.length > 3 ? ` and ${String(table.archives.length - 3)} more` : '')]);
  const columns = preview
    ? [{ title: 'table' }, { title: 'due', right: true }]
    : [{ title: 'table' }, { title: 'archived', right: true }, { title: 'deleted', right: true }, { title: 'stayed', right: true }, { title: 'freed', right: true }, { title: 'archives' }];
  return [head, ...(rows.length === 0 ? [] : [formatTable(columns, rows)]), ...result.errors.map((one) => `FAILED ${one.of} ${one.name}: ${one.message}`)].join('\n');
}
