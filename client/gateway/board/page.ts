import { formatDuration } from '../../../config/units.ts';
import { escapeHtml } from '../../../providers/evidence/words.ts';
import { backupRate } from '../../status/health.ts';
import { lagText } from '../../status/replication.ts';
import type { TargetStatus } from '../../status/judge.ts';
import type { BoardFacts, RunningWork } from './facts.ts';
import { style } from './style.ts';

/** Names and messages come from anywhere. */
const text = (value: string): string => escapeHtml(value);
const time = (iso: string): string => `<time datetime="${text(iso)}">${text(iso.slice(0, 16).replace('T', ' '))}</time>`;
const badge = (kind: 'good' | 'bad' | 'doubtful' | '', word: string): string => `<span class="badge ${kind}">${text(word)}</span>`;
const table = (head: readonly string[], rows: readonly string[]): string => `<div class="scroll"><table><thead><tr>${head.map((each) => `<th scope="col">${each}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
const section = (title: string, body: string): string => `<section><h2>${title}</h2>${body}</section>`;

/** Good is only what is known to be good. */
function verdict(target: TargetStatus): { kind: 'good' | 'bad' | 'doubtful'; word: string } {
  if (target.problems.some(({ severity }) => severity === 'objective')) return { kind: 'bad', word: 'objective missed' };
  return target.problems.length > 0 ? { kind: 'doubtful', word: 'warning' } : { kind: 'good', word: 'ready' };
}

function targetRow(target: TargetStatus, facts: BoardFacts): string {
  const { kind, word } = verdict(target);
  const drill = facts.drills.find((one) => one.target === target.name);
  const newest = target.newest === null ? badge('bad', 'none') : `${time(target.newest.startedAt)}<br><span class="soft">${text(target.newest.kind)} <code>${text(target.newest.id)}</code> in ${text(target.newest.repositories.join(', '))}</span>`;
  const lost = target.rpoMs === null ? badge('bad', 'unknown') : `<strong>${text(formatDuration(target.rpoMs))}</strong><br><span class="soft">objective ${text(formatDuration(target.objectives.rpoMs))}</span>`;
  const drilled = drill === undefined ? '<span class="soft">never</span>' : `${badge(drill.status === 'passed' ? 'good' : 'bad', drill.status)} ${time(drill.at)}`;
  const rate = backupRate(target.health);
  const rated = rate === null ? '<span class="soft">no runs</span>' : text(rate.text);
  const problems = target.problems.map(({ message, severity }) => `<li class="${severity === 'objective' ? 'bad' : 'doubtful'}">${text(message)}</li>`).join('');
  const behind = target.replication == null ? '' : `<br><span class="soft">primary ${text(target.replication.primary ?? 'none')}; standbys: ${text(lagText(target.replication) || 'none')}</span>`;
  return `<tr><th scope="row">${text(target.name)}${behind}</th><td>${badge(kind, word)}</td><td class="n">${lost}</td><td>${newest}</td><td class="n">${rated}</td><td>${drilled}</td><td><ul>${problems}</ul></td></tr>`;
}

const marks: Readonly<Record<string, string>> = { pending: '○', 'in progress': '◐', completed: '●', failed: '✕', skipped: '–', compensated: '↩', unknown: '?' };
const stepList = (steps: readonly { readonly name: string; readonly state: string; readonly detail?: string | undefined }[]): string =>
  `<ol class="steps">${steps.map(({ name, state, detail }) => `<li class="${text(state.replaceAll(' ', '-'))}"><span aria-hidden="true">${marks[state] ?? '○'}</span> ${text(name)} <span class="soft">${text(state)}${detail === undefined || detail === '' ? '' : `: ${text(detail.slice(0, 300))}`}</span></li>`).join('')}</ol>`;

function runBlock(run: RunningWork, facts: BoardFacts): string {
  const plan = facts.plans.find((one) => one.workflowId === run.workflowId);
  const steps = plan === undefined ? run.steps : plan.steps.map(({ id, uses, status }) => ({ name: `${id} (${uses})`, state: status }));
  const waits = plan?.held == null ? '' : `<p>${badge('doubtful', 'waiting for a person')} ${text(plan.held.message)}</p>`;
  const approvals = (plan?.approvals ?? []).map((each) => `<p>${badge('doubtful', 'approval wanted')} ${text(each.what)}: ${String(each.approvedBy.length)} of ${String(each.count)}</p>`).join('');
  return `<div class="run"><p><strong>${text(run.type)}</strong> <code>${text(run.workflowId)}</code> <span class="soft">since ${time(run.startedAt)}</span></p>${waits}${approvals}${stepList(steps)}</div>`;
}

