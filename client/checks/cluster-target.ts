/** What a failover of a cluster would stand on: can every member be fenced, and can the records be moved? */
import path from 'node:path';
import { replicationOf } from '../../config/lookup.ts';
import type { PostgresTargetConfig } from '../../config/schema.ts';
import { checkHookProgram } from '../../config/safe-file.ts';
import { clusterOf, clusterPlan } from '../../activities/cluster/members.ts';
import { dnsServer } from '../../activities/dns/providers.ts';
import { describeSet } from '../../providers/dns/provider.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { defaultHostName } from '../../workers/main.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Nothing is changed: records are read, signed with the key. */
export async function checkCluster({ loaded, env, signal, host }: CheckScope, name: string, target: PostgresTargetConfig): Promise<Finding[]> {
  const findings = new Findings('cluster', name);
  if ((target.members?.length ?? 0) + (target.standbys?.length ?? 0) + (target.connection === undefined ? 0 : 1) < 2) return findings.list;
  const cluster = clusterOf({ loaded }, name);
  const automatic = cluster.settings.automatic;
  const { members } = clusterPlan({ loaded, host: defaultHostName(loaded.stateDir) }, name);
  for (const { name: member, fences, host: at } of members) {
    const { config } = cluster.member(member);
    if (fences.length === 0)
      findings.warn(`${member} cannot be fenced: a failover away from it ${automatic ? 'is left to a person, although failover.automatic is on' : 'asks a person'}`, `Give it host and dataDir (and a worker there), or fence.exec, under targets.${name}.members.`);
    const program = config.fence?.exec?.[0];
    if (program !== undefined) {
      try {
        const found = program.includes('/') ? path.resolve(loaded.dir, program) : resolveTool(program, env['PATH']);
        checkHookProgram(found, `targets.${name} (${member}).fence.exec`, loaded.owner);
        findings.ok(`${member}: fenced by ${[...(fences.includes('local') ? [`the worker on ${at ?? host}`] : []), found].join(', then ')}`);
      } catch (error) {
        findings.error(error);
      }
    } else if (fences.length > 0) findings.ok(`${member}: fenced by the worker on ${at ?? host}`);
  }
  for (const record of cluster.settings.dns ?? []) {
    const field = `dns.${record.server}`;
    try {
      const provider = dnsServer({ loaded }, record.server);
      if (loaded.config.dns?.[record.server]?.key === undefined)
        findings.warn(`${record.name}: ${field} has no key: updates are not signed, and most servers refuse those`, `Add key: { name, algorithm, secret: { env: … } } under ${field}, as the server has it (tsig-keygen makes one).`);
      const now = await provider.read(record.name, record.type, signal);
      const value = now?.values[0];
      const known = Object.values(record.values);
      if (now === undefined) findings.note(`${record.name} has no ${record.type} record at ${provider.name} yet; a failover makes it`);
      else if (value === undefined || !known.includes(value)) findings.warn(`${record.name} is ${describeSet(now)} at ${provider.name}, which is no member's value`, `Correct targets.${name}.failover.dns, or the record.`);
      else findings.ok(`${record.name} is ${describeSet(now)} at ${provider.name}`);
      if (now !== undefined && now.ttl * 1000 > 4 * record.ttl) findings.note(`${record.name} has a TTL of ${String(now.ttl)} s: after a failover resolvers may keep the old answer for that long, once`);
    } catch (error) {
      findings.error(error);
    }
  }
  if (automatic && (cluster.settings.dns ?? []).length === 0) findings.note('failover.automatic moves no record: clients must find the new primary themselves (several hosts in their URL, target_session_attrs)');
  if (!automatic && replicationOf(loaded.config, name) === undefined) findings.note('its replication is not watched', 'Add section replication; see docs/guides/clusters.md.');
  return findings.list;
}
