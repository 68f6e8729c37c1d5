import { isErrorCode, ResurgoError } from '../../domain/errors.ts';
import type { WorkflowHandle } from '@temporalio/client';
import type { PlanResult } from '../../domain/plan/result.ts';
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

/** How a run ended, out of its result or of what it failed with. */
async function endedView(handle: WorkflowHandle): Promise<PlanView | undefined> {
  const { fromWorkflowError } = await import('../workflow-error.ts');
  const result = await handle.result().then(
    (value: unknown) => value as PlanResult,
    (error: unknown) => fromWorkflowError(error, handle.workflowId).details['result'] as PlanResult | undefined,
  );
  return result === undefined ? undefined : { ...result, workflowId: handle.workflowId, stage: 'ended', paused: null, approvals: [], held: null };
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
  for await (const { workflowId, runId } of client.workflow.list({ query: `WorkflowType = 'recover'` })) {
    if (workflowId !== name && !workflowId.endsWith(`/${name}`)) continue;
    const handle = client.workflow.getHandle(workflowId, runId);
    const child = (await handle.describe()).raw.pendingChildren?.[0];
    const found = child?.workflowId == null ? await endedView(handle) : await view(child.workflowId, child.runId ?? undefined);
    if (found !== undefined) return { workflowId: child?.workflowId ?? workflowId, view: found };
  }
  for await (const { workflowId, runId } of client.workflow.list({ query: `WorkflowType = 'planRun' AND ExecutionStatus = 'Running'` })) {
    const found = await view(workflowId, runId);
    if (found?.id === name) return { workflowId, view: found };
  }
  throw new ResurgoError('planUnknown', `There is no plan and no run ${JSON.stringify(name)}.`, { details: { hint: '`resurgo plan list` lists the plans; runs are named by their id.' } });
}

export const viewRun = (context: CliContext, name: string): Promise<PlanView> => withTemporal(context, async (connected) => (await findRun(connected, name)).view);

type Verb = 'pause' | 'resume' | 'abort' | 'skip' | 'retry' | 'mode' | 'answer' | 'approve' | 'reject';

/** Sends an update and says how the run stands then. @throws controlRefused, approvalInvalid with the reason */
export async function steer(context: CliContext, run: string, verb: Verb, input: Readonly<Record<string, unknown>>): Promise<undefined> {
  return withTemporal(context, async (connected) => {
    const { workflowId, view } = await findRun(connected, run);
    await sendUpdate(connected, workflowId, verb, input);
    const after = await connected.client.workflow.getHandle(workflowId).query<PlanView>('plan').catch(() => view);
    const { describeWanted } = await import('./describe.ts');
    context.output.result(after, () => [`${verb}: run ${after.id} of plan ${after.plan} is ${after.status}`, ...describeWanted(after)].join('\n'));
    return undefined;
  });
}

async function sendUpdate({ client }: Connected, workflowId: string, verb: Verb, input: Readonly<Record<string, unknown>>): Promise<void> {
  const { WorkflowNotFoundError, WorkflowUpdateFailedError } = await import('@temporalio/client');
  const { ApplicationFailure } = await import('@temporalio/common');
  try {
    await client.workflow.getHandle(workflowId).executeUpdate(verb, { args: [input] });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw new ResurgoError('controlRefused', 'the run has ended', { cause: error });
    if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    for (let current: unknown = error.cause; current instanceof Error; current = current.cause) {
      if (current instanceof ApplicationFailure && isErrorCode(current.type)) throw new ResurgoError(current.type, current.message, { cause: error });
    }
    throw new ResurgoError('controlRefused', error.cause?.message ?? error.message, { cause: error });
  }
}

export interface DecideFlags {
  readonly as?: string;
  readonly step?: string;
  readonly hash?: string;
  readonly reason?: string;
  readonly tokenFile?: string;
  readonly print?: boolean;
}

/** Proves the approval with the approver's token, which stays here. */
export async function decide(context: CliContext, run: string, decision: 'approve' | 'reject', flags: DecideFlags): Promise<undefined> {
  const { as } = flags;
  if (as === undefined) throw new ResurgoError('usage', '--as NAME says who decides');
  const token = await approverToken(context, flags);
  return withTemporal(context, async (connected) => {
    const { workflowId, view } = await findRun(connected, run);
    const wanted = view.approvals.filter(({ step }) => flags.step === undefined || step === flags.step);
    const [only, other] = wanted;
    if (only === undefined) throw new ResurgoError('controlRefused', `run ${view.id} waits for no approval${flags.step === undefined ? '' : ` of ${flags.step}`}`);
    if (other !== undefined) throw new ResurgoError('usage', `several steps wait: ${wanted.map(({ step }) => step).join(', ')}; name one by --step`);
    // What was looked at is what is approved: a hash that was shown may be given, and another one is then refused.
    const hash = flags.hash === undefined ? only.hash : (wanted.find((each) => each.hash.startsWith(flags.hash ?? ''))?.hash ?? flags.hash);
    const facts = { run: view.id, step: only.step, hash, as, decision };
    const { proveApproval } = await import('../../activities/plan/approval.ts');
    const input = { step: only.step, as, hash, proof: proveApproval(token, facts), ...(flags.reason === undefined ? {} : { reason: flags.reason }) };
    if (flags.print === true) {
      context.output.result({ workflowId, update: decision, input }, () => `temporal workflow update execute --workflow-id ${workflowId} --name ${decision} --input '${JSON.stringify(input)}'`);
      return undefined;
    }
    await sendUpdate(connected, workflowId, decision, input);
    context.output.result({ schemaVersion: 1, run: view.id, step: only.step, decision, as, hash }, () => `${as} ${decision === 'approve' ? 'approved' : 'refused'} ${only.step} (${only.what}), preview ${hash.slice(0, 12)}`);
    return undefined;
  });
}

/** Of RESURGO_APPROVER_TOKEN or a file; not from the configuration, which is on machines that several people use. */
export async function approverToken(context: Pick<CliContext, 'env'>, flags: Pick<DecideFlags, 'tokenFile'>): Promise<string> {
  if (flags.tokenFile !== undefined) {
    const { readPrivateFile } = await import('../../config/safe-file.ts');
    return readPrivateFile(flags.tokenFile, '--token-file').trim();
  }
  const token = context.env['RESURGO_APPROVER_TOKEN'];
  if (token === undefined || token === '') throw new ResurgoError('usage', 'Whose token? Give it in RESURGO_APPROVER_TOKEN, or by --token-file FILE.');
  return token;
}
