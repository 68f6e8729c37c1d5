import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { incidentWorkflowId, type IncidentView } from '../../domain/incident.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';

/** Open incidents and the last ones of services that had some lately, the newest first. */
export async function listIncidents(client: Client, limit = 200): Promise<IncidentView[]> {
  const ids: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query: `WorkflowType = 'incident' AND ExecutionStatus = 'Running'` })) {
    ids.push(workflowId);
    if (ids.length >= limit) break;
  }
  const views = await mapBounded(ids, 10, async (id) => viewIncident(client, id));
  return views.filter((view): view is IncidentView => view !== null).sort((a, b) => (a.openedAt < b.openedAt ? 1 : -1));
}

/** Null: nothing has happened there yet, or nobody answers. */
async function viewIncident(client: Client, workflowId: string): Promise<IncidentView | null> {
  return client.workflow.getHandle(workflowId).query<IncidentView | null>('incident').catch(() => null);
}

const stamp = /-\d{8}T\d{6}Z$/;

/** By its id, by its fingerprint, or by a beginning that only one open incident has. @throws incidentUnknown */
export async function findIncident(client: Client, name: string): Promise<{ readonly workflowId: string; readonly view: IncidentView }> {
  const fingerprint = name.replace(/^incident\//, '').replace(stamp, '');
  try {
    const workflowId = incidentWorkflowId(fingerprint);
    const view = await client.workflow.getHandle(workflowId).query<IncidentView | null>('incident');
    if (view !== null && (!stamp.test(name) || view.id === name)) return { workflowId, view };
    const before = view?.previous.find((each) => each.id === name);
    if (before !== undefined) throw new ResurgoError('incidentUnknown', `incident ${name} is over since ${before.resolvedAt} (${before.resolution}); the newest of ${fingerprint} is ${view?.id ?? ''}`, { details: { hint: `Its record is kept: resurgo evidence show ${name}` } });
  } catch (error) {
    if (error instanceof ResurgoError) throw error;
    if (!(error instanceof WorkflowNotFoundError)) throw new ResurgoError('temporalUnreachable', `incident ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const all = await listIncidents(client);
  const exact = all.filter((view) => view.service === name);
  const fits = exact.length > 0 ? exact : all.filter((view) => view.id.startsWith(name));
  const [only] = fits;
  if (only === undefined) throw new ResurgoError('incidentUnknown', `There is no incident ${JSON.stringify(name)}${all.length === 0 ? '; none is open' : `; there are ${all.slice(0, 5).map((view) => view.id).join(', ')}`}.`);
  if (fits.length > 1) throw new ResurgoError('usage', `${JSON.stringify(name)} may mean ${fits.slice(0, 5).map((view) => view.id).join(', ')}`);
  return { workflowId: only.workflowId, view: only };
}
