import type { PruneInput, PruneReport } from '../domain/operations.ts';
import { lockIds } from '../domain/ids.ts';
import type { pruneOperation } from './prune-operation.workflow.ts';
import { local } from './activity-profiles.ts';
import { rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist, searchAttributes, targetIn } from './progress.ts';
import { pruneRepositories } from './prune-operation.workflow.ts';

/**
 * Removes the backups of a target that no retention rule keeps. Public: `{"target":"shop","preview":true}`.
 * Ids: any; the work runs in the child `op/<target>`, a preview without it. Query: `steps`. Ends with a {@link PruneReport}.
 */
export async function prune(input: PruneInput): Promise<PruneReport> {
  try {
    const checklist = new Checklist(`Prune ${targetIn(input)}`, ['validate']);
    const checked = await checklist.run('validate', () => local.announcePrune(input));
    checklist.enableAttributes(checked.searchAttributes);
    const { target, repositories, preview = false, now = false, onBusy = 'wait' } = checked.input;
    checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'prune' }]);
    const work = { target, repositories, preview, now, host: checked.host, startedBy: checked.input.startedBy ?? 'temporal', searchAttributes: checked.searchAttributes };
    if (preview) return await pruneRepositories(work, checklist);
    const result = await checklist.run('run', () => runLocked<typeof pruneOperation>('pruneOperation', [work], { lockId: lockIds.operation(target), summary: `prune ${target}`, onBusy }));
    return result === skipped ? { schemaVersion: 1, target, status: 'skipped', repositories: [], warnings: ['another operation on this target was running'] } : result;
  } catch (error) {
    rethrow(error);
  }
}
