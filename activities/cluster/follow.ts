import { ensureSlot, follow, standbySettings } from '../../providers/postgres/follow.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse } from '../heartbeat.ts';
import { clusterOf } from './members.ts';

/** Effect: a running standby follows the new primary, with its slot there. Idempotency: again is the same. @throws replicationFailed */
export async function followPrimary(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly primary: string; readonly timeline: number }): Promise<string> {
  const cluster = clusterOf(deps, input.target);
  const [standby, primary] = [cluster.member(input.member), cluster.member(input.primary)];
  return withPulse(async ({ signal, report }) => {
    report({ phase: `point ${standby.name} to ${primary.name}` });
    const { slot } = await standbySettings(standby.connection(), signal);
    if (slot !== '') await ensureSlot(primary.connection(), slot, signal);
    return follow(standby.connection(), primary.address(), input.timeline, { waitMs: 60_000, signal });
  }, deps);
}
