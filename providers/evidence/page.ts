/** A document of evidence as a page that a manager can read: one file, no script, nothing fetched, light and dark. */
import type { EvidenceDocument, JsonValue } from '../../domain/evidence.ts';
import { formatDuration } from '../../domain/format.ts';
import { style } from './page-style.ts';
import { timelinePicture } from './timeline-picture.ts';
import { escapeHtml, label, moment, tone, valueOf } from './words.ts';

export interface PageSeal {
  readonly digest: string;
  readonly publicKey: string;
}

const headings: Readonly<Record<EvidenceDocument['kind'], string>> = { drill: 'Restore drill', gameday: 'Game day', plan: 'Recovery plan', failover: 'Failover', incident: 'Incident' };

/** The same document always gives the same page. Every text in it is escaped. */
export function renderPage(document: EvidenceDocument, seal: PageSeal): string {
  const sections = [summary(document), objectives(document), timeline(document), checks(document), recommendations(document), facts(document)];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="color-scheme" content="light dark">
<title>${escapeHtml(document.title)}</title><style>${style}</style></head>
<body><main>
${sections.filter((section) => section !== '').join('\n')}
<footer><p>Evidence <code>${escapeHtml(document.id)}</code> of ${escapeHtml(headings[document.kind])}, <code>${escapeHtml(document.target)}</code>. The signed document beside this page is what counts; <code>resurgo evidence verify</code> checks it.</p>
<p>SHA-256 <code>${escapeHtml(seal.digest)}</code><br>signed with <code>${escapeHtml(seal.publicKey)}</code></p></footer>
</main></body></html>
`;
}

function summary(document: EvidenceDocument): string {
  const passed = document.checks.filter((check) => check.outcome === 'passed').length;
  const begin = document.timeline.map((phase) => Date.parse(phase.startedAt)).sort((a, b) => a - b)[0];
  const tiles = [
    ...Object.keys({ ...document.objectives, ...document.measured }).slice(0, 2).map((name) => {
      const value = document.measured[name];
      const wanted = document.objectives[name];
      return tile(label(name), valueOf(name, value), wanted === undefined ? '' : `objective ${valueOf(name, wanted)}`, wanted === undefined ? '' : verdict(value, wanted).tone);
    }),
    ...(document.checks.length === 0 ? [] : [tile('Checks', `${passed} of ${document.checks.length}`, 'passed', document.checks.some((check) => check.outcome === 'failed') ? 'bad' : 'good')]),
    ...(begin === undefined ? [] : [tile('Took', formatDuration(Date.parse(document.at) - begin), 'from start to end', '')]),
  ];
  return `<header class="${tone(document.status)}"><p class="kind">${escapeHtml(headings[document.kind])} · ${escapeHtml(document.target)} · ${escapeHtml(moment(document.at))}</p>
<h1>${escapeHtml(document.title)}</h1><p class="status"><span class="badge ${tone(document.status)}">${escapeHtml(document.status)}</span></p></header>
<div class="tiles">${tiles.join('')}</div>`;
}

const tile = (name: string, value: string, note: string, colour: string): string =>
  `<div class="tile ${colour}"><p class="name">${escapeHtml(name)}</p><p class="value">${escapeHtml(value)}</p><p class="note">${escapeHtml(note)}</p></div>`;

function verdict(value: number | null | undefined, wanted: number): { readonly text: string; readonly tone: 'good' | 'bad' | 'doubtful' } {
  if (value === null || value === undefined) return { text: 'not measured', tone: 'doubtful' };
  return value <= wanted ? { text: 'met', tone: 'good' } : { text: 'missed', tone: 'bad' };
}

function objectives({ objectives: wanted, measured }: EvidenceDocument): string {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(measured)])];
  if (names.length === 0) return '';
  const rows = names.map((name) => {
    const objective = wanted[name];
    const value = measured[name];
    const judged = objective === undefined ? undefined : verdict(value, objective);
    return `<tr><th scope="row">${escapeHtml(label(name))}</th><td class="n">${objective === undefined ? '–' : escapeHtml(valueOf(name, objective))}</td><td class="n">${escapeHtml(valueOf(name, value))}</td><td>${judged === undefined ? '' : badge(judged.text, judged.tone)}</td><td class="meter">${objective === undefined || value == null ? '' : meter(value, objective)}</td></tr>`;
  });
  return `<section><h2>Objectives against measured</h2><div class="scroll"><table><thead><tr><th>What</th><th class="n">Objective</th><th class="n">Measured</th><th></th><th>Share of the objective</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`;
}

const badge = (text: string, colour: string): string => `<span class="badge ${colour}">${escapeHtml(text)}</span>`;

function meter(value: number, objective: number): string {
  const share = objective === 0 ? (value === 0 ? 0 : 1) : value / objective;
  const shown = Math.round(Math.min(1, Math.max(0, share)) * 200);
  return `<svg class="gauge" viewBox="0 0 200 10" aria-hidden="true"><rect class="track" width="200" height="10" rx="5"/><rect class="bar ${value <= objective ? 'good' : 'bad'}" width="${Math.max(4, shown)}" height="10" rx="5"/></svg> <span class="share">${objective === 0 ? '' : `${share >= 10 ? Math.round(share * 100).toLocaleString('en') : Math.round(share * 1000) / 10} %`}</span>`;
}

function timeline({ timeline: phases }: EvidenceDocument): string {
  if (phases.length === 0) return '';
  const rows = phases.map((phase) => `<tr><th scope="row">${escapeHtml(phase.phase)}</th><td>${escapeHtml(moment(phase.startedAt))}</td><td class="n">${escapeHtml(formatDuration(phase.durationMs))}</td><td>${badge(phase.outcome, tone(phase.outcome))}</td><td>${escapeHtml(phase.detail ?? '')}</td></tr>`);
  return `<section><h2>Timeline</h2><div class="scroll">${timelinePicture(phases)}</div><details><summary>The same as a table</summary><div class="scroll"><table><thead><tr><th>Phase</th><th>Started</th><th class="n">Took</th><th></th><th>Detail</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></details></section>`;
}

function checks({ checks: all }: EvidenceDocument): string {
  if (all.length === 0) return '';
  const rows = all.map((check) => `<tr><td>${badge(check.outcome, tone(check.outcome))}</td><th scope="row">${escapeHtml(check.name)}</th><td>${escapeHtml(check.detail)}</td><td class="n">${check.durationMs === undefined ? '' : escapeHtml(formatDuration(check.durationMs))}</td></tr>`);
  return `<section><h2>Checks</h2><div class="scroll"><table><thead><tr><th></th><th>Check</th><th>Result</th><th class="n">Took</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`;
}

function recommendations({ recommendations: all }: EvidenceDocument): string {
  return all.length === 0 ? '' : `<section><h2>Recommendations</h2><ul class="advice">${all.map((each) => `<li>${escapeHtml(each)}</li>`).join('')}</ul></section>`;
}

function facts({ facts: all }: EvidenceDocument): string {
  const entries = Object.entries(all).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined);
  if (entries.length === 0) return '';
  return `<section><h2>Facts</h2><dl>${entries.map(([name, value]) => `<dt>${escapeHtml(label(name))}</dt><dd>${shown(name, value)}</dd>`).join('')}</dl></section>`;
}

type JsonRecord = Readonly<Record<string, JsonValue | undefined>>;
const isRecord = (value: JsonValue | undefined): value is JsonRecord => typeof value === 'object' && value !== null && !Array.isArray(value);
const isPlain = (value: JsonValue | undefined): boolean => value === undefined || value === null || typeof value !== 'object';
const isFlat = (value: JsonValue | undefined): value is JsonRecord => isRecord(value) && Object.values(value).every(isPlain);

/** Plain values as they are, a flat record as a list of pairs, a list of flat records as a table, everything else as JSON. */
function shown(name: string, value: JsonValue): string {
  if (typeof value === 'number') return escapeHtml(valueOf(name === 'bytes' ? 'sizeBytes' : name, value));
  if (value === null) return '–';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return escapeHtml(value);
  if (Array.isArray(value) && value.every((item) => isPlain(item as JsonValue))) return value.map((item) => shown('', item as JsonValue)).join(', ');
  if (isFlat(value)) return pairs(value);
  if (Array.isArray(value) && value.every((item) => isFlat(item as JsonValue))) {
    const rows = value as readonly JsonRecord[];
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return `<div class="scroll"><table><thead><tr>${names.map((each) => `<th>${escapeHtml(label(each))}</th>`).join('')}</tr></thead><tbody>${rows.map((row) => `<tr>${names.map((each) => `<td>${row[each] === undefined ? '' : shown(each, row[each])}</td>`).join('')}</tr>`).join('')}</tbody></table></div>`;
  }
  return `<pre>${escapeHtml(JSON.stringify(value, null, 1))}</pre>`;
}

const pairs = (record: JsonRecord): string =>
  Object.entries(record)
    .flatMap(([name, value]) => (value === undefined ? [] : [`<span class="pair">${escapeHtml(label(name))}: <b>${shown(name, value)}</b></span>`]))
    .join(' ');
