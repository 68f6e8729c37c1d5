import type { EvidencePhase } from '../../domain/evidence.ts';
import { formatDuration } from '../../domain/format.ts';
import { escapeHtml, tone } from './words.ts';

const width = 960;
const labelWidth = 250;
const barArea = width - labelWidth - 90;
const row = 30;
const top = 34;

/** Steps of an axis that people find round, ms. */
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000, 86_400_000];

/** The phases as bars over time, an inline SVG; colours come from the page's style sheet. Empty without phases. */
export function timelinePicture(phases: readonly EvidencePhase[]): string {
  if (phases.length === 0) return '';
  const starts = phases.map((phase) => Date.parse(phase.startedAt));
  const begin = Math.min(...starts);
  const end = Math.max(begin + 1, ...phases.map((phase, i) => (starts[i] ?? begin) + phase.durationMs));
  const x = (time: number): number => round(labelWidth + ((time - begin) / (end - begin)) * barArea);
  const height = top + phases.length * row + 8;
  const axis = ticks(end - begin).map((at) => {
    const px = x(begin + at);
    return `<line class="grid" x1="${px}" y1="${top - 8}" x2="${px}" y2="${height - 8}"/><text class="tick" x="${px}" y="${top - 14}" text-anchor="middle">${at === 0 ? '0' : escapeHtml(formatDuration(at))}</text>`;
  });
  const bars = phases.map((phase, i) => {
    const y = top + i * row;
    const from = x(starts[i] ?? begin);
    const to = Math.max(from + 3, x((starts[i] ?? begin) + phase.durationMs));
    const said = `${phase.phase}: ${formatDuration(phase.durationMs)}, ${phase.outcome}${phase.detail === undefined ? '' : `, ${phase.detail}`}`;
    const after = to + 8;
    return [
      `<g><title>${escapeHtml(said)}</title>`,
      `<text class="name" x="${labelWidth - 14}" y="${y + 17}" text-anchor="end">${escapeHtml(cut(phase.phase, 34))}</text>`,
      `<rect class="track" x="${labelWidth}" y="${y + 4}" width="${barArea}" height="18" rx="4"/>`,
      `<rect class="bar ${phase.outcome === 'skipped' ? 'none' : tone(phase.outcome)}" x="${from}" y="${y + 4}" width="${round(to - from)}" height="18" rx="${Math.min(4, round((to - from) / 2))}"/>`,
      `<text class="took" x="${after}" y="${y + 17}">${escapeHtml(formatDuration(phase.durationMs))}</text></g>`,
    ].join('');
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Timeline of ${phases.length} phases over ${escapeHtml(formatDuration(end - begin))}">${axis.join('')}${bars.join('')}</svg>`;
}

function ticks(span: number): number[] {
  const step = steps.find((each) => span / each <= 6) ?? Math.ceil(span / 6 / 86_400_000) * 86_400_000;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => i * step);
}

const round = (value: number): number => Math.round(value * 10) / 10;
const cut = (text: string, length: number): string => ([...text].length <= length ? text : `${[...text].slice(0, length - 1).join('')}…`);
