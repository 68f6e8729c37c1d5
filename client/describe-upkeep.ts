import type { UpkeepReport } from '../domain/operations.ts';
import { formatBytes } from '../config/units.ts';
import { describeWalReadBack } from './describe-wal.ts';
import { formatTable } from './text.ts';

export function describeUpkeep(report: UpkeepReport): string {
  if (report.status === 'skipped') return `skipped: another upkeep of ${report.target} was running`;
  const rows = report.items.map((item) => [item.outcome === 'planned' ? 'would' : item.outcome, item.action, item.repository, item.kind, item.backup, item.bytes === null ? '?' : formatBytes(item.bytes), item.detail ?? item.why]);
  const head = report.status === 'preview' ? `preview of ${report.target}: nothing was touched` : report.status === 'done' ? `the repositories of ${report.target} are whole` : `the repositories of ${report.target} are not whole yet`;
  const wal = describeWalReadBack(report.wal ?? []).map((line) => `\n${line}`).join('');
  if (rows.length === 0) return `${head}; there was nothing to do${wal === '' ? '' : ` for backups${wal}`}`;
  return `${head}\n${formatTable([{ title: '' }, { title: 'what' }, { title: 'repository' }, { title: 'kind' }, { title: 'backup' }, { title: 'stored', right: true }, { title: '' }], rows)}${wal}`;
}
