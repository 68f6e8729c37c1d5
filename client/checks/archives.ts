import { archiveRuleOf } from '../../config/lookup.ts';
import { formatDuration } from '../../config/units.ts';
import { planTables } from '../../providers/archive/plan-tables.ts';
import { archiveDefinitions, archiveSettings, archiveSource } from '../../activities/archive/settings.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Looks at every table that a target archives: is it there, may its rows be deleted, does the condition parse? Nothing for a target without a rule. */
export async function checkArchive({ loaded, signal }: CheckScope, target: string): Promise<Finding[]> {
  const rule = archiveRuleOf(loaded.config, target);
  if (rule === undefined) return [];
  const findings = new Findings('archive', target);
  try {
    const settings = archiveSettings({ loaded }, target);
    const { connection } = await archiveSource(settings, 'resurgo check');
    const { tables, errors } = await planTables(connection, archiveDefinitions(settings), new Date(Date.now() - rule.after).toISOString(), signal);
    if (tables.length > 0) findings.ok(`${tables.map(({ schema, name }) => `${schema}.${name}`).slice(0, 10).join(', ')}: rows older than ${formatDuration(rule.after)}, kept for ${formatDuration(rule.keep)}`);
    for (const { table, message } of errors) findings.fail(`table ${table}: ${message}`, 'Correct the rule, or give the role the right.', 'configInvalid');
  } catch (error) {
    findings.error(error);
  }
  return findings.list;
}
