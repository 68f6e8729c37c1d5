/** The lines that a drill and a game day have alike. */
import type { ExerciseResult } from '../domain/drill.ts';
import { formatDuration } from '../config/units.ts';

const marks = { passed: '✓', failed: '✗', warning: '!', skipped: '-' } as const;
const phaseMarks = { completed: '✓', failed: '✗', skipped: '-', compensated: '↩', unknown: '?' } as const;

export const judged = (value: number | null, objective: number): string =>
  value === null ? 'not measured' : `${formatDuration(value)}, objective ${formatDuration(objective)}: ${value <= objective ? 'met' : 'MISSED'}`;

export const dataLossLine = ({ rpoMs, rpoBasis, objectives }: ExerciseResult): string => `  data loss    ${judged(rpoMs, objectives.rpoMs)}${rpoBasis === 'none' ? '' : ` (by ${rpoBasis})`}`;

export const phaseLines = ({ phases }: ExerciseResult): string[] =>
  phases.map((phase) => `  ${phaseMarks[phase.outcome]} ${phase.phase}  ${formatDuration(phase.durationMs)}${phase.detail === undefined ? '' : `  ${phase.detail}`}`);

export const findings = ({ checks, recommendations }: ExerciseResult): string[] => [
  ...(checks.length === 0 ? [] : ['checks', ...checks.map((check) => `  ${marks[check.outcome]} ${check.name}: ${check.detail}`)]),
  ...(recommendations.length === 0 ? [] : ['recommendations', ...recommendations.map((each) => `  • ${each}`)]),
];

export const evidenceLine = ({ evidence, id }: ExerciseResult): string => (evidence === null ? 'the evidence could NOT be stored' : `evidence: resurgo evidence show ${id}`);
