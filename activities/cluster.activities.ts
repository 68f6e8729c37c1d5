import { z } from 'zod';
import type { ClusterView } from '../domain/cluster.ts';
import type { ClusterPlan, DataLoss, FailoverInput, FailoverResult, FenceOutcome, PromotedMember } from '../domain/failover.ts';
import { namePattern } from '../domain/ids.ts';
import { parseInput } from './announce.activities.ts';
import { awaitEverything, awaitStreaming, checkAttach, demoteMember, refitMember, reinstatePrimary, retirePrimary, startMember, stopMember, type AttachStep } from './cluster/attach.ts';
import type { AttachInput } from '../domain/attach.ts';
import { ResurgoError } from '../domain/errors.ts';
import { moveRecords } from './cluster/clients.ts';
import { fenceByCommand, fenceLocal, liftFence, type FenceInput } from './cluster/fence.ts';
import { followPrimary } from './cluster/follow.ts';
import { measureLoss } from './cluster/loss.ts';
import { clusterOf, clusterPlan } from './cluster/members.ts';
import { observeCluster, type ObserveInput } from './cluster/observe.ts';
import { promoteMember, proveWrites, type PromoteInput } from './cluster/promote.ts';
import { recordFailover } from './cluster/record.ts';
import type { ActivityDeps } from './deps.ts';

const failoverInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  target: z.string().regex(namePattern, 'is not a target name'),
  to: z.string().regex(namePattern, 'is not a member name').optional(),
  preview: z.boolean().optional(),
  overrideFence: z.string().trim().min(8, 'needs a reason in words: what makes you sure that the old primary is off').max(1000).optional(),
  automatic: z.boolean().optional(),
  startedBy: z.string().max(200).optional(),
  incident: z.string().max(200).optional(),
  observed: z.strictObject({ since: z.string().max(40), rounds: z.number().int().min(1), primary: z.string().regex(namePattern).optional() }).optional(),
  synchronous: z.strictObject({ need: z.number().int().min(0), names: z.array(z.string().max(100)).max(100) }).optional(),
});

const attachInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  target: z.string().regex(namePattern, 'is not a target name'),
  member: z.string().regex(namePattern, 'is not a member name'),
  by: z.enum(['reattach', 'build', 'rebuild', 'rewind', 'clone', 'keep']),
  startedBy: z.string().max(200).optional(),
});

/** Effect, idempotency, heartbeat and failure of each are told where it is implemented. */
export function clusterActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. @throws inputInvalid, targetUnknown, unsupported, memberUnknown */
    async announceFailover(input: FailoverInput): Promise<{ input: FailoverInput; plan: ClusterPlan; searchAttributes: boolean }> {
      const checked = parseInput(failoverInput, input, 'failover') as FailoverInput;
      if (checked.to !== undefined) clusterOf(deps, checked.target).member(checked.to);
      return { input: checked, plan: clusterPlan(deps, checked.target), searchAttributes: deps.searchAttributes };
    },
    observeCluster: (input: ObserveInput): Promise<ClusterView> => observeCluster(deps, input),
    fenceLocal: (input: FenceInput): Promise<FenceOutcome> => fenceLocal(deps, input),
    fenceByCommand: (input: FenceInput): Promise<FenceOutcome> => fenceByCommand(deps, input),
    liftFence: (input: { readonly target: string; readonly member: string; readonly run: string; readonly epoch: number }): Promise<string> => liftFence(deps, input),
    promoteMember: (input: PromoteInput): Promise<PromotedMember> => promoteMember(deps, input),
    proveWrites: (input: { readonly target: string; readonly member: string; readonly run: string; readonly timeline: number }): Promise<{ lsn: string; waitsFor: string | null }> => proveWrites(deps, input),
    followPrimary: (input: { readonly target: string; readonly member: string; readonly primary: string; readonly timeline: number }): Promise<string> => followPrimary(deps, input),
    moveRecords: (input: { readonly target: string; readonly member: string }): Promise<string[]> => moveRecords(deps, input),
    measureLoss: (input: { readonly target: string; readonly member: string; readonly timeline: number; readonly switchLsn: string }): Promise<DataLoss> => measureLoss(deps, input),
    /** Effect: none. @throws inputInvalid, targetUnknown, unsupported, memberUnknown, configInvalid */
    async announceAttach(input: AttachInput): Promise<{ input: AttachInput; host: string; searchAttributes: boolean }> {
      const checked = parseInput(attachInput, input, 'attachStandby') as AttachInput;
      const member = clusterOf(deps, checked.target).member(checked.member);
      const host = clusterPlan(deps, checked.target).members.find(({ name }) => name === member.name)?.host ?? null;
      if (member.dataDir === undefined || host === null) throw new ResurgoError('configInvalid', `member ${member.name} of ${checked.target} needs host and dataDir for this`, { details: { hint: `Add them under targets.${checked.target}.members.` } });
      return { input: checked, host, searchAttributes: deps.searchAttributes };
    },
    checkAttach: (input: AttachStep): ReturnType<typeof checkAttach> => checkAttach(deps, input),
    stopMember: (input: AttachStep): Promise<string> => stopMember(deps, input),
    refitMember: (input: AttachStep): ReturnType<typeof refitMember> => refitMember(deps, input),
    startMember: (input: AttachStep): Promise<string> => startMember(deps, input),
    awaitStreaming: (input: AttachStep): ReturnType<typeof awaitStreaming> => awaitStreaming(deps, input),
    retirePrimary: (input: Parameters<typeof retirePrimary>[1]): ReturnType<typeof retirePrimary> => retirePrimary(deps, input),
    reinstatePrimary: (input: Parameters<typeof reinstatePrimary>[1]): Promise<string> => reinstatePrimary(deps, input),
    demoteMember: (input: Parameters<typeof demoteMember>[1]): Promise<string> => demoteMember(deps, input),
    awaitEverything: (input: Parameters<typeof awaitEverything>[1]): Promise<string> => awaitEverything(deps, input),
    recordFailover: (result: FailoverResult): Promise<void> => recordFailover(deps, result),
  };
}
