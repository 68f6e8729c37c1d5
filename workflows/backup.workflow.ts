import { patched, uuid4, workflowInfo } from '@temporalio/workflow';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { BackupInput, BackupResult, PruneReport } from '../domain/operations.ts';
import type { backupOperation } from './backup-operation.workflow.ts';
import type { pruneOperation, PruneOperationInput } from './prune-operation.workflow.ts';
import { local } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes, targetIn } from './progress.ts';

/**
 * Takes one backup of a target. Public: may be started from the Temporal UI or CLI with `{"target":"shop","kind":"full"}`.
 * Ids: any; the work runs in the child `op/<target>`, which is the target's lock. Query: `steps`. Ends with a {@link BackupResult}.
 */
export async function backup(input: BackupInput): Promise<BackupResult> {
  try {
    const checklist = new Checklist(`Backup of ${targetIn(input)}`, ['validate', 'run']);
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
    // Histories of released versions have no `prune` in what was announced, or nothing in it.
    const { prune = [] } = checked;
    if (prune.length === 0 || !patched('prune-after-backup')) return result;
    return await withPrune(result, { target, repositories: prune, preview: false, host: checked.host, searchAttributes: checked.searchAttributes }, checklist);
  } catch (error) {
    rethrow(error);
  }
}

/** The backup is good whatever becomes of this: a prune that fails, is cancelled or finds the target busy again is at most a warning. */
async function withPrune(result: BackupResult, work: PruneOperationInput, checklist: Checklist): Promise<BackupResult> {
  const { target } = work;
  try {
    const report: PruneReport | typeof skipped = await checklist.run('prune', () =>
      runLocked<typeof pruneOperation>('pruneOperation', [work], { lockId: lockIds.operation(target), summary: `prune ${target}`, onBusy: 'skip' }),
    );
    if (report === skipped) {
      checklist.set('prune', 'skipped', 'another operation on this target was running');
      return result;
    }
    const removed = report.repositories.reduce((sum, one) => sum + one.removed, 0);
    const freedBytes = report.repositories.reduce((sum, one) => sum + one.freedBytes, 0);
    return { ...result, pruned: { status: report.status, removed, freedBytes }, warnings: [...result.warnings, ...report.warnings.map((warning) => `prune: ${warning}`)] };
  } catch (error) {
    return { ...result, warnings: [...result.warnings, `prune after the backup did not end well: ${factsOf(error).message}`] };
  }
}
