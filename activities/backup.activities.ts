import type { DumpedBackup, PreparedBackup, RepositoryOutcome } from '../domain/operations.ts';
import type { VerifyResult } from '../domain/ports.ts';
import { dumpBackup } from './backup-dump.ts';
import { abandonBackup, finishBackup, type AbandonInput } from './backup-end.ts';
import { prepareBackup, type PrepareInput } from './backup-prepare.ts';
import { publishBackup, verifyBackup } from './backup-publish.ts';
import { repairBackup, storeBackup, type DeliverStep } from './backup-store.ts';
import { namingFullDisk } from './full-disk.ts';
import { stagingPath } from './staging.ts';
import type { ActivityDeps } from './deps.ts';
import { requireDumped } from './run-file.ts';

/** Effect, idempotency, heartbeat and failure of each are told where it is implemented. */
export function backupActivities(deps: ActivityDeps) {
  const naming = <T>(target: string, backup: string, work: () => Promise<T>): Promise<T> =>
    namingFullDisk('repositoryFull', [{ what: 'the state directory', path: deps.loaded.stateDir }, { what: `staging of ${target}`, path: stagingPath(deps, target, backup) }], work);
  return {
    prepareBackup: (input: PrepareInput): Promise<PreparedBackup> => naming(input.target, input.id, () => prepareBackup(deps, input)),
    dumpBackup: (plan: PreparedBackup): Promise<DumpedBackup> => naming(plan.target, plan.backup, () => dumpBackup(deps, plan)),
    /** Effect: none. @throws fenced when this host does not hold the finished dump any more */
    checkRun: async ({ backup, attempt }: { backup: string; attempt: string }): Promise<void> => {
      await requireDumped(deps.loaded.stateDir, backup, attempt);
    },
    storeBackup: (step: DeliverStep): Promise<void> => storeBackup(deps, step),
    repairBackup: (step: DeliverStep): Promise<void> => repairBackup(deps, step),
    verifyBackup: (step: DeliverStep): Promise<VerifyResult> => verifyBackup(deps, step),
    publishBackup: (step: DeliverStep & { readonly verified: VerifyResult }): Promise<void> => publishBackup(deps, step),
    finishBackup: (step: { prepared: PreparedBackup; dumped: DumpedBackup; outcomes: readonly RepositoryOutcome[] }): Promise<void> => finishBackup(deps, step),
    abandonBackup: (input: AbandonInput): Promise<{ published: string[] }> => abandonBackup(deps, input),
  };
}
