import type { Client } from '@temporalio/client';
import type { IncidentView } from '../../domain/incident.ts';

const most = 30;

/** Incidents that are open now. @throws when Temporal does not answer; one whose worker does not is left out */
export async function openIncidents(client: Client): Promise<IncidentView[]> {
  const ids: string[] = [];
  for await (const one of client.workflow.list({ query: 'ExecutionStatus="Running" AND WorkflowType="incident"', pageSize: most })) {
    ids.push(one.workflowId);
    if (ids.length >= most) break;
  }
  const views = await Promise.all(ids.map(async (id) => queryOr<IncidentView | null>(client, id, 'incident')));
  // An incident in its cool-down still runs, and is over.
  return views.filter((view): view is IncidentView => view !== undefined && view !== null && view.status !== 'resolved');
}

/** The answer of a workflow's query; undefined where no worker answers in time. */
export async function queryOr<T>(client: Client, workflowId: string, name: string): Promise<T | undefined> {
  try {
    return await client.connection.withDeadline(Date.now() + 3000, () => client.workflow.getHandle(workflowId).query<T>(name));
  } catch {
    return undefined;
  }
}
