/** Results as a person reads them. */
import type { BackupResult, RestoreResult, VerifyReport } from '../domain/operations.ts';
import { formatBytes, formatDuration } from '../config/units.ts';
import { describeWindow } from '../domain/recovery.ts';
import { describeWalReadBack } from './describe-wal.ts';

export function describeBackup(result: BackupResult): string {
  if (result.status === 'skipped') return `skipped: another operation on ${result.target} was running`;
  const rate = result.durationMs > 0 ? `${formatBytes((result.bytes.source * 1000) / result.durationMs)}/s` : '';
  const where = result.repositories.map((repository) => `${repository.name} ${repository.status === 'verified' ? `verified (${repository.depth ?? '?'})` : `FAILED: ${repository.error?.message ?? '?'}`}`);
  return [
    `backup ${result.id} of ${result.target} is verified${result.complete ? '' : ', but degraded: not every repository holds it'}`,
    `  kind        ${result.kind}${result.parent === null ? '' : ` on ${result.parent}`}, ${result.engine}`,
    `  size        ${formatBytes(result.bytes.source)} → ${formatBytes(result.bytes.stored)} stored${result.counts.rows === undefined ? '' : `, ${result.counts.rows.toLocaleString('en')} rows in ${String(result.counts.tables ?? 0)} tables`}`,
    `  took        ${formatDuration(result.durationMs)}  ${rate}`,
    ...where.map((line, index) => `  ${index === 0 ? 'repositories' : '            '} ${line}`),
  ].join('\n');
}

const stepMarks = { completed: '✓', failed: '✗', skipped: '-', compensated: '↩', 'compensation-failed': '!' } as const;

export function describeRestore(result: RestoreResult): string {
  const head =
    result.status === 'preview' ? `preview: restore of ${result.target} from backup ${result.backup}; nothing was touched`
    : result.status === 'restored' || result.status === 'restored-with-warnings' ? `${result.target} is restored from backup ${result.backup}${result.status === 'restored' ? '' : ', with warnings'}`
    : result.status === 'compensated' ? `restore of ${result.target} failed; everything it had done was undone`
    : `restore of ${result.target} failed`;
  const plan = result.plan;
  const lines = [head, `  destination  ${result.destination} (${result.mode})`];
  if (plan !== undefined) {
    lines.push(`  chain        ${plan.chain.map((link) => link.id).join(' → ')}`, `  from         ${plan.repositories.join(', ')}`, `  recovers to  ${plan.recoversTo.time}${plan.recoversTo.lsn === undefined ? '' : ` (LSN ${plan.recoversTo.lsn})`}`);
    if (plan.recovery !== undefined) {
      const { recovery } = plan;
      lines.push(`  point        ${recovery.target.kind} ${recovery.target.value}, timeline ${String(recovery.timeline)}`, `  replays      ${String(recovery.segments)} WAL segments (${formatBytes(recovery.storedBytes)} stored), ${recovery.steps.map((step) => `${step.from} … ${step.to} of timeline ${String(step.timeline)}`).join(', then ')}`, `  window       ${describeWindow(recovery.window)}`);
    }
    if (result.status === 'preview') {
      lines.push(`  needs        ${formatBytes(plan.requiredBytes)}${plan.freeBytes === null ? '' : `, ${formatBytes(plan.freeBytes)} are free`}`, `  services     ${plan.stopsServices ? 'are stopped for the swap' : 'are not stopped'}`);
      return lines.join('\n');
    }
  }
  lines.push(`  took         ${formatDuration(result.durationMs)}`);
  if (result.restoredRecords !== null) lines.push(`  records      ${result.restoredRecords.toLocaleString('en')}`);
  if (result.verification !== null) lines.push(`  checks       ${result.verification.checks.join(', ')}`);
  for (const step of result.steps) lines.push(`  ${stepMarks[step.outcome]} ${step.name}  ${formatDuration(step.durationMs)}${step.detail === undefined ? '' : `  ${step.detail}`}`);
  if (result.kept !== undefined) lines.push(`The old data is kept as ${result.kept}.`, `  drop it:        resurgo restore confirm ${result.id}`, `  bring it back:  resurgo restore rollback ${result.id}`);
  return lines.join('\n');
}

export function describeVerify(report: VerifyReport): string {
  if (report.copies.length === 0 && report.wal === undefined) return `${report.target} has no backups to verify`;
  const lines = report.copies.map((copy) => {
    const what = copy.status === 'verified' ? `✓ ${copy.depth ?? ''}  ${formatBytes(copy.bytes ?? 0)}` : `✗ ${copy.status === 'unopened' ? 'not opened' : copy.status}: ${copy.error?.message ?? ''}`;
    return `  ${copy.backup}  ${copy.kind.padEnd(12)}  ${copy.repository}  ${what}`;
  });
  return [`${report.target}: ${report.status}`, ...lines, ...describeWalReadBack(report.wal ?? []).map((line) => `  ${line}`)].join('\n');
}