function planRow({ plan, status, problems, steps }: NonNullable<BoardFacts['evaluations']>['plans'][number]): string {
  const wrong = [...problems, ...steps.filter(({ outcome }) => outcome === 'failed').map(({ step, detail }) => `${step}: ${detail}`)];
  return `<tr><th scope="row">${text(plan)}</th><td>${badge(status === 'ready' ? 'good' : 'bad', status)}</td><td><ul>${wrong.map((each) => `<li class="bad">${text(each.slice(0, 400))}</li>`).join('')}</ul></td></tr>`;
}

/** The part of the page that changes. */
export function boardBody(facts: BoardFacts): string {
  const verdicts = facts.status.targets.map((target) => verdict(target).kind);
  const count = (kind: string): number => verdicts.filter((each) => each === kind).length;
  const blind = [...facts.unknown, ...(facts.status.temporal.error === undefined ? [] : [`Temporal: ${facts.status.temporal.error}`]), ...facts.status.pings.flatMap(({ name, status, error }) => (status === 'failed' ? [`dead-man ping ${name}: ${error ?? 'failed'}`] : [])), ...facts.status.repositories.flatMap(({ name, error }) => (error === undefined ? [] : [`repository ${name}: ${error.message}`]))];
  const worst = count('bad') > 0 || facts.incidents.some(({ severity }) => severity === 'critical') ? 'bad' : count('doubtful') > 0 || facts.incidents.length > 0 || blind.length > 0 ? 'doubtful' : 'good';
  const headline = worst === 'good' ? 'Everything can be recovered as promised' : worst === 'bad' ? 'Not everything can be recovered as promised' : 'Recoverable, with warnings';
  const tile = (name: string, value: number, kind: string): string => `<div class="tile ${value > 0 ? kind : ''}"><p class="name">${name}</p><p class="value">${String(value)}</p></div>`;
  return `<header class="${worst}"><p class="kind">Resurgo · ${time(facts.at)} UTC</p><h1>${headline}</h1></header>
<div class="tiles">${tile('ready', count('good'), 'good')}${tile('warnings', count('doubtful'), 'doubtful')}${tile('objectives missed', count('bad'), 'bad')}${tile('open incidents', facts.incidents.length, 'bad')}${tile('runs at work', facts.runs.length, '')}</div>
${blind.length === 0 ? '' : section('Not known', `<ul>${blind.map((each) => `<li class="doubtful">${text(each)}</li>`).join('')}</ul>`)}
${facts.incidents.length === 0 ? '' : section('Incidents', table(['severity', 'status', 'service', 'what', 'since'], facts.incidents.map((one) => `<tr><td>${badge(one.severity === 'critical' || one.severity === 'high' ? 'bad' : 'doubtful', one.severity)}</td><td>${text(one.status)}</td><th scope="row">${text(one.service)}</th><td>${text(one.description)}<br><code>${text(one.workflowId)}</code></td><td>${time(one.timeline[0]?.at ?? facts.at)}</td></tr>`)))}
${section('Targets', facts.status.targets.length === 0 ? '<p>The configuration has no target.</p>' : table(['target', '', 'would be lost now', 'newest verified backup', '30 days', 'last drill', 'problems'], facts.status.targets.map((target) => targetRow(target, facts))))}
${facts.evaluations === null ? '' : section(`Plans <span class="soft">looked at ${time(facts.evaluations.at)}</span>`, table(['plan', '', 'what would not work'], facts.evaluations.plans.map(planRow)))}
${facts.runs.length === 0 ? '' : section('At work', facts.runs.map((run) => runBlock(run, facts)).join(''))}`;
}

/** Refreshes itself; without script it is a page that is reloaded by hand. `nonce` goes into the content security policy. */
export function boardPage(facts: BoardFacts, nonce: string): string {
  const script = `const main=document.querySelector('main');let failures=0;setInterval(async()=>{try{const answer=await fetch('/board',{cache:'no-store'});if(!answer.ok)throw 0;main.innerHTML=await answer.text();failures=0;document.body.classList.remove('stale')}catch{if(++failures>2)document.body.classList.add('stale')}},5000);`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Resurgo: readiness</title><style nonce="${nonce}">${style}</style></head><body><p class="staleness" role="alert">The gateway does not answer: what is below is old.</p><main>${boardBody(facts)}</main><script nonce="${nonce}">${script}</script></body></html>`;
}
