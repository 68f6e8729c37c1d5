/** Plans, previews and results in words. */
import type { PlanResult } from '../../domain/plan/result.ts';
import type { PlanView } from '../../domain/plan/view.ts';
import type { PlanPreview, PreviewStep } from '../../activities/plan/preview.ts';
import { formatDuration } from '../../config/units.ts';
import { formatTable } from '../text.ts';

export function describePreview(preview: PlanPreview): string {
  const lines = [`plan ${preview.plan}${preview.target === null ? '' : ` on ${preview.target}`}, ${preview.mode}, priority ${preview.priority}`];
  if (preview.description !== undefined) lines.push(preview.description);
  lines.push(`preview hash ${preview.hash}`, '');
  for (const [index, step] of preview.steps.entries()) lines.push(...describeStep(index + 1, step));
  lines.push('');
  lines.push(preview.onFailure === 'pause' ? 'When a critical step fails the plan waits for a person.' : 'When a critical step fails, what was done is undone in reverse.');
  for (const id of preview.pointsOfNoReturn) lines.push(`POINT OF NO RETURN: after ${id} the plan only rolls forward; nothing done before it is undone any more.`);
  const never = preview.steps.filter((step) => !step.undone);
  if (never.length > 0) lines.push(`Not undone by a rollback: ${never.map(({ id }) => id).join(', ')}.`);
  if (preview.problems > 0) lines.push(`${String(preview.problems)} step${preview.problems === 1 ? '' : 's'} could not work now; see above.`);
  lines.push('Nothing was changed.');
  return lines.join('\n');
}

function describeStep(number: number, step: PreviewStep): string[] {
  const words = [`${String(number)}. ${step.id}: ${step.uses}${step.subject === '' ? '' : ` ${step.subject}`}${step.host === undefined ? '' : ` (on ${step.host})`}`];
  const more = (text: string): void => void words.push(`     ${text}`);
  if (step.approval !== undefined) more(`waits for ${String(step.approval.count)} of ${step.approval.from.join(', ')}, at most ${formatDuration(step.approval.withinMs)}`);
  if (step.needs.length !== 1 || number === 1) more(step.needs.length === 0 ? 'starts at once' : `after ${step.needs.join(', ')}`);
  else more(`after ${step.needs[0] ?? ''}`);
  if (step.if !== undefined) more(`only if ${step.if}`);
  more(`${step.effect === 'none' ? 'changes nothing' : step.effect === 'converge' ? 'may be repeated' : 'at most once'}${step.critical ? '' : '; not critical'}${step.fallback === undefined ? '' : `; fallback ${step.fallback}`}`);
  if (step.verify.length > 0) more(`verified by ${step.verify.join(' and ')}`);
  if (step.effect !== 'none') more(`rollback: ${step.undo}`);
  if (step.pointOfNoReturn) more('POINT OF NO RETURN');
  if (step.check !== undefined) more(`${step.check.outcome === 'ok' ? 'could work now' : step.check.outcome === 'later' ? 'not asked' : 'COULD NOT WORK NOW'}${step.check.detail === '' ? '' : `: ${step.check.detail}`}`);
  return words;
}

export function describeResult(result: PlanResult): string {
  if (result.status === 'skipped') return result.warnings.join('\n');
  const rows = result.steps.map((step) => [step.id, step.uses, step.status, step.startedAt === undefined ? '' : formatDuration(step.durationMs), step.attempts > 1 ? `${String(step.attempts)} tries` : '', step.error?.message ?? step.reason ?? step.summary ?? '']);
  const lines = [`plan ${result.plan}${result.target === null ? '' : ` on ${result.target}`}: ${result.status}${result.warnings.length > 0 && result.status === 'completed' ? ' with warnings' : ''} in ${formatDuration(result.durationMs)} (run ${result.id})`, formatTable(['step', 'action', 'status', 'took', '', ''].map((title) => ({ title })), rows)];
  for (const { step, outcome, detail } of result.compensation) lines.push(`${outcome === 'undone' ? 'undone' : outcome === 'failed' ? 'NOT UNDONE' : 'left'}: ${step}${detail === '' ? '' : `: ${detail}`}`);
  for (const warning of result.warnings) lines.push(`warning: ${warning}`);
  for (const { name, budgetMs, durationMs, kept } of result.budgets) if (kept) lines.push(`${name}: ${formatDuration(durationMs)} of ${formatDuration(budgetMs)}`);
  return lines.join('\n');
}

/** What a person has to do now, if anything. */
export function describeWanted(view: PlanView): string[] {
  const lines: string[] = [];
  for (const { step, what, from, count, approvedBy, question, hash } of view.approvals) {
    lines.push(`${step} (${what}) waits for approval: ${String(approvedBy.length)} of ${String(count)}, by ${from.join(', ')}${question === undefined ? '' : `. ${question}`}`);
    lines.push(`  preview ${hash.slice(0, 12)}; resurgo plan approve ${view.id} --as NAME${view.approvals.length > 1 ? ` --step ${step}` : ''}`);
  }
  if (view.held !== null) {
    lines.push(`${view.held.step} ${view.held.why === 'unknown' ? 'has an unknown outcome' : 'failed'}: ${view.held.message}`);
    lines.push(`  a person decides until ${view.held.until}: resurgo plan ${view.held.choices.map((choice) => choice.split(' ')[0]).filter((word, index, all) => all.indexOf(word) === index).join('|')} ${view.id}`);
  }
  if (view.paused !== null) lines.push(`paused by ${view.paused}; resurgo plan resume ${view.id}`);
  return lines;
}
