import { uuid4, workflowInfo } from '@temporalio/workflow';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { BackupInput, BackupResult } from '../domain/operations.ts';
import type { backupOperation } from './backup-operation.workflow.ts';
import { local } from './activity-profiles.ts';
import { rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes } from './progress.ts';

/**
 * Takes one backup of a target. Public: may be started from the Temporal UI or CLI with `{"target":"shop","kind":"full"}`.
 * Ids: any; the work runs in the child `op/<target>`, which is the target's lock. Query: `steps`. Ends with a {@link BackupResult}.
 */
export async function backup(input: BackupInput): Promise<BackupResult> {
  try {
    const checklist = new Checklist(`Backup of ${String(input?.target)}`, ['validate', 'run']);
    const checked = await checklist.run('validate', () => local.announceBackup(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target, kind, onBusy, startedBy } = checked.input;
    const id = idFromUuid(uuid4());
    checklist.tag([
      { key: searchAttributes.target, value: target },
      { key: searchAttributes.operation, value: 'backup' },
      { key: searchAttributes.backup, value: id },
    ]);
    const startedAt = new Date(workflowInfo().startTime).toISOString();
    const result = await checklist.run('run', () =>
      runLocked<typeof backupOperation>('backupOperation', [{ id, target, kind, startedBy, host: checked.host, searchAttributes: checked.searchAttributes }], {
        lockId: lockIds.operation(target),
        summary: `${kind} backup of ${target} (${id})`,
        onBusy,
      }),
    );
    if (result === skipped) {
      const endedAt = new Date().toISOString();
      return {
        schemaVersion: 1, id, target, kind, engine: checked.engine, parent: null, status: 'skipped', startedAt, endedAt,
        durationMs: Date.parse(endedAt) - Date.parse(startedAt), bytes: { source: 0, stored: 0 }, repositories: [], complete: false,
        counts: { parts: 0, files: 0 }, warnings: ['another operation on this target was running'],
      };
    }
    return result;
  } catch (error) {
    rethrow(error);
  }
}
