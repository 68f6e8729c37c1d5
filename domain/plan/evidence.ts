/** The record of a plan run that is kept for ever. */
import type { EvidenceDocument, EvidencePhase } from '../evidence.ts';
import type { PlanResult } from './result.ts';

const outcomes: Readonly<Record<string, EvidencePhase['outcome']>> = { completed: 'completed', failed: 'failed', skipped: 'skipped', compensated: 'compensated', unknown: 'unknown' };

export interface EvidenceFacts {
  /** First sign of what it recovers from, ISO; left out when nobody noticed it. */
  readonly since?: string;
  /** When that was taken for certain, ISO; the run's start when nobody said. */
  readonly detectedAt?: string;
  readonly drivenBy: 'temporal' | 'rescue';
}

/** Detect, decide, act and verify times: from the first sign to the alarm, from there to the first change, to the end of the last one, and to the end of the run. */
export function evidenceOf(result: PlanResult, facts: EvidenceFacts): EvidenceDocument {
  const startedAt = Date.parse(result.startedAt);
  const endedAt = Date.parse(result.endedAt);
  // What only looks changes nothing: it belongs to deciding, or to verifying.
  const acted = result.steps.filter((step) => step.attempts > 0 && step.startedAt !== undefined && step.effect !== 'none');
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
      detectMs: facts.since === undefined ? null : Math.max(0, detectedAt - Date.parse(facts.since)),
      decideMs: acted.length === 0 ? null : Math.max(0, firstAt - detectedAt),
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
