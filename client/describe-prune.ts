import type { PruneEntry, PruneReport } from '../domain/operations.ts';
import { formatBytes } from '../config/units.ts';
import { formatTable } from './text.ts';

/** 0 done or nothing to do, 7 when some of it is still there, 1 when no repository could be pruned. */
export function pruneExitCode(report: PruneReport): number | undefined {
  if (report.status !== 'incomplete') return undefined;
  return report.repositories.every((one) => one.status === 'failed') ? 1 : 7;
}

const mark = (entry: PruneEntry, preview: boolean): string =>
  entry.action === 'keep' ? 'keep' : preview ? 'would go' : entry.outcome === 'removed' ? 'removed' : entry.outcome === 'failed' ? 'FAILED' : 'kept';

export function describePrune(report: PruneReport): string {
  if (report.status === 'skipped') return `skipped: another operation on ${report.target} was running`;
  const preview = report.repositories.some((one) => one.status === 'planned') || report.status === 'preview';
  const parts = report.repositories.map((one) => {
    if (one.status === 'failed') return `${one.name}: FAILED: ${one.error?.message ?? 'unknown'}`;
    const counts = `${one.name}: ${String(one.removed)} ${preview ? 'would go' : 'removed'}, ${String(one.kept)} kept, ${formatBytes(one.freedBytes)} ${preview ? 'would be free' : 'freed'}${(one.pendingBytes ?? 0) > 0 ? `, ${formatBytes(one.pendingBytes ?? 0)} kept for the time of grace` : ''}`;
    const rows = [...one.backups]
      .sort((a, b) => (a.name < b.name ? 1 : -1))
      .map((entry) => [mark(entry, preview), entry.startedAt.slice(0, 19).replace('T', ' '), entry.kind, entry.id, entry.bytes === null ? '?' : formatBytes(entry.bytes), entry.detail ?? [...entry.reasons, ...(entry.until === undefined ? [] : [`can be brought back until ${entry.until.slice(0, 16).replace('T', ' ')}`])].join('; ')]);
    const table = rows.length === 0 ? '' : `\n${formatTable([{ title: '' }, { title: 'started' }, { title: 'kind' }, { title: 'id' }, { title: 'stored', right: true }, { title: 'why' }], rows).replaceAll(/^/gm, '  ')}`;
    return `${counts}${one.configured ? '' : ' (no rule is configured here: 7 daily, 4 weekly, 12 monthly)'}${one.wal === undefined ? '' : `\n  WAL: ${String(one.wal.objects)} objects (${formatBytes(one.wal.bytes)}) ${preview ? 'would go' : 'removed'}, ${String(one.wal.kept)} kept; any moment from ${one.wal.windowFrom} on stays reachable${one.wal.reasons.length === 0 ? '' : `; ${one.wal.reasons.join('; ')}`}`}${table}`;
  });
  return [preview ? `preview of ${report.target}: nothing was touched` : `${report.target} is pruned${report.status === 'incomplete' ? ', but not all of it' : ''}`, ...parts].join('\n');
}
