/** Break glass: a failover with Temporal gone. The same flow, driven from here; started again after it died it finds what is done. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterActivities } from '../activities/cluster.activities.ts';
import { clusterOf, memberIsHere } from '../activities/cluster/members.ts';
import type { ActivityDeps } from '../activities/deps.ts';
import { toResurgoError } from '../activities/failure-mapping.ts';
import type { FailoverInput, FailoverResult, MemberPlan } from '../domain/failover.ts';
import { errors, isErrorCode, isResurgoError, ResurgoError } from '../domain/errors.ts';
import { idFromUuid } from '../domain/ids.ts';
import { FlowRefusal, failoverFlow, type FailoverSteps } from '../workflows/failover-flow.ts';
import type { FlowHost } from '../workflows/step-log.ts';

export interface RescueFailoverOptions {
  readonly deps: ActivityDeps;
  readonly input: FailoverInput;
  readonly onStep: (name: string, state: string, detail?: string) => void;
  readonly onNote: (text: string) => void;
  readonly signal: AbortSignal;
}

/** @throws FailoverFailed with the full result; inputInvalid, targetUnknown … before anything */
export async function rescueFailover(options: RescueFailoverOptions): Promise<FailoverResult> {
  const { deps } = options;
  const activities = clusterActivities(deps);
  const { input, plan } = await activities.announceFailover(options.input);
  const now = Date.now();
  const run = { id: idFromUuid(randomUUID()), startedAt: new Date(now).toISOString(), epoch: now, input, plan };
  return failoverFlow(run, localSteps(options, run.id), localHost(options));
}

export const localHost = (options: Pick<RescueFailoverOptions, 'onStep' | 'signal'>): FlowHost => ({
  now: () => new Date().toISOString(),
  show: (name, state, detail) => { options.onStep(name, state, detail); },
  shielded: (work) => work(),
  describe: (error) => {
    if (error instanceof FlowRefusal && isErrorCode(error.code)) return { code: error.code, message: error.message, hint: error.hint ?? errors[error.code].hint };
    const { code, message, hint } = toResurgoError(error);
    return { code, message, hint };
  },
  passOn: () => { options.signal.throwIfAborted(); },
});

/** Tries again what may pass by itself, as Temporal would. */
async function patiently<T>(options: Pick<RescueFailoverOptions, 'signal' | 'onNote'>, what: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    options.signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isResurgoError(error) || !error.definition.retryable || attempt >= 6) throw error;
      options.onNote(`${what}: ${error.message}; attempt ${String(attempt + 1)}`);
      await sleep(1000 * attempt, undefined, { signal: options.signal });
    }
  }
}

export function localSteps(options: RescueFailoverOptions, run: string): FailoverSteps {
  const { deps } = options;
  const { target } = options.input;
  const activities = clusterActivities(deps);
  const cluster = clusterOf(deps, target);
  const here = (member: MemberPlan): void => {
    if (!memberIsHere(cluster.member(member.name), deps.host))
      throw new ResurgoError('fenceUnproved', `${member.name} runs on ${member.host ?? 'another host'}, which this command does not reach without Temporal`, { details: { hint: `Run it on that host (--host ${member.host ?? 'NAME'}), or configure fence.exec.` } });
  };
  const again = <T>(what: string, work: () => Promise<T>): Promise<T> => patiently(options, what, work);
  return {
    observe: (input) => again('observe', () => activities.observeCluster({ target, ...input })),
    fenceLocal: async (member, step) => {
      here(member);
      return activities.fenceLocal({ target, member: member.name, ...step });
    },
    fenceByCommand: (member, step) => activities.fenceByCommand({ target, member: member.name, ...step }),
    liftFence: async (member, step) => (memberIsHere(cluster.member(member.name), deps.host) ? activities.liftFence({ target, member: member.name, ...step }) : 'it was not fenced from here'),
    promote: (member, fromTimeline) => again('promote', () => activities.promoteMember({ target, member: member.name, fromTimeline })),
    proveWrites: (member, timeline) => again('prove writes', () => activities.proveWrites({ target, member: member.name, run, timeline })),
    follow: (member, primary, timeline) => again('follow', () => activities.followPrimary({ target, member: member.name, primary, timeline })),
    moveClients: (primary) => again('move clients', () => activities.moveRecords({ target, member: primary.name })),
    measureLoss: async (member, timeline, switchLsn) =>
      memberIsHere(cluster.member(member.name), deps.host) ? activities.measureLoss({ target, member: member.name, timeline, switchLsn }) : { bytes: null, oldPrimaryLsn: null, detail: `${member.name} runs on another host` },
    record: (result) => activities.recordFailover(result),
  };
}
