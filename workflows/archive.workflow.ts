import { uuid4, workflowInfo } from '@temporalio/workflow';
import type { ArchiveInput, ArchiveResult } from '../domain/archive.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { archiveOperation } from './archive-operation.workflow.ts';
import { archiveTables, emptyResult } from './archive-operation.workflow.ts';
import { local } from './activity-profiles.ts';
import { rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes } from './progress.ts';

/**
 * Moves old rows of a target into its archive: stored and read back in every repository first, then deleted. Public: `{"target":"orders"}`, `{"target":"orders","before":"2026-08-01"}`.
 * Ids: any; the work runs in the child `op/<target>`, a preview without it. Query: `steps`. Ends with an {@link ArchiveResult}; what failed for one table, or one
 * old archive, is in its `errors` and stops no other.
 */
export async function archive(input: ArchiveInput): Promise<ArchiveResult> {
  try {
    const checklist = new Checklist(`Archive of ${String((input as Partial<ArchiveInput> | undefined)?.target)}`, ['validate']);
    const checked = await checklist.run('validate', () => local.announceArchive(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target, before, preview = false, onBusy, startedBy } = checked.input;
    checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'archive' }]);
    const now = workflowInfo().startTime.getTime();
    const work = {
      id: idFromUuid(uuid4()), target, startedBy, preview, batch: checked.batch, host: checked.host, searchAttributes: checked.searchAttributes,
      startedAt: new Date(now).toISOString(), cutoff: before === undefined ? new Date(now - checked.afterMs).toISOString() : new Date(before).toISOString(),
      expireBefore: new Date(now - checked.keepMs).toISOString(),
    };
    if (preview) return await archiveTables(work, checklist);
    const result = await checklist.run('run', () => runLocked<typeof archiveOperation>('archiveOperation', [work], { lockId: lockIds.operation(target), summary: `archive ${target} (${work.id})`, onBusy }));
    return result === skipped ? { ...emptyResult(work, 'skipped'), warnings: ['another operation on this target was running'] } : result;
  } catch (error) {
    rethrow(error);
  }
}
