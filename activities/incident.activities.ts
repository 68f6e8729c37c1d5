import type { AlertType } from '../domain/alert.ts';
import { fallbackPlan } from '../domain/default-rules.ts';
import type { DamageReport } from '../domain/incident.ts';
import { ResurgoError } from '../domain/errors.ts';
import type { IncidentSettings } from '../domain/incident-settings.ts';
import type { IncidentsConfig } from '../config/schema-notify.ts';
import { assessDamage } from './assess-damage.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';

const defaults: IncidentsConfig = {
  cooldown: 300_000, confirm: 300_000, maxFailures: 3, window: 3_600_000, gather: 1000, approval: 'never', approvers: 1, approvalTimeout: 3_600_000, assess: 30_000,
  budgets: { assess: 30 * 60_000, infrastructure: 120 * 60_000, data: 60 * 60_000, verify: 45 * 60_000, resume: 15 * 60_000 },
};

export interface PrepareIncidentInput {
  readonly type: AlertType;
  readonly service: string;
  readonly target: string | null;
}

export function incidentActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. What the configuration says about an incident of this kind. */
    async prepareIncident(input: PrepareIncidentInput): Promise<IncidentSettings> {
      const { config } = deps.loaded;
      const { cooldown, confirm, maxFailures, window, gather, approval, approvers, approvalTimeout, assess, budgets } = config.incidents ?? defaults;
      return {
        cooldownMs: cooldown, confirmMs: confirm, maxFailures, windowMs: window, gatherMs: gather, approval, approvers, approvalMs: approvalTimeout, assessMs: assess, budgets,
        escalation: (config.escalation ?? []).map(({ level, after, notify, minSeverity }) => ({ level, afterMs: after, notify, ...(minSeverity === undefined ? {} : { minSeverity }) })).sort((a, b) => a.afterMs - b.afterMs),
        plans: Object.keys(config.plans ?? {}),
        fallback: fallbackPlan(Object.entries(config.plans ?? {}).map(([name, plan]) => ({ name, steps: plan.steps })), input),
        isTarget: input.target !== null && Object.hasOwn(config.targets, input.target),
        provedApprovals: Object.keys(config.approvers ?? {}).length > 0,
        channels: (config.notify ?? []).length,
        searchAttributes: deps.searchAttributes,
      };
    },

    /** Effect: none. What is left of a target: database, storage, network, backups, and the strategy that follows. */
    async assessDamage(input: PrepareIncidentInput): Promise<DamageReport> {
      return assessDamage(deps, input);
    },

    /** Effect: none. Waits for the end of a plan run that is no child of the caller any more. Heartbeat: while it waits. */
    async planOutcome({ run }: { run: string }): Promise<unknown> {
      const { outcomeOf } = deps;
      if (outcomeOf === undefined) throw new ResurgoError('bug', 'nobody can be asked for the outcome of a run here');
      return withPulse(({ signal, report }) => {
        report({ phase: `waiting for ${run}` });
        return outcomeOf(run, signal);
      });
    },
  };
}
