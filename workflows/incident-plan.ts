/** What an incident starts a plan with, and how it understands its end. */
import type { DamageScenario } from '../domain/alert.ts';
import type { IncidentRecord } from '../domain/incident.ts';
import type { PlanResult, RecoverInput } from '../domain/plan/result.ts';
import { factsOf, planResultIn } from './failures.ts';

/** `busy`: another run of the same plan is at it, so whether it helps is seen by the alert. */
export interface PlanEnd {
  readonly ok: boolean;
  readonly busy?: boolean;
  readonly status: string;
  readonly detail: string;
  readonly budgets: readonly { readonly name: string; readonly budgetMs: number; readonly durationMs: number }[];
}

/** What a plan is started with: the same for its preview, so that the hash is of what will run. A target that is none of the configuration is only a name. */
export function planInput(record: IncidentRecord, plan: string, isTarget: boolean): RecoverInput {
  const scenario: DamageScenario | undefined = record.scenario ?? record.damage?.scenario;
  return {
    schemaVersion: 1, plan, startedBy: `incident ${record.id}`.slice(0, 200), onBusy: 'skip',
    incident: { id: record.id, service: record.service, target: record.target, type: record.type, severity: record.severity, name: record.name, detectedAt: record.openedAt, ...(record.since === undefined ? {} : { since: record.since }) },
    ...(record.target === null || !isTarget ? {} : { target: record.target }), ...(scenario === undefined ? {} : { scenario }),
  };
}

/** What a plan run says of itself; anything but completed is no recovery. */
export function endOf(result: unknown): PlanEnd {
  const { status, warnings, error, budgets } = (result ?? {}) as Partial<PlanResult>;
  const word = status ?? 'ended without a status';
  const detail = error?.message ?? warnings?.[0] ?? '';
  return { ok: word === 'completed' || word === 'skipped', ...(word === 'skipped' ? { busy: true } : {}), status: word, detail, budgets: budgets ?? [] };
}

/** The whole result of a plan that did not complete is in its failure. */
export function failedEnd(error: unknown): PlanEnd {
  const found = planResultIn(error);
  if (found !== undefined) return { ...endOf(found.result), ok: false, detail: found.message };
  const { code, message } = factsOf(error);
  return { ok: false, status: code === 'cancelled' ? 'cancelled' : 'failed', detail: message, budgets: [] };
}
