import { targetOf } from '../../config/lookup.ts';
import type { GroupTargetConfig } from '../../config/schema.ts';
import { Findings, type CheckScope } from './finding.ts';
import type { CheckedTarget } from './targets.ts';

/** The members of a group are checked as targets of their own; here, whether one host can take them all. */
export async function checkGroup({ loaded }: CheckScope, name: string, target: GroupTargetConfig): Promise<CheckedTarget> {
  const findings = new Findings('target', name);
  const elsewhere = target.members.filter((member) => {
    const { host } = targetOf(loaded.config, member);
    return host !== undefined && host !== target.host;
  });
  if (elsewhere.length > 0) {
    findings.fail(`${elsewhere.join(', ')} are bound to another host than the group (${target.host ?? 'any'}): one host takes all members`, 'Give the group the same host, or leave these out.', 'configInvalid');
  } else findings.ok(`${String(target.members.length)} members: ${target.members.join(', ')}`);
  return Promise.resolve({ findings: findings.list });
}
