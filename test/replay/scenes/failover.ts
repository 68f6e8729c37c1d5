import { startFailoverLab } from '../../support/failover-lab.ts';
import type { Recorder } from '../record.ts';

/** A switchover, the loss of a primary that the watch answers, and its return. */
export async function failover({ saveTypes, hide }: Recorder): Promise<void> {
  const lab = await startFailoverLab();
  for (const member of Object.values(lab.cluster.members)) {
    hide(member.pgBin, '/usr/lib/postgresql/18/bin');
    hide(member.socketDir, '/run/postgresql');
  }
  await lab.stack.run('switchover', { target: 'shop' });
  await lab.ready();
  const since = performance.now();
  await lab.cluster.member('b').kill();
  await lab.untilWritable('b', since);
  await lab.rejoin('b');
  await lab.ready();
  await saveTypes(lab.stack, ['backup', 'backupOperation', 'incident', 'monitors']);
  await lab.stop();
}
