/** The newest look at all plans (I11): Temporal keeps the results of the last ones wherever they were made, this host those it made itself. */
import type { Client } from '@temporalio/client';
import { readEvaluations } from '../../activities/plan/evaluate.ts';
import type { EvaluationReport } from '../../domain/plan/evaluation.ts';

/** Undefined when there was none, or Temporal has forgotten it. */
export async function evaluationsIn(client: Client): Promise<EvaluationReport | undefined> {
  for await (const { workflowId, runId } of client.workflow.list({ query: `WorkflowType = 'evaluatePlans' AND ExecutionStatus = 'Completed'`, pageSize: 1 })) return (await client.workflow.getHandle(workflowId, runId).result()) as EvaluationReport;
  return undefined;
}

/** Of both the newer. Without Temporal, what this host knows. */
export async function newestEvaluations(stateDir: string, client: Client | undefined): Promise<EvaluationReport | undefined> {
  const [here, there] = await Promise.all([readEvaluations(stateDir), client === undefined ? undefined : evaluationsIn(client).catch(() => undefined)]);
  if (here === undefined || there === undefined) return here ?? there;
  return there.at >= here.at ? there : here;
}
