import { expectedRuns } from '../config/expected-runs.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { isResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { mergeRunLogs, noteRun, type LoggedOperation, type LoggedRun, type RunLog } from '../domain/run-log.ts';
import { readRunLog, runLogsOf, writeRunLog } from '../providers/repository/run-log.ts';
import type { ActivityDeps } from './deps.ts';
import { sweepAfterCrash } from './sweep.ts';

export interface RecordRunInput {
  readonly target: string;
  readonly operation: LoggedOperation;
  readonly run: LoggedRun;
}

/**
 * Notes how a run ended, in every repository of its target that answers. The caller holds the lock of the operation: nobody else writes that log.
 * Idempotency: one entry per run. Never throws: a run is not less good because it could not be counted.
 */
export async function recordRun(deps: Pick<ActivityDeps, 'loaded' | 'stores'>, { target, operation, run }: RecordRunInput): Promise<void> {
  const { config } = deps.loaded;
  if (!Object.hasOwn(config.targets, target)) return;
  const opened = await Promise.allSettled(repositoriesFor(config, target).map((name) => deps.stores.open(name)));
  const stores = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const logs = await Promise.all(stores.map(async (store) => ({ store, log: await read(store, target, operation) })));
  const known = mergeRunLogs(logs.flatMap(({ log }) => (log === 'unreachable' || log === undefined ? [] : [log])));
  const log = noteRun(known, run, expectedRuns(config, target, operation), Date.now());
  // One that cannot be read now may hold more than is known: it is not written over.
  const write = async (store: ObjectStore): Promise<void> => {
    await sweepAfterCrash(store, runLogsOf(target));
    await writeRunLog(store, target, operation, log);
  };
  // Again: another operation of the target that sweeps may have taken our unfinished file for what a killed run left.
  await Promise.all(logs.map(async ({ store, log: read }) => (read === 'unreachable' ? undefined : write(store).catch(() => write(store)).catch(() => undefined))));
}

/** What cannot be read twice in a row is damaged, and begun anew. */
async function read(store: ObjectStore, target: string, operation: LoggedOperation): Promise<RunLog | 'unreachable' | undefined> {
  for (let attempt = 1; attempt <= 2; attempt++) {
    try {
      return await readRunLog(store, target, operation);
    } catch (error) {
      if (isResurgoError(error)) return 'unreachable';
    }
  }
  return undefined;
}
