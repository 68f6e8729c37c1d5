import type { RdsTargetConfig } from '../../config/schema.ts';
import { conditionOf } from '../../domain/rds.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { Rds } from '../../providers/rds/rds-database.ts';
import { Findings, type CheckScope } from './finding.ts';
import type { CheckedTarget } from './targets.ts';

/** Asks AWS for the database, and whether every region of the copies answers. */
export async function checkRds(_scope: CheckScope, name: string, target: RdsTargetConfig): Promise<CheckedTarget> {
  const findings = new Findings('target', name);
  const kind = target.instance === undefined ? 'cluster' : 'instance';
  const identifier = target.instance ?? target.cluster ?? '';
  const rds = await Rds.open(target);
  try {
    const found = await rds.database(kind, identifier);
    if (found === undefined) findings.fail(`there is no RDS ${kind} ${identifier} in ${target.region}`, 'Correct the identifier or the region.', 'configInvalid');
    else {
      const condition = conditionOf(found.status);
      findings.ok(`RDS ${kind} ${identifier}: ${found.engine} ${found.engineVersion}, ${found.status}`);
      if (condition === 'stopped' || condition === 'failed') findings.warn(`it is ${found.status}: no snapshot can be taken now`, 'Look at it in the AWS console.');
    }
  } catch (error) {
    findings.error(error);
  } finally {
    rds.close();
  }
  for (const copy of target.copyTo ?? []) {
    const there = await Rds.open(copy);
    try {
      await there.snapshot(kind, 'resurgo-check-that-it-answers');
      findings.ok(`RDS answers in ${copy.region}, where snapshots are copied to`);
    } catch (error) {
      if (!(error instanceof ResurgoError)) throw error;
      findings.fail(`copies to ${copy.region}: ${error.message}`, error.hint, error.code);
    } finally {
      there.close();
    }
  }
  return { findings: findings.list };
}
