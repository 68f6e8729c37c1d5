import { isResurgoError } from '../../domain/errors.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Only a note: backups wait for Temporal, and `rescue` needs none. */
export async function checkTemporal({ loaded }: CheckScope): Promise<Finding[]> {
  const findings = new Findings('temporal');
  const { resolveTemporal } = await import('../temporal-address.ts');
  try {
    const target = await resolveTemporal(loaded.stateDir, { waitMs: 0 });
    const { connect, requireWorker } = await import('../connect.ts');
    const connected = await connect(target);
    try {
      await requireWorker(connected, 0);
      const { reconcileSchedules } = await import('../schedules/reconcile.ts');
      const { counts } = await reconcileSchedules(connected.client, loaded.config, { apply: false });
      const changes = counts.create + counts.update + counts.delete;
      if (changes > 0) findings.note(`${String(changes)} schedules in Temporal are not what the configuration says`, '`resurgo schedules diff` shows them, `resurgo schedules apply` mends them.');
      findings.ok(`answers at ${target.connection.address}, namespace ${target.namespace}, with a worker`);
    } finally {
      await connected.connection.close();
    }
  } catch (error) {
    if (!isResurgoError(error)) throw error;
    findings.note(error.message, error.hint);
  }
  return findings.list;
}
