/** The record of a failover or switchover as it is kept for ever: what was seen, decided, done and proved, and how long each took. */
import type { EvidenceDocument, EvidencePhase, JsonValue } from './evidence.ts';
import type { FailoverResult, FailoverStep } from './failover.ts';

const decide = ['confirm', 'check', 'elect'];
const verify = ['prove writes', 'measure loss', 'all WAL received'];

const sum = (steps: readonly FailoverStep[], fits: (name: string) => boolean): number => steps.filter(({ name, outcome }) => outcome !== 'skipped' && fits(name)).reduce((total, { durationMs }) => total + durationMs, 0);

export function failoverEvidence(result: FailoverResult): EvidenceDocument {
  const { steps, observed } = result;
  const detectMs = observed === undefined ? null : Math.max(0, Date.parse(result.startedAt) - Date.parse(observed.since));
  const phaseOf = ({ name, outcome, durationMs, detail, startedAt }: FailoverStep): EvidencePhase => ({
    phase: name, startedAt: startedAt ?? result.startedAt, durationMs, outcome: outcome === 'compensation-failed' ? 'failed' : outcome, ...(detail === undefined ? {} : { detail: detail.slice(0, 500) }),
  });
  const acts = (name: string): boolean => !decide.includes(name) && !verify.includes(name) && name !== 'record';
  return {
    schemaVersion: 1,
    kind: 'failover',
    id: result.id,
    target: result.target,
    at: result.endedAt,
    title: `${result.kind} of ${result.target}: ${result.from ?? 'the old primary'} → ${result.to ?? 'nobody'}`.slice(0, 200),
    status: result.status,
    objectives: {},
    measured: {
      // Steps beside each other count twice: this is work, not the clock's time.
      ...(detectMs === null ? {} : { detectMs }), decideMs: sum(steps, (name) => decide.includes(name)), actMs: sum(steps, acts), verifyMs: sum(steps, (name) => verify.includes(name)),
      writableAfterMs: result.writableAfterMs === null ? null : result.writableAfterMs + (detectMs ?? 0), totalMs: result.durationMs + (detectMs ?? 0), lossBytes: result.loss.bytes,
    },
    timeline: [...(observed === undefined || detectMs === null ? [] : [{ phase: 'detect', startedAt: observed.since, durationMs: detectMs, outcome: 'completed', detail: `${String(observed.rounds)} questions without an answer` } as const]), ...steps.map(phaseOf)],
    checks: [
      ...result.fences.map((fence) => ({ name: `${fence.member} is fenced`, outcome: fence.override === null ? ('passed' as const) : ('warning' as const), detail: fence.override === null ? `${fence.method}: ${fence.proof}` : `NOT PROVED, answered for in writing: ${fence.override}` })),
      ...steps.filter(({ name }) => name === 'prove writes').map(({ outcome, detail, durationMs }) => ({ name: 'the new primary takes writes', outcome: outcome === 'completed' ? ('passed' as const) : ('failed' as const), detail: detail ?? '', durationMs })),
      ...result.records.map((record) => ({ name: 'DNS', outcome: 'passed' as const, detail: record })),
      ...(result.to === null ? [] : [{ name: 'data loss', outcome: result.loss.bytes === 0 ? ('passed' as const) : ('warning' as const), detail: result.loss.detail }]),
    ],
    recommendations: [...result.warnings, ...(result.error?.hint === undefined ? [] : [result.error.hint]), ...(result.kind === 'failover' && result.from !== null && result.to !== null ? [`Bring ${result.from} back: resurgo rejoin ${result.target} ${result.from} --by rewind|clone|keep`] : [])],
    facts: JSON.parse(JSON.stringify({
      kind: result.kind, from: result.from, to: result.to, timelineBefore: result.timeline.before, timelineAfter: result.timeline.after, switchLsn: result.switchLsn, oldPrimaryLsn: result.loss.oldPrimaryLsn,
      startedBy: result.startedBy, automatic: result.automatic, incident: result.incident, error: result.error, members: result.view?.members.map(({ name, role, silence, problem, timeline, lsn }) => ({ name, role: role ?? silence, timeline, lsn, problem })),
    })) as Readonly<Record<string, JsonValue>>,
  };
}
