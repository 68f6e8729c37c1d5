import type { IncidentView } from '../../domain/incident.ts';
import { formatDuration } from '../../config/units.ts';
import type { Column } from '../text.ts';

export const incidentColumns: readonly Column[] = [{ title: 'id' }, { title: 'severity' }, { title: 'status' }, { title: 'service' }, { title: 'since' }, { title: 'doing' }];

const doing = (view: IncidentView): string =>
  view.status === 'resolved' ? (view.resolution ?? '')
  : view.running !== null ? `plan ${view.running.plan}`
  : view.approval !== null ? `plan ${view.approval.plan} waits for approval (${String(view.approval.by.length)} of ${String(view.approval.needed)})`
  : view.stage === 'people' ? 'waits for people'
  : view.stage === 'confirm' ? 'waits for the alert to end'
  : view.stage;

export const incidentRow = (view: IncidentView): string[] => [view.id, view.severity, view.status, view.service, view.openedAt.slice(0, 19).replace('T', ' '), doing(view)];

export function describeIncident(view: IncidentView): string {
  const lines = [`${view.severity} ${view.type} incident of ${view.service}: ${view.status}`, `  id          ${view.id}`, `  what        ${view.description}`, `  since       ${view.openedAt}${view.resolvedAt === null ? '' : `, resolved after ${formatDuration(Date.parse(view.resolvedAt) - Date.parse(view.openedAt))}`}`, `  now         ${doing(view)}`];
  if (view.affectedComponents.length > 1) lines.push(`  affected    ${view.affectedComponents.join(', ')}`);
  for (const { metric, value, threshold } of view.conditions) lines.push(`  condition   ${metric}${value === null ? '' : ` = ${String(value)}`}${threshold === null ? '' : ` (threshold ${String(threshold)})`}`);
  if (view.acknowledged !== null) lines.push(`  taken by    ${view.acknowledged.by} at ${view.acknowledged.at}`);
  if (!view.automatic.armed) lines.push(`  automatic   stopped after ${String(view.automatic.failures)} failed recoveries; resurgo incident rearm ${view.id}`);
  for (const attempt of view.attempts) lines.push(`  tried       ${attempt.plan}: ${attempt.status}${attempt.detail === '' ? '' : ` (${attempt.detail})`}`);
  if (view.damage !== null) lines.push(`  damage      ${view.damage.scenario}: ${view.damage.why}`);
  for (const budget of view.budgets) lines.push(`  budget      ${budget.phase} ${formatDuration(budget.tookMs)} of ${formatDuration(budget.budgetMs)}${budget.within ? '' : ', over it'}`);
  if (view.approval !== null) lines.push(`  approve     resurgo incident approve ${view.id}${view.approval.hash === null ? '' : ` --hash ${view.approval.hash.slice(0, 12)}`}  (look first: resurgo plan preview ${view.approval.plan})`);
  lines.push('', ...view.timeline.map((entry) => `  ${entry.at.slice(11, 19)}  ${entry.event.padEnd(14)}  ${entry.text}`));
  return lines.join('\n');
}
