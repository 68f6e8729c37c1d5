/** What an incident needs of the configuration, decided once when it opens and kept in its history. */
import type { BudgetReport } from './incident.ts';
import type { Severity } from './severity.ts';

export interface EscalationStep {
  readonly level: string;
  readonly afterMs: number;
  readonly notify: readonly string[];
  readonly minSeverity?: Severity;
}

export interface IncidentSettings {
  readonly cooldownMs: number;
  readonly confirmMs: number;
  readonly maxFailures: number;
  readonly windowMs: number;
  readonly gatherMs: number;
  readonly approval: 'never' | 'always' | 'critical';
  readonly approvers: number;
  readonly approvalMs: number;
  readonly assessMs: number;
  readonly budgets: Readonly<Record<BudgetReport['phase'], number>>;
  readonly escalation: readonly EscalationStep[];
  /** Plans of the configuration. */
  readonly plans: readonly string[];
  /** What the default rules chose where no rule named a plan; null with the reason. */
  readonly fallback: { readonly plan: string | null; readonly why: string };
  /** Whether the incident's target is one of the configuration. */
  readonly isTarget: boolean;
  /** Approvals must be proved: the configuration names approvers. */
  readonly provedApprovals: boolean;
  readonly channels: number;
  readonly searchAttributes: boolean;
}
