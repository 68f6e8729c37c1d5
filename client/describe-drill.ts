import type { DrillResult } from '../domain/drill.ts';
import { formatDuration } from '../config/units.ts';
import { dataLossLine, evidenceLine, findings, judged, phaseLines } from './describe-exercise.ts';
import { formatTable } from './text.ts';
import type { DrillHistory } from './drill-history.ts';

export function describeDrill(result: DrillResult): string {
  const { rto } = result;
  const items = Object.entries(result.checklist).map(([name, state]) => `${state === 'passed' ? '✓' : state === 'failed' ? '✗' : '·'} ${name.replaceAll(/([A-Z])/g, ' $1').toLowerCase()}${state === 'not covered' ? ' (not covered)' : ''}`);
  return [
    `restore drill of ${result.target} ${result.status === 'passed' ? 'passed' : 'FAILED'}${result.backup === null ? '' : `, backup ${result.backup}${result.proven ? ' is proven' : ''}`}`,
    ...(result.error === undefined ? [] : [`  error        ${result.error.message}`]),
    `  recovery     ${judged(result.rtoMs, result.objectives.rtoMs)}`,
    ...(rto === null ? [] : [`               ${Object.entries(rto).map(([part, ms]) => `${part} ${formatDuration(ms)}`).join(', ')}`]),
    `${dataLossLine(result)}${result.dataLossRatio === null ? '' : `, ${String(Math.round(result.dataLossRatio * 1e6) / 1e4)} % of the records`}`,
    `  covered      ${items.join('  ')}`,
    ...phaseLines(result),
    ...findings(result),
    result.cleanedUp ? 'everything the drill built is removed' : 'NOT everything the drill built could be removed; see clean up',
    evidenceLine(result),
  ].join('\n');
}

const bars = '▁▂▃▄▅▆▇█';

/** Oldest left; a gap where nothing was measured. */
export function sparkline(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  const max = Math.max(...known, 0);
  return values.map((value) => (value === null ? '·' : (bars[max === 0 ? 0 : Math.min(bars.length - 1, Math.floor((value / max) * (bars.length - 0.001)))] ?? ' '))).join('');
}

export function describeHistory(history: DrillHistory): string {
  if (history.drills.length === 0) return `there is no drill of ${history.target} yet; \`resurgo drill ${history.target}\` runs one`;
  const oldest = [...history.drills].reverse();
  const trend = (name: string, values: readonly (number | null)[], shown: (value: number) => string): string[] => {
    const known = values.filter((value) => value !== null);
    const last = known.at(-1);
    return last === undefined ? [] : [`  ${name}  ${sparkline(values)}  last ${shown(last)}, best ${shown(Math.min(...known))}, worst ${shown(Math.max(...known))}`];
  };
  const names = [...new Set(history.drills.flatMap((drill) => drill.performance.map(({ name }) => name)))];
  const time = (value: number | null): string => (value === null ? '–' : formatDuration(value));
  return [
    `${String(history.drills.length)} drill(s) of ${history.target}: ${String(history.passed)} passed, ${String(history.failed)} failed`,
    ...trend('RTO', oldest.map((drill) => drill.rtoMs), formatDuration),
    ...trend('RPO', oldest.map((drill) => drill.rpoMs), formatDuration),
    ...names.flatMap((name) => trend(`p95 of ${name}`, oldest.map((drill) => drill.performance.find((one) => one.name === name)?.p95Ms ?? null), (value) => `${value.toFixed(1)} ms`)),
    formatTable(
      [{ title: 'at' }, { title: 'status' }, { title: 'RTO', right: true }, { title: 'RPO', right: true }, { title: 'checks' }, { title: 'backup' }, { title: 'evidence' }],
      history.drills.map((drill) => [
        drill.at.slice(0, 19).replace('T', ' '), drill.status, time(drill.rtoMs), time(drill.rpoMs),
        `${String(drill.checks.passed)} passed${drill.checks.failed === 0 ? '' : `, ${String(drill.checks.failed)} FAILED`}${drill.checks.warnings === 0 ? '' : `, ${String(drill.checks.warnings)} warnings`}`, drill.backup ?? '–', drill.id,
      ]),
    ),
  ].join('\n');
}
