import { z } from 'zod';
import type { ClusterView } from '../domain/cluster.ts';
import type { ClusterPlan, DataLoss, FailoverInput, FailoverResult, FenceOutcome, PromotedMember } from '../domain/failover.ts';
import { namePattern } from '../domain/ids.ts';
import { parseInput } from './announce.activities.ts';
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
  observed: z.strictObject({ since: z.string().max(40), rounds: z.number().int().min(1) }).optional(),
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
    recordFailover: (result: FailoverResult): Promise<void> => recordFailover(deps, result),
  };
}
