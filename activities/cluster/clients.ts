import { ResurgoError } from '../../domain/errors.ts';
import { describeSet, sameValues, type RecordSet } from '../../providers/dns/provider.ts';
import { probeMember } from '../../providers/postgres/member-probe.ts';
import type { ActivityDeps } from '../deps.ts';
import { dnsServer } from '../dns/providers.ts';
import { withPulse } from '../heartbeat.ts';
import { clusterOf } from './members.ts';

/**
 * Points every configured record to a member, and asks the authoritative servers until they say so. Effect: the records. Idempotency: again is the
 * same. A run that was held up does not move them back: the member must be the primary at that moment.
 * @throws dnsRefused, dnsConflict, dnsUnreachable, dnsUnverified, fenced
 */
export async function moveRecords(deps: ActivityDeps, input: { readonly target: string; readonly member: string }): Promise<string[]> {
  const cluster = clusterOf(deps, input.target);
  const member = cluster.member(input.member);
  return withPulse(async ({ signal, report }) => {
    const moved: string[] = [];
    for (const record of cluster.settings.dns ?? []) {
      report({ phase: `move ${record.name} to ${member.name}` });
      const value = Object.hasOwn(record.values, member.name) ? record.values[member.name] : undefined;
      if (value === undefined) throw new ResurgoError('configInvalid', `record ${record.name} has no value for ${member.name}`, { details: { hint: `Add it under targets.${input.target}.failover.dns.` } });
      const provider = dnsServer(deps, record.server);
      const next: RecordSet = { name: record.name, type: record.type, ttl: Math.max(1, Math.round(record.ttl / 1000)), values: [value] };
      const before = await provider.read(record.name, record.type, signal);
      if (!sameValues(before, next) || before?.ttl !== next.ttl) {
        const { role } = await probeMember(member.name, member.connection(), { timeoutMs: cluster.settings.timeout, signal });
        if (role !== 'primary') throw new ResurgoError('fenced', `${member.name} is not the primary (any more); ${record.name} was left as it is: ${describeSet(before)}`);
        await provider.waitInSync(await provider.upsert(next, before, signal), signal);
      }
      moved.push(`${record.name}: ${await provider.verify(next, signal)}`);
    }
    return moved;
  }, deps);
}
