import { describeDisaster, type GameDayResult } from '../domain/gameday.ts';
import { formatDuration } from '../config/units.ts';
import { formatTable } from './text.ts';

const marks = { passed: '✓', failed: '✗', warning: '!', skipped: '-' } as const;
const phaseMarks = { completed: '✓', failed: '✗', skipped: '-', compensated: '↩', unknown: '?' } as const;
const ways = { sandbox: 'in the sandbox', real: 'REALLY', simulated: 'simulated', none: '' } as const;

export function describeGameDay(result: GameDayResult): string {
  const judged = (value: number | null, objective: number): string => (value === null ? 'not measured' : `${formatDuration(value)}, objective ${formatDuration(objective)}: ${value <= objective ? 'met' : 'MISSED'}`);
  return [
    `game day of plan ${result.plan} on ${result.target} ${result.status === 'passed' ? 'passed' : 'FAILED'}: ${describeDisaster(result.disaster)}`,
    ...(result.error === undefined ? [] : [`  error        ${result.error.message}`]),
    `  plan         ${result.planStatus ?? 'did not run'}${result.backup === null ? '' : `, sandbox of backup ${result.backup}`}`,
    `  recovery     ${judged(result.rtoMs, result.objectives.rtoMs)}`,
    `  data loss    ${judged(result.rpoMs, result.objectives.rpoMs)}${result.rpoBasis === 'none' ? '' : ` (by ${result.rpoBasis})`}`,
    ...result.phases.map((phase) => `  ${phaseMarks[phase.outcome]} ${phase.phase}  ${formatDuration(phase.durationMs)}${phase.detail === undefined ? '' : `  ${phase.detail}`}`),
    ...(result.steps.length === 0 ? [] : [formatTable(['step', 'action', 'status', 'done', 'took', ''].map((title) => ({ title })), result.steps.map((step) => [step.id, step.uses, step.status, ways[step.way], formatDuration(step.durationMs), step.detail]))]),
    ...(result.checks.length === 0 ? [] : ['checks', ...result.checks.map((check) => `  ${marks[check.outcome]} ${check.name}: ${check.detail}`)]),
    ...(result.recommendations.length === 0 ? [] : ['recommendations', ...result.recommendations.map((each) => `  • ${each}`)]),
    result.cleanedUp ? 'the sandbox is removed; production was only read' : 'NOT everything of the sandbox could be removed; see clean up',
    result.evidence === null ? 'the evidence could NOT be stored' : `evidence: resurgo evidence show ${result.id}`,
  ].join('\n');
}
