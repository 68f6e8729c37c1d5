import type { PromotedMember } from '../../domain/failover.ts';
import { promote, verifyWrites } from '../../providers/postgres/promote.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse } from '../heartbeat.ts';
import { clusterOf } from './members.ts';

export interface PromoteInput {
  readonly target: string;
  readonly member: string;
  /** The timeline it follows now; on a newer one it is not touched. */
  readonly fromTimeline: number;
}

/** Effect: the member is the primary of a new timeline. Idempotency: done already is success; done elsewhere since is refused by the server. @throws promoteFailed, fenced */
export async function promoteMember(deps: ActivityDeps, input: PromoteInput): Promise<PromotedMember> {
  const member = clusterOf(deps, input.target).member(input.member);
  return withPulse(async ({ signal, report }) => {
    report({ phase: `promote ${member.name}` });
    // Replaying what was received but not applied yet may take long: the heartbeat says that we wait.
    const { timeline, parent, switchLsn, promotedNow } = await promote(member.connection({ applicationName: 'resurgo-promote' }), input.fromTimeline, { waitMs: 10 * 60_000, signal });
    return { timeline, parent, switchLsn, promotedNow };
  }, deps);
}

/** Effect: one WAL message. @throws promoteFailed */
export async function proveWrites(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly run: string; readonly timeline: number }): Promise<{ lsn: string; waitsFor: string | null }> {
  const member = clusterOf(deps, input.target).member(input.member);
  return withPulse(({ signal }) => verifyWrites(member.connection({ applicationName: 'resurgo-verify' }), input.run, input.timeline, signal), deps);
}
