import { describeDisaster, type GameDayResult } from '../domain/gameday.ts';
import { formatDuration } from '../config/units.ts';
import { dataLossLine, evidenceLine, findings, judged, phaseLines } from './describe-exercise.ts';
import { formatTable } from './text.ts';

const ways = { sandbox: 'in the sandbox', real: 'REALLY', simulated: 'simulated', none: '' } as const;

export function describeGameDay(result: GameDayResult): string {
  return [
    `game day of plan ${result.plan} on ${result.target} ${result.status === 'passed' ? 'passed' : 'FAILED'}: ${describeDisaster(result.disaster)}`,
    ...(result.error === undefined ? [] : [`  error        ${result.error.message}`]),
    `  plan         ${result.planStatus ?? 'did not run'}${result.backup === null ? '' : `, sandbox of backup ${result.backup}`}`,
    `  recovery     ${judged(result.rtoMs, result.objectives.rtoMs)}`,
    dataLossLine(result),
    ...phaseLines(result),
    ...(result.steps.length === 0 ? [] : [formatTable(['step', 'action', 'status', 'done', 'took', ''].map((title) => ({ title })), result.steps.map((step) => [step.id, step.uses, step.status, ways[step.way], formatDuration(step.durationMs), step.detail]))]),
    ...findings(result),
    result.cleanedUp ? 'the sandbox is removed; production was only read' : 'NOT everything of the sandbox could be removed; see clean up',
    evidenceLine(result),
  ].join('\n');
}
