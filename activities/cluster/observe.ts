import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterView, MemberState } from '../../domain/cluster.ts';
import { probeMember } from '../../providers/postgres/member-probe.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse } from '../heartbeat.ts';
import { clusterOf, type Cluster } from './members.ts';

export interface ObserveInput {
  readonly target: string;
  readonly rounds: number;
  readonly everyMs: number;
  /** Ends early when every member answers. */
  readonly untilAll?: boolean;
  /** Fenced ones are not waited for long. */
  readonly hurry?: readonly string[];
}

/** Asks every member at once. */
export async function askAll(cluster: Cluster, options: { readonly signal?: AbortSignal | undefined; readonly hurry?: readonly string[]; readonly only?: readonly string[] } = {}): Promise<MemberState[]> {
  return Promise.all(
    cluster.members.filter(({ name }) => options.only?.includes(name) ?? true).map((member) => {
      const timeoutMs = options.hurry?.includes(member.name) === true ? Math.min(1000, cluster.settings.timeout) : cluster.settings.timeout;
      return probeMember(member.name, member.connection({ timeoutMs: timeoutMs + 1000, applicationName: 'resurgo-probe' }), { timeoutMs, signal: options.signal });
    }),
  );
}

/** Several rounds of questions to all members. Effect: none. */
export async function observeCluster(deps: ActivityDeps, input: ObserveInput): Promise<ClusterView> {
  const cluster = clusterOf(deps, input.target);
  return withPulse(async ({ signal, report }) => {
    const startedAt = performance.now();
    let members: MemberState[] = [];
    const silent = new Map<string, number>();
    let rounds = 0;
    for (;;) {
      const roundAt = performance.now();
      members = await askAll(cluster, { signal, ...(input.hurry === undefined ? {} : { hurry: input.hurry }) });
      rounds++;
      for (const { name, role } of members) {
        if (role === null) silent.set(name, (silent.get(name) ?? 0) + 1);
        else silent.delete(name);
      }
      report({ phase: `asked ${String(rounds)} of ${String(input.rounds)} times`, note: members.map(({ name, role, silence }) => `${name}: ${role ?? silence ?? 'silent'}`).join(', ') });
      if (rounds >= input.rounds || (input.untilAll === true && silent.size === 0)) break;
      await sleep(Math.max(0, input.everyMs - (performance.now() - roundAt)), undefined, { signal });
    }
    return { members, rounds, observedMs: Math.round(performance.now() - startedAt), silentRounds: Object.fromEntries(silent) };
  }, deps);
}
