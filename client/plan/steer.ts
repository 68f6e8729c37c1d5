import { ResurgoError } from '../../domain/errors.ts';
import type { PlanView } from '../../domain/plan/view.ts';
import type { CliContext } from '../cli-context.ts';
import type { Connected } from '../connect.ts';

/** Connects, works, closes. */
export async function withTemporal<T>(context: CliContext, work: (connected: Connected) => Promise<T>): Promise<T> {
  const loaded = await context.loadConfig();
  const [{ resolveTemporal }, { connect }] = await Promise.all([import('../temporal-address.ts'), import('../connect.ts')]);
  const connected = await connect(await resolveTemporal(loaded.stateDir));
  try {
    return await work(connected);
  } finally {
    await connected.connection.close();
  }
}

/** The workflow that holds a run: named by run id, workflow id, or the plan it runs. @throws planUnknown */
export async function findRun({ client }: Connected, name: string): Promise<{ readonly workflowId: string; readonly view: PlanView }> {
  const view = async (workflowId: string, runId?: string): Promise<PlanView | undefined> =>
    client.workflow.getHandle(workflowId, runId).query<PlanView>('plan').catch(() => undefined);
  const direct = [name, ...(name.startsWith('running/') ? [] : [`running/${name}`])];
  for (const workflowId of direct) {
    const found = await view(workflowId);
    if (found !== undefined) return { workflowId, view: found };
  }
  for await (const { workflowId, runId, type } of client.workflow.list({ query: `WorkflowType = 'planRun' OR WorkflowType = 'recover'` })) {
    if (type !== 'planRun') {
      if (workflowId !== name && !workflowId.endsWith(`/${name}`)) continue;
      const child = (await client.workflow.getHandle(workflowId, runId).describe()).raw.pendingChildren?.[0];
      const found = child?.workflowId == null ? undefined : await view(child.workflowId, child.runId ?? undefined);
      if (found !== undefined) return { workflowId: child?.workflowId ?? '', view: found };
      continue;
    }
    const found = await view(workflowId, runId);
    if (found?.id === name) return { workflowId, view: found };
  }
  throw new ResurgoError('planUnknown', `There is no plan and no run ${JSON.stringify(name)}.`, { details: { hint: '`resurgo plan list` lists the plans; runs are named by their id.' } });
}

export const viewRun = (context: CliContext, name: string): Promise<PlanView> => withTemporal(context, async (connected) => (await findRun(connected, name)).view);
