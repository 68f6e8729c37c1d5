import { continueAsNew, isCancellation, ParentClosePolicy, sleep, startChild, workflowInfo, WorkflowIdReusePolicy } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { automaticBasePrefix } from '../domain/ids.ts';
import type { WalArchiveInput } from '../domain/operations.ts';
import { taskQueues } from '../domain/task-queues.ts';
import { local, watchOn } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { Checklist, searchAttributes } from './progress.ts';

/** One call of the activity; between two the workflow may begin a new history. */
const runMs = 30 * 60_000;
const callsPerHistory = 100;
/** A base backup that was asked for and is still not there is asked for again after this. */
const askAgainMs = 15 * 60_000;

/**
 * Archives the WAL of a target for ever. Id `wal/<target>`: there is one. Continues as new after {@link callsPerHistory} calls. Query: `steps`.
 * It never ends because of an error: a WAL archive that is not there is told, not given up. It ends when cancelled, or when the target has none any more.
 */
export async function walArchive(input: WalArchiveInput): Promise<string> {
  try {
    const checklist = new Checklist(`WAL archive of ${input.target}`, ['archive']);
    const asked = (input.asked ?? []).filter(({ at }) => Date.now() - at < askAgainMs).map((one) => ({ ...one }));
    for (let calls = 0; calls < callsPerHistory && !workflowInfo().continueAsNewSuggested; calls++) {
      const { target, enabled, host, searchAttributes: attributes } = await local.announceWal({ target: input.target });
      if (!enabled) return `target ${target} has no WAL archive (wal: true, engine: physical)`;
      if (calls === 0) {
        checklist.enableAttributes(attributes);
        checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'wal' }]);
      }
      checklist.set('archive', 'in progress');
      try {
        const outcome = await watchOn(host, `archive WAL of ${target}`, runMs).archiveWal({ target, asked: asked.map(({ stretch }) => stretch), forMs: runMs });
        if (outcome.ended === 'needsBackup' && outcome.stretch !== undefined) {
          await askForBackup(target, outcome.stretch, outcome.reason ?? '', checklist);
          asked.push({ stretch: outcome.stretch, at: Date.now() });
        }
      } catch (error) {
        if (isCancellation(error)) throw error;
        checklist.set('archive', 'failed', factsOf(error).message);
        await sleep('20 seconds');
      }
      for (const old of asked.filter(({ at }) => Date.now() - at >= askAgainMs)) asked.splice(asked.indexOf(old), 1);
    }
    return await continueAsNew<typeof walArchive>({ ...input, asked });
  } catch (error) {
    rethrow(error);
  }
}

/** It runs by itself: archiving goes on meanwhile. */
async function askForBackup(target: string, stretch: string, reason: string, checklist: Checklist): Promise<void> {
  const step = `base backup: ${reason}`;
  const id = `${automaticBasePrefix(target)}${stretch}`;
  try {
    await startChild('backup', {
      args: [{ target, kind: 'full', onBusy: 'wait', startedBy: `wal: ${reason}`.slice(0, 200) }],
      workflowId: id,
      taskQueue: taskQueues.main,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      staticSummary: `full backup of ${target}: ${reason}`,
    });
    checklist.set(step, 'completed', `${id} was started`);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    checklist.set(step, 'in progress', `${id} is running`);
  }
}
