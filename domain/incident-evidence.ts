/** The record of an incident as it is kept for ever. */
import type { EvidenceDocument, EvidencePhase, JsonValue } from './evidence.ts';
import type { IncidentRecord } from './incident.ts';

/** Services are called as their senders call them; a chain of evidence has a plain name. */
const plain = (service: string): string => service.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 63) || 'incident';

export function evidenceOf(record: IncidentRecord): EvidenceDocument {
  const endedAt = record.resolvedAt ?? record.openedAt;
  const since = (at: string): number => Math.max(0, Date.parse(at) - Date.parse(record.openedAt));
  const first = (event: string): number | null => {
    const entry = record.timeline.find((each) => each.event === event);
    return entry === undefined ? null : since(entry.at);
  };
  const helped = record.attempts.some((attempt) => attempt.status === 'completed');
  return {
    schemaVersion: 1,
    kind: 'incident',
    id: record.id,
    target: record.target ?? plain(record.service),
    at: endedAt,
    title: `${record.type} incident of ${record.service}: ${record.name}`.slice(0, 200),
    status: 'resolved',
    objectives: Object.fromEntries(record.budgets.map((budget) => [`${budget.phase}Ms`, budget.budgetMs])),
    measured: { ...Object.fromEntries(record.budgets.map((budget) => [`${budget.phase}Ms`, budget.tookMs])), timeToResolveMs: since(endedAt), timeToStartMs: first('started'), timeToAcknowledgeMs: first('acknowledged') },
    timeline: record.timeline.slice(0, 200).map((entry, index): EvidencePhase => ({
      phase: entry.event, startedAt: entry.at, durationMs: Math.max(0, Date.parse(record.timeline[index + 1]?.at ?? endedAt) - Date.parse(entry.at)), outcome: entry.event === 'failed' ? 'failed' : 'completed', detail: entry.text,
    })),
    checks: record.attempts.map((attempt) => ({ name: `plan ${attempt.plan}`, outcome: attempt.status === 'completed' ? 'passed' : 'failed', detail: `${attempt.status}${attempt.detail === '' ? '' : `: ${attempt.detail}`}` })),
    recommendations: [
      ...(record.attempts.length > 0 && !helped ? ['No plan helped: look at what was tried, and at the rules that chose it.'] : []),
      ...(record.attempts.length === 0 ? ['Nothing was run: name a plan for alerts like this in webhooks or monitors.'] : []),
    ],
    facts: JSON.parse(JSON.stringify({
      severity: record.severity, type: record.type, service: record.service, source: record.source, resolution: record.resolution, description: record.description, conditions: record.conditions, affectedComponents: record.affectedComponents,
      acknowledged: record.acknowledged, attempts: record.attempts, damage: record.damage, repeats: record.repeats,
    })) as Readonly<Record<string, JsonValue>>,
  };
}
