/** The record of a plan run that is kept for ever. */
import type { EvidenceDocument, EvidencePhase } from '../evidence.ts';
import type { PlanResult } from './result.ts';

const outcomes: Readonly<Record<string, EvidencePhase['outcome']>> = { completed: 'completed', failed: 'failed', skipped: 'skipped', compensated: 'compensated', unknown: 'unknown' };

export interface EvidenceFacts {
  /** When what it recovers from was detected, ISO; the run's start when nobody said. */
  readonly detectedAt?: string;
  readonly drivenBy: 'temporal' | 'rescue';
}

/** Detect, decide, act and verify times: from the alarm to the start, from there to the first change, to the last one, and to the end. */
export function evidenceOf(result: PlanResult, facts: EvidenceFacts): EvidenceDocument {
  const startedAt = Date.parse(result.startedAt);
  const endedAt = Date.parse(result.endedAt);
  const acted = result.steps.filter((step) => step.attempts > 0 && step.startedAt !== undefined);
  const firstAt = Math.min(endedAt, ...acted.map((step) => Date.parse(step.startedAt ?? '')));
  const lastAt = Math.max(firstAt, ...acted.map((step) => Date.parse(step.startedAt ?? '') + step.durationMs));
  const detectedAt = facts.detectedAt === undefined ? startedAt : Date.parse(facts.detectedAt);
  return {
    schemaVersion: 1,
    kind: 'plan',
    id: result.id,
    target: result.target ?? result.plan,
    at: result.endedAt,
    title: `Plan ${result.plan}${result.target === null ? '' : ` on ${result.target}`}`,
    status: result.status,
    objectives: Object.fromEntries(result.budgets.map(({ name, budgetMs }) => [`${name}Ms`, budgetMs])),
    measured: {
      durationMs: result.durationMs,
      detectMs: Math.max(0, startedAt - detectedAt),
      decideMs: acted.length === 0 ? null : firstAt - startedAt,
      actMs: acted.length === 0 ? null : lastAt - firstAt,
      verifyMs: acted.length === 0 ? null : endedAt - lastAt,
      ...Object.fromEntries(result.budgets.map(({ name, durationMs }) => [`${name}Ms`, durationMs])),
    },
    timeline: [
      ...result.steps.flatMap((step): EvidencePhase[] => {
        if (step.startedAt === undefined) return [];
        const detail = step.error?.message ?? step.reason ?? step.summary;
        return [{ phase: `${step.id} (${step.uses}${step.subject === undefined ? '' : ` ${step.subject}`})`, startedAt: step.startedAt, durationMs: step.durationMs, outcome: outcomes[step.status] ?? 'unknown', ...(detail === undefined ? {} : { detail }) }];
      }),
    ],
    checks: result.compensation.map(({ step, outcome, detail }) => ({ name: `undo ${step}`, outcome: outcome === 'undone' ? 'passed' : 'failed', detail })),
    recommendations: [...result.warnings, ...(result.error === undefined ? [] : [`${result.error.message}${result.error.hint === undefined ? '' : `: ${result.error.hint}`}`])],
    facts: {
      plan: result.plan,
      mode: result.mode,
      scenario: result.scenario,
      incident: result.incident,
      startedBy: result.startedBy,
      startedAt: result.startedAt,
      drivenBy: facts.drivenBy,
      hash: result.hash,
      passedPointOfNoReturn: result.passedPointOfNoReturn,
      decisions: result.decisions.map((decision) => ({ ...decision })),
      approvals: Object.fromEntries(result.steps.flatMap((step) => (step.approvedBy === undefined ? [] : [[step.id, step.approvedBy]]))),
    },
  };
}
