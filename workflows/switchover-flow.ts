/** Planned switchover (P4): nothing is lost, because the old primary is stopped cleanly and the new one has its last record before it is promoted. */
import { contradiction, freshest, judge, type MemberState } from '../domain/cluster.ts';
import type { FailoverResult, MemberPlan, PromotedMember } from '../domain/failover.ts';
import { lsnDistance } from '../domain/lsn.ts';
import { FailoverFailed, FlowRefusal, type FailoverRun, type FailoverSteps } from './failover-flow.ts';
import { StepLog, type FlowHost } from './step-log.ts';

export interface SwitchoverSteps extends Pick<FailoverSteps, 'observe' | 'promote' | 'proveWrites' | 'follow' | 'moveClients' | 'record'> {
  retire(member: MemberPlan): Promise<{ readonly checkpoint: string }>;
  reinstate(member: MemberPlan): Promise<string>;
  awaitEverything(member: MemberPlan, checkpoint: string): Promise<string>;
  demote(member: MemberPlan): Promise<string>;
}

/** More than that is not waited for while nobody can write. */
const mostBehindBytes = 64 * 1024 ** 2;

export const switchoverStepNames = ['check', 'stop the primary', 'all WAL received', 'promote', 'prove writes', 'move clients', 're-attach standbys', 'old primary follows', 'record'];

/** @throws FailoverFailed with the full result */
export async function switchoverFlow(run: FailoverRun, steps: SwitchoverSteps, host: FlowHost): Promise<FailoverResult> {
  const { input, plan } = run;
  const log = new StepLog(host);
  const warnings: string[] = [];
  let from: MemberState | undefined;
  let to: MemberState | undefined;
  let promoted: PromotedMember | undefined;
  let writableAfterMs: number | null = null;
  let records: readonly string[] = [];
  const member = (name: string): MemberPlan => {
    const found = plan.members.find((each) => each.name === name);
    if (found === undefined) throw new FlowRefusal('memberUnknown', `cluster ${plan.target} has no member ${name}`);
    return found;
  };
  const resultOf = (status: FailoverResult['status'], error?: FailoverResult['error'], would?: string[]): FailoverResult => {
    const endedAt = host.now();
    return {
      schemaVersion: 1, id: run.id, target: input.target, kind: 'switchover', status, from: from?.name ?? null, to: promoted === undefined && status !== 'preview' ? null : (to?.name ?? null),
      timeline: { before: from?.timeline ?? null, after: promoted?.timeline ?? null }, switchLsn: promoted?.switchLsn ?? null,
      loss: promoted === undefined ? { bytes: null, oldPrimaryLsn: null, detail: 'nothing was promoted' } : { bytes: 0, oldPrimaryLsn: promoted.switchLsn, detail: 'nothing: the last record of the old primary was received before the promotion' },
      fences: [], records, startedAt: run.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(run.startedAt), writableAfterMs, ...(input.startedBy === undefined ? {} : { startedBy: input.startedBy }), steps: log.steps, warnings,
      ...(error === undefined ? {} : { error }), ...(would === undefined ? {} : { would }),
    };
  };
  try {
    const chosen = await log.run('check', async () => {
      const view = await steps.observe({ rounds: 1, everyMs: plan.everyMs });
      const clash = contradiction(view);
      if (clash !== undefined) throw new FlowRefusal(clash.code, clash.message);
      const { primaries: [primary], standbys } = judge(view.members);
      if (primary === undefined) throw new FlowRefusal('sourceUnreachable', `no member of ${plan.target} answers as the primary`, 'When it is dead: resurgo failover.');
      from = primary;
      return choose(standbys, primary, input.to);
    }, { detail: (best) => `${from?.name ?? ''} → ${best.name}` });
    to = chosen;
    const [old, next] = [member((from as unknown as MemberState).name), member(chosen.name)];
    if (!old.hasDataDir) throw new FlowRefusal('unsupported', `${old.name} has no dataDir in the configuration: it could not be stopped and brought back`, 'Add host and dataDir to the member.');
    if (input.preview === true) return resultOf('preview', undefined, [`stop ${old.name} cleanly (writes stop)`, `wait until ${next.name} has everything`, `promote ${next.name}: point of no return`, 'prove that it takes writes', ...plan.records.map((record) => `move ${record} to ${next.name}`), `start ${old.name} as a standby of ${next.name}`]);

    log.onFailure(`start ${old.name} as the primary again`, () => steps.reinstate(old));
    const { checkpoint } = await log.run('stop the primary', () => steps.retire(old), { detail: (value) => `${old.name} is down cleanly, last checkpoint ${value.checkpoint}` });
    await log.run('all WAL received', () => steps.awaitEverything(next, checkpoint), { detail: (line) => line });

    log.pointOfNoReturn();
    const made = (promoted = await log.run('promote', () => steps.promote(next, chosen.timeline ?? 0), { detail: (value) => `timeline ${String(value.timeline)} from ${value.switchLsn} on` }));
    await log.run('prove writes', () => steps.proveWrites(next, made.timeline), { detail: () => `a write is durable on timeline ${String(made.timeline)}` });
    writableAfterMs = Date.parse(host.now()) - Date.parse(run.startedAt);
    if (plan.records.length > 0) records = await log.run('move clients', () => steps.moveClients(next), { detail: (lines) => lines.join('; ') });
    const others = plan.members.filter(({ name }) => name !== old.name && name !== next.name);
    if (others.length > 0 && (await log.try('re-attach standbys', () => Promise.all(others.map((each) => steps.follow(each, next.name, made.timeline))))) === undefined) warnings.push('not every standby follows the new primary; see the step');
    if ((await log.try('old primary follows', () => steps.demote(old), { detail: (line) => line })) === undefined) warnings.push(`${old.name} does not follow ${next.name}: bring it back with \`resurgo rejoin ${plan.target} ${old.name} --by rewind\``);
    const result = resultOf(warnings.length > 0 ? 'completed-with-warnings' : 'completed');
    await log.try('record', () => steps.record(result));
    return { ...result, steps: log.steps };
  } catch (error) {
    const facts = host.describe(error);
    const { left, undone } = await host.shielded(() => log.undo());
    const message = promoted === undefined ? facts.message : `${to?.name ?? ''} is the primary now, but: ${facts.message}`;
    const result = resultOf(left.length === 0 && undone > 0 ? 'compensated' : 'failed', left.length > 0 ? { code: 'compensationFailed', message: `${message}; not undone: ${left.join('; ')}` } : { code: facts.code, message, ...(facts.hint === undefined ? {} : { hint: facts.hint }) });
    if (log.touched) await host.shielded(() => steps.record(result).catch(() => undefined));
    throw new FailoverFailed(result, error);
  }
}

function choose(standbys: readonly MemberState[], primary: MemberState, wish: string | undefined): MemberState {
  const streaming = standbys.filter((each) => each.receiver?.status === 'streaming');
  const found = wish === undefined ? freshest(streaming) : streaming.find(({ name }) => name === wish);
  if (found === undefined) throw new FlowRefusal('noStandby', wish === undefined ? 'no standby streams from the primary' : `${wish} does not stream from ${primary.name}`);
  const behind = lsnDistance(found.replayedLsn ?? found.lsn ?? '0/0', primary.lsn ?? '0/0');
  if (behind > mostBehindBytes) throw new FlowRefusal('noStandby', `${found.name} is ${String(behind)} bytes behind ${primary.name}`, 'Wait until it has caught up.');
  return found;
}
