/** `resurgo incident …` */
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { readFileSync } from 'node:fs';
import { proveApproval } from '../../activities/plan/approval.ts';
import { alertTypes, decideAlert, severityOf } from '../../domain/alert.ts';
import { isErrorCode, ResurgoError } from '../../domain/errors.ts';
import type { PersonInput } from '../../domain/incident.ts';
import { digest } from '../../providers/alerts/incident-id.ts';
import type { CliContext, Outcome } from '../cli-context.ts';
import { groupAlerts, temporalSubmit } from '../gateway/submit.ts';
import { withTemporal } from '../plan/steer.ts';
import { startedBy } from '../session.ts';
import { describeIncident, incidentColumns, incidentRow } from './describe.ts';
import { findIncident, listIncidents } from './find.ts';

export async function listCommand(context: CliContext, flags: { readonly all?: boolean }): Promise<Outcome> {
  return withTemporal(context, async ({ client }) => {
    const all = await listIncidents(client);
    const shown = flags.all === true ? all : all.filter((view) => view.status !== 'resolved');
    if (context.output.json) context.output.document(shown);
    else if (shown.length === 0) context.output.print('no incident is open');
    else context.output.table(incidentColumns, shown.map(incidentRow));
    return undefined;
  });
}

export async function showCommand(context: CliContext, id: string): Promise<Outcome> {
  return withTemporal(context, async ({ client }) => {
    const { view } = await findIncident(client, id);
    context.output.result(view, () => describeIncident(view));
    return undefined;
  });
}

export type Verb = 'ack' | 'approve' | 'abort' | 'retry' | 'resolve' | 'rearm';
export interface VerbFlags { readonly as?: string; readonly note?: string; readonly plan?: string; readonly hash?: string; readonly tokenFile?: string }

interface Answer { readonly id: string; readonly status: string; readonly stage: string; readonly detail: string }

export async function verbCommand(context: CliContext, verb: Verb, id: string, flags: VerbFlags): Promise<Outcome> {
  const by = flags.as ?? (await startedBy(context.env)).replace(/^cli:/, '');
  return withTemporal(context, async ({ client }) => {
    const { workflowId, view } = await findIncident(client, id);
    const input: PersonInput = {
      by, ...(flags.note === undefined ? {} : { note: flags.note }), ...(flags.plan === undefined ? {} : { plan: flags.plan }), ...(flags.hash === undefined ? {} : { hash: flags.hash }),
      ...(verb === 'approve' ? proofOf(context, flags, by, view.id, view.approval) : {}),
    };
    try {
      const answer = await client.workflow.getHandle(workflowId).executeUpdate<Answer, [PersonInput]>(verb, { args: [input] });
      context.output.result(answer, `${answer.id}: ${answer.detail}`);
      return undefined;
    } catch (error) {
      throw fromUpdate(error);
    }
  });
}

/** Made here from the approver's token, which goes no further. */
function proofOf(context: CliContext, flags: VerbFlags, as: string, run: string, approval: { readonly plan: string; readonly hash: string | null } | null): { proof?: string } {
  const token = flags.tokenFile === undefined ? context.env['RESURGO_APPROVER_TOKEN'] : readFileSync(flags.tokenFile, 'utf8').trim();
  if (token === undefined || token === '' || approval === null) return {};
  return { proof: proveApproval(token, { run, step: approval.plan, hash: approval.hash ?? '', as, decision: 'approve' }) };
}

function fromUpdate(error: unknown): unknown {
  if (!(error instanceof WorkflowUpdateFailedError)) return error;
  for (let current: unknown = error.cause; current instanceof Error; current = current.cause) {
    if (current instanceof ApplicationFailure && isErrorCode(current.type)) return new ResurgoError(current.type, current.message, { cause: error });
  }
  return new ResurgoError('bug', error.cause?.message ?? error.message, { cause: error });
}

export interface OpenFlags { readonly service: string; readonly description?: string; readonly severity?: string; readonly type?: string; readonly target?: string; readonly plan?: string[]; readonly scenario?: string }

export async function openCommand(context: CliContext, name: string, flags: OpenFlags): Promise<Outcome> {
  const severity = severityOf(flags.severity ?? 'high');
  if (severity === undefined) throw new ResurgoError('usage', `--severity ${String(flags.severity)} is none of low, medium, high, critical`);
  const type = alertTypes.find((each) => each === (flags.type ?? 'service'));
  if (type === undefined) throw new ResurgoError('usage', `--type ${String(flags.type)} is none of ${alertTypes.join(', ')}`);
  const scenario = (['full', 'data', 'partial'] as const).find((each) => each === flags.scenario);
  if (flags.scenario !== undefined && scenario === undefined) throw new ResurgoError('usage', `--scenario ${flags.scenario} is none of full, data, partial`);
  const { config } = await context.loadConfig();
  const unknown = (flags.plan ?? []).filter((plan) => !Object.hasOwn(config.plans ?? {}, plan));
  if (unknown.length > 0) throw new ResurgoError('planUnknown', `the configuration has no plan ${unknown.join(', ')}`);
  const by = await startedBy(context.env);
  return withTemporal(context, async ({ client }) => {
    const at = new Date().toISOString();
    const alert = decideAlert(
      { key: digest(by, at).slice(0, 22), identity: digest('person', flags.service, name).slice(0, 22), status: 'firing', name, description: flags.description ?? name, labels: {}, startsAt: at, severity, service: flags.service, type, conditions: [], tracks: false },
      `person/${by}`, [{ plan: flags.plan, target: flags.target, scenario }],
    );
    const [group] = alert === undefined ? [] : groupAlerts([alert]);
    if (group === undefined) throw new ResurgoError('bug', 'the incident belongs nowhere');
    await temporalSubmit(client, { deadlineMs: 10_000 })(group).catch((error: unknown) => { throw new ResurgoError('temporalUnreachable', error instanceof Error ? error.message : String(error)); });
    context.output.result({ workflowId: group.workflowId }, `opened; see resurgo incident show ${group.workflowId.replace(/^incident\//, '')}`);
    return undefined;
  });
}
