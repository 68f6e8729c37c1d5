/** Whether the plans of a configuration could work now (I11): looked at when they are saved and every half an hour. It gates nothing. */

export interface StepEvaluation {
  readonly step: string;
  /** `later`: what it depends on is known only when the plan runs. */
  readonly outcome: 'ok' | 'failed' | 'later';
  readonly detail: string;
  readonly code?: string;
  readonly host?: string;
}

export interface PlanEvaluation {
  readonly plan: string;
  readonly status: 'ready' | 'would fail' | 'invalid';
  readonly at: string;
  /** Hash of the plan as configured where it was looked at. */
  readonly configHash: string;
  readonly problems: readonly string[];
  readonly steps: readonly StepEvaluation[];
}

export interface EvaluationReport {
  readonly schemaVersion: 1;
  readonly at: string;
  readonly plans: readonly PlanEvaluation[];
}

/** With what a host said about its own steps. */
export function withHost(evaluation: PlanEvaluation, host: string, answers: readonly StepEvaluation[]): PlanEvaluation {
  const steps = evaluation.steps.map((step) => (step.host === host ? (answers.find((answer) => answer.step === step.step) ?? step) : step));
  return { ...evaluation, steps, status: evaluation.status === 'invalid' ? 'invalid' : steps.some(({ outcome }) => outcome === 'failed') ? 'would fail' : 'ready' };
}
